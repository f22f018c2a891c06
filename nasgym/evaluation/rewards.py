"""Rewards: the number that an agent receives for an evaluation."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import exp

from nasgym.errors import InvalidInput
from nasgym.evaluation.evaluation import Evaluation

FAILURE_REWARD = 0.0
"""The reward of a child that failed: finite, and no better than the worst child that trained."""

PERPLEXITY_CONSTANT = 80.0
"""Default constant c of the reward c / perplexity^2 (Zoph & Le 2017, section 4.2)."""


Reward = Callable[[Evaluation], float]


def accuracy(evaluation: Evaluation) -> float:
    """Return the validation accuracy."""
    return evaluation.accuracy


def accuracy_cubed(evaluation: Evaluation) -> float:
    """Return the cube of the validation accuracy (Zoph & Le 2017, section 4.1)."""
    return float(evaluation.accuracy**3)


def nll(evaluation: Evaluation) -> float:
    """Return exp(-NLL): the geometric mean probability the child gives the right class.

    It ranks children like the negative log likelihood, lies in [0, 1], and varies less between
    seeds than accuracy.
    """
    return exp(-float(evaluation.metrics["nll"]))


def perplexity(evaluation: Evaluation, constant: float = PERPLEXITY_CONSTANT) -> float:
    """Return constant / perplexity^2 of the validation text (Zoph & Le 2017, section 4.2)."""
    return constant / float(evaluation.metrics["perplexity"]) ** 2


REWARDS: Mapping[str, Reward] = {
    "accuracy": accuracy,
    "accuracy_cubed": accuracy_cubed,
    "nll": nll,
    "perplexity": perplexity,
}


def reward_named(reward: str | Reward) -> Reward:
    """Return the reward of that name, or `reward` itself; ValueError for an unknown name."""
    if callable(reward):
        return reward
    if reward not in tuple(REWARDS):
        raise InvalidInput(f"reward {reward!r} is none of {', '.join(REWARDS)}")
    return REWARDS[reward]


def reward_of(evaluation: Evaluation, reward: Reward) -> float:
    """Return the reward of `evaluation`; FAILURE_REWARD if the child failed."""
    return reward(evaluation) if evaluation.status == "ok" else FAILURE_REWARD


COSTS = ("parameters", "flops", "latency")
"""Metrics that are costs: weights, operations of a forward pass, seconds of a forward pass."""


EXPONENT = -0.07
"""Default exponent: doubling the cost must gain 5 % accuracy to pay off (Tan et al. 2019,
section 3.1)."""


SMALLEST_RATIO = 1e-6
"""Lower bound of cost / target, so that a network without cost has a finite reward."""


@dataclass(frozen=True)
class CostWeightedReward:
    """A reward with a soft constraint on a cost: reward * (cost / target) ** exponent.

    Source: Tan et al. 2019, "MnasNet: Platform-Aware Neural Architecture Search for Mobile",
    equations 2 and 3. The reward must not be negative.
    """

    reward: Reward
    """The reward without the cost."""
    cost: str
    """The metric that is the cost, one of COSTS."""
    target: float
    """The cost at which the reward is unchanged."""
    exponent: float = EXPONENT
    """Exponent for costs above the target, at most 0."""
    exponent_below: float | None = None
    """Exponent for costs below the target; None means the same. With 0 a network cheaper than the
    target gains nothing."""

    def __post_init__(self) -> None:
        if self.cost not in COSTS:
            raise InvalidInput(f"cost {self.cost!r} is none of {', '.join(COSTS)}")
        if not self.target > 0:
            raise InvalidInput(f"target must be above 0, not {self.target}")
        for name in ("exponent", "exponent_below"):
            if (getattr(self, name) or 0) > 0:
                raise InvalidInput(f"{name} must be 0 or less, not {getattr(self, name)}")

    def __call__(self, evaluation: Evaluation) -> float:
        """Return the reward of `evaluation`; raise ValueError if it does not report the cost."""
        if self.cost not in evaluation.metrics:
            known = ", ".join(name for name in COSTS if name in evaluation.metrics) or "none"
            raise InvalidInput(
                f"cost {self.cost!r} is not reported by the evaluator; reported costs: {known}"
            )
        ratio = max(evaluation.metrics[self.cost] / self.target, SMALLEST_RATIO)
        below = self.exponent if self.exponent_below is None else self.exponent_below
        return float(self.reward(evaluation) * ratio ** (self.exponent if ratio > 1 else below))
