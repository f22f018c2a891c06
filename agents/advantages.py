"""Advantages: how much better each child is than those before it."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasgym.archive import Trial

SMALLEST_SPREAD = 1e-6
"""Rewards closer together than this are equal; nothing is divided by less."""


class Advantages:
    """Rewards less an exponential moving average of earlier ones (Zoph & Le 2017, section 3.2).

    The average is of earlier rewards alone, so it does not depend on the strings that it is
    subtracted for, and nothing is biased. The first batch has no earlier rewards and its own mean
    instead: that is (m - 1) / m of the gradient with the mean of the others, which is not biased
    either.
    """

    def __init__(self, decay: float, standardise: bool = False) -> None:
        """With `standardise` they are divided by their spread, a moving average too."""
        self.standardise = standardise
        self.baseline = MovingAverage(decay)
        self.spread = MovingAverage(decay)

    def of(self, rewards: Sequence[float]) -> NDArray[np.float64]:
        """Return the advantages of a batch, (m,), and take it in."""
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
        """Go back to what `state` returned."""
        self.baseline, self.spread = (MovingAverage(**average) for average in state)


def rewards_of(trials: Sequence[Trial]) -> list[float]:
    """Return the rewards of trials; raise ValueError for one that is not finite."""
    for trial in trials:
        if not math.isfinite(trial.reward):
            raise ValueError(
                f"the reward of child {trial.number} is {trial.reward}: it must be finite"
            )
    return [trial.reward for trial in trials]


@dataclass
class MovingAverage:
    """An exponential moving average, corrected for its start from nothing."""

    decay: float
    """What is left of a value's weight after the next one."""
    total: float = 0.0
    """The weighted sum of the values."""
    weight: float = 0.0
    """The sum of the weights; 0 before the first value."""

    def value_or(self, values: NDArray[np.float64]) -> float:
        """Return the average, or that of `values` if there was none before."""
        return self.total / self.weight if self.weight else float(values.mean())

    def update(self, values: Iterable[float]) -> None:
        """Take in `values`, one after the other."""
        for value in values:
            self.total = self.decay * self.total + (1 - self.decay) * float(value)
            self.weight = self.decay * self.weight + (1 - self.decay)
