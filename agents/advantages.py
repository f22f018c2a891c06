"""Advantages: by how much each child's reward exceeds the rewards before it."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasgym.archive import Trial
from nasgym.errors import InvalidInput

SMALLEST_SPREAD = 1e-6
"""Lower bound of the divisor of standardised advantages: it avoids dividing by zero when rewards
are equal."""


class Advantages:
    """Rewards minus an exponential moving average of earlier rewards (Zoph & Le 2017, section 3.2).

    The average covers earlier rewards only, so it does not depend on the strings being scored and
    adds no bias. The first batch has no earlier rewards and uses its own mean: its gradient is
    (m - 1) / m of the gradient with a leave-one-out mean, which is unbiased.
    """

    def __init__(self, decay: float, standardise: bool = False) -> None:
        """With `standardise`, divide advantages by a moving average of their spread."""
        self.standardise = standardise
        self.baseline = MovingAverage(decay)
        self.spread = MovingAverage(decay)

    def update(self, rewards: Sequence[float]) -> NDArray[np.float64]:
        """Return the advantages of a batch, (m,), then add the batch to the averages."""
        batch = np.array(rewards)
        advantages = batch - self.baseline.value_or(batch)
        squares = advantages**2
        scale = math.sqrt(self.spread.value_or(squares)) if self.standardise else 1.0
        self.baseline.update(batch)
        self.spread.update(squares)
        return advantages / max(scale, SMALLEST_SPREAD)

    def state(self) -> list[dict[str, float]]:
        """Return the averages as plain data."""
        return [asdict(self.baseline), asdict(self.spread)]

    def restore(self, state: Iterable[Mapping[str, Any]]) -> None:
        """Load the averages that `state` returned."""
        self.baseline, self.spread = (MovingAverage(**average) for average in state)


def rewards_of(trials: Sequence[Trial]) -> list[float]:
    """Return the rewards of trials; raise ValueError if one is not finite."""
    for trial in trials:
        if not math.isfinite(trial.reward):
            raise InvalidInput(
                f"the reward of child {trial.number} is {trial.reward}: it must be finite"
            )
    return [trial.reward for trial in trials]


@dataclass
class MovingAverage:
    """An exponential moving average, corrected for starting at zero."""

    decay: float
    """Factor applied to the weight of every earlier value at each new value."""
    total: float = 0.0
    """Weighted sum of the values."""
    weight: float = 0.0
    """Sum of the weights; 0 before the first value."""

    def value_or(self, values: NDArray[np.float64]) -> float:
        """Return the average, or the mean of `values` before the first update."""
        return self.total / self.weight if self.weight else float(values.mean())

    def update(self, values: Iterable[float]) -> None:
        """Add `values` one by one."""
        for value in values:
            self.total = self.decay * self.total + (1 - self.decay) * float(value)
            self.weight = self.decay * self.weight + (1 - self.decay)
