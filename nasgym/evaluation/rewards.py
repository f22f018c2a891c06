"""Rewards: what an evaluation earns the agent."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import exp

from nasgym.evaluation.evaluation import Evaluation

FAILURE_REWARD = 0.0
"""The reward of a child that failed: finite, and no better than the worst child that trained."""


PERPLEXITY_CONSTANT = 80.0
"""The usual constant of the reward for perplexity (Zoph & Le 2017, section 4.2)."""


Reward = Callable[[Evaluation], float]


def accuracy(evaluation: Evaluation) -> float:
    """Return the validation accuracy."""
    return evaluation.accuracy


def accuracy_cubed(evaluation: Evaluation) -> float:
    """Return the cube of the validation accuracy (Zoph & Le 2017, section 4.1)."""
    return float(evaluation.accuracy**3)


def nll(evaluation: Evaluation) -> float:
    """Return exp(-NLL): the geometric mean probability the child gives the right class.

    It orders children as the negative log likelihood does, lies in [0, 1] whatever happens, and
    agrees between seeds better than accuracy.
    """
    return exp(-float(evaluation.metrics["nll"]))


def perplexity(evaluation: Evaluation, constant: float = PERPLEXITY_CONSTANT) -> float:
    """Return `constant` over the square of the validation perplexity.

    For language models (Zoph & Le 2017, section 4.2).
    """
    return constant / float(evaluation.metrics["perplexity"]) ** 2


REWARDS: Mapping[str, Reward] = {
    "accuracy": accuracy,
    "accuracy_cubed": accuracy_cubed,
    "nll": nll,
    "perplexity": perplexity,
}


def reward_named(reward: str | Reward) -> Reward:
    """Return the reward of that name, or `reward` itself; ValueError for a name there is not."""
    if callable(reward):
        return reward
    if reward not in tuple(REWARDS):
        raise ValueError(f"reward {reward!r} is none of {', '.join(REWARDS)}")
    return REWARDS[reward]


def reward_of(evaluation: Evaluation, reward: Reward) -> float:
    """Return what `evaluation` earns: `reward` of it, or the failure reward if the child failed."""
    return reward(evaluation) if evaluation.status == "ok" else FAILURE_REWARD


COSTS = ("parameters", "flops", "latency")
"""Metrics that say what a network costs: weights, operations of a pass, seconds of a pass."""


EXPONENT = -0.07
"""With it, twice the cost is worth 5 % more accuracy (Tan et al. 2019, section 3.1)."""


SMALLEST_SHARE = 1e-6
"""The least share of the target that counts: a network that costs nothing earns no infinity."""


@dataclass(frozen=True)
class Weighed:
    """A reward in which a cost is weighed: reward * (cost / target) ** exponent.

    The soft constraint of Tan et al. 2019, "MnasNet: Platform-Aware Neural Architecture Search for
    Mobile", equations 2 and 3. It is for rewards that are not negative.
    """

    reward: Reward
    """What is weighed against the cost."""
    cost: str
    """The metric that is the cost, one of COSTS."""
    target: float
    """The cost that leaves the reward as it is."""
    exponent: float = EXPONENT
    """At costs above the target, at most 0."""
    exponent_below: float | None = None
    """At costs below it; None: the same, 0: what is cheaper than the target earns no more."""

    def __post_init__(self) -> None:
        if self.cost not in COSTS:
            raise ValueError(f"cost {self.cost!r} is none of {', '.join(COSTS)}")
        if not self.target > 0:
            raise ValueError(f"target must be above 0, not {self.target}")
        for name in ("exponent", "exponent_below"):
            if (getattr(self, name) or 0) > 0:
                raise ValueError(f"{name} must be 0 or less, not {getattr(self, name)}")

    def __call__(self, evaluation: Evaluation) -> float:
        """Return what `evaluation` earns; raise ValueError if nobody has measured its cost."""
        if self.cost not in evaluation.metrics:
            known = ", ".join(name for name in COSTS if name in evaluation.metrics) or "none"
            raise ValueError(
                f"cost {self.cost!r} cannot be weighed: of what a child costs the evaluator "
                f"reports {known}"
            )
        share = max(evaluation.metrics[self.cost] / self.target, SMALLEST_SHARE)
        below = self.exponent if self.exponent_below is None else self.exponent_below
        return float(self.reward(evaluation) * share ** (self.exponent if share > 1 else below))
