"""The paper's two searches as plans, number by number, and their cost to its authors.

All numbers are from Zoph & Le 2017, sections 3 and 4. They are all written out here, so that no
change of a default changes them. Only the recipes and the reward are given by name:

* recipe "paper" for images: SGD with Nesterov momentum 0.9, learning rate 0.1, weight decay 1e-4,
  whitened images, random crops and mirroring, the best of the last 5 epochs (section 4.1);
* recipe "paper" for text: 2 layers, dropout of embeddings and recurrent connections (section 4.2);
* `reinforce_async` draws the weights of its controller from [-0.08, 0.08], optimises with Adam and
  subtracts a moving average of the rewards, whose decay the paper does not give (section 4.1).

The paper trained 800 children at a time (400 for text). With fewer workers, fewer replicas train
children at the same time, so gradients are less stale than the paper's.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from nasgym.errors import InvalidInput
from nasgym.search.plan import Plan

SEARCHES: Mapping[str, Plan] = {
    "paper-cifar10": Plan(
        "NAS-CIFAR10-v0",
        agent="reinforce_async",
        children=12_800,  # section 4.1
        num_envs=8,
        env_options={
            # Section 4.1, search space: no strides to predict, no pooling.
            "space": "v1",
            "filter_heights": [1, 3, 5, 7],
            "filter_widths": [1, 3, 5, 7],
            "filters": [24, 36, 48, 64],
            "strides": [1],
            "skip_connections": True,
            # Section 4.1, training details: 6 layers, 2 more every 1,600 children, so 20 at last.
            "layers": 6,
            "grow_by": 2,
            "grow_every": 1600,
            "max_layers": 20,
            # Section 4.1: how a child is trained, and the cube of its accuracy.
            "data": "cifar10",
            "train_size": 45_000,
            "valid_size": 5_000,
            "recipe": "paper",
            "epochs": 50,
            "reward": "accuracy_cubed",
        },
        # Section 4.1: two LSTM layers of 35 units; 20 shards, 100 replicas, m = 8 an update.
        agent_options={
            "preset": "paper-cifar10",
            "lr": 0.0006,
            "hidden": 35,
            "shards": 20,
            "replicas": 100,
            "batch": 8,
            "accumulate": 1,
        },
    ),
    "paper-ptb": Plan(
        "NAS-PTB-v0",
        agent="reinforce_async",
        children=15_000,  # section 4.2
        num_envs=8,
        env_options={
            # Sections 3.4 and 4.2, search space.
            "base": 8,
            "combinations": ["add", "elem_mult"],
            "activations": ["identity", "tanh", "sigmoid", "relu"],
            # Section 4.2: how a child is trained, and 80 / perplexity^2.
            "corpus": "ptb",
            "unit": "words",
            "vocabulary_size": 10_000,
            "recipe": "paper",
            "epochs": 35,
            "parameters": 20_000_000,
            "shared_embeddings": False,
            "reward": "perplexity",
            "reward_constant": 80.0,
        },
        # Section 4.2: the controller of section 4.1 at another rate; 20 shards, 400 replicas of a
        # child each, 10 gradients an update.
        agent_options={
            "preset": "paper-ptb",
            "lr": 0.0005,
            "hidden": 35,
            "shards": 20,
            "replicas": 400,
            "batch": 1,
            "accumulate": 10,
        },
    ),
}
"""The plans by their name in `nasgym search --preset`."""


@dataclass(frozen=True)
class PaperCost:
    """The cost of a search of the paper to its authors."""

    processors: int
    """Number of processors; each trained one child at a time."""
    processor: str
    """Kind of processor: "GPU" or "CPU"."""
    days: float | None
    """Duration of the search in days; None if it was not published."""

    @property
    def hours(self) -> float | None:
        """Hours of training, summed over all processors; None if not published."""
        return None if self.days is None else 24 * self.days * self.processors

    def to_plain(self) -> dict[str, Any]:
        """Return all values as JSON-able data."""
        return {**asdict(self), "hours": self.hours}

    def text(self) -> str:
        """Return the cost in words, as one line."""
        if self.hours is None:
            duration = "duration not stated"
        else:
            duration = f"{self.days:g} days, {self.hours:,.0f} {self.processor}-hours"
        return f"{duration}, {self.processors:,} children at a time, each on a {self.processor}"


COSTS: Mapping[str, PaperCost] = {
    # The duration is from Zoph et al. 2018 (NASNet), section 4. They print 800 x 28 GPU-days as
    # "22,400 GPU-hours".
    "paper-cifar10": PaperCost(800, "GPU", days=28),
    "paper-ptb": PaperCost(400, "CPU", days=None),
}
"""The cost of the plans on the hardware of sections 4.1 and 4.2: Nvidia K40 GPUs, and CPUs."""


def filled(preset: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of the plan called `preset`, overridden by those `given`.

    Options of environment and agent are overridden one by one; another agent takes none of the
    plan's options. Raises InvalidInput, in one line, for an unknown name or another environment.
    """
    if preset not in SEARCHES:
        raise InvalidInput(f"preset {preset!r} is none of {', '.join(SEARCHES)}")
    plan = SEARCHES[preset]
    if given.get("env", plan.env) != plan.env:
        raise InvalidInput(f"preset {preset!r} searches {plan.env}: leave {given['env']} out")
    same_agent = given.get("agent", plan.agent) == plan.agent
    known = {name: getattr(plan, name) for name in ("env", "agent", "children", "num_envs")}
    options = {
        "env_options": plan.env_options,
        "agent_options": plan.agent_options if same_agent else {},
    }
    merged = {name: {**options[name], **given.get(name, {})} for name in options}
    return known | dict(given) | merged
