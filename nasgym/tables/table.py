"""Tables: the results of training every network of a space, and an evaluator that looks them up."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasgym.errors import InvalidInput
from nasgym.evaluation.evaluation import Evaluation
from nasgym.evaluation.evaluator import Evaluator
from nasgym.spaces.base import SearchSpace

Floats = NDArray[np.float64]


class TableError(InvalidInput):
    """A missing, damaged or unsuitable table; the message is one line for the user."""


@dataclass(frozen=True, eq=False)
class Table:
    """A space whose networks were all trained; the columns are (space.size,).

    Row i is `space.string(i)`. Accuracies are fractions of 1.
    """

    name: str
    """The name of the table, with its options."""
    space: SearchSpace
    """The space of the networks."""
    reward: Floats
    """The validation accuracy that agents receive."""
    clean: Floats
    """The validation accuracy that measures a search: full training, mean over all seeds."""
    test: Floats
    """The test accuracy, mean over all seeds. No agent and no evaluator sees it."""
    seconds: Floats
    """Duration of one evaluation, in seconds of the machine that made the table."""
    chance: float
    """The accuracy of guessing."""
    metrics: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    """Properties of each network that are known before training: "parameters", ..."""

    def __post_init__(self) -> None:
        for name in ("reward", "clean", "test", "seconds"):
            column = getattr(self, name)
            if column.shape != (self.space.size,) or not np.isfinite(column).all():
                raise TableError(
                    f"the table {self.name} has a wrong column {name}: it needs "
                    f"{self.space.size} finite values, and has the shape {column.shape}"
                )

    def row(self, architecture: Any) -> int:
        """Return the row of an architecture; raises ValueError if it is not in the space."""
        return self.space.index(self.space.encode(architecture))

    @property
    def optimum(self) -> float:
        """Return the best clean accuracy of any network."""
        return float(self.clean.max())

    @property
    def mean(self) -> float:
        """Return the mean clean accuracy over all strings."""
        return float(self.clean.mean())

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the rewards and the seconds, in hexadecimal."""
        return hashlib.sha256(np.concatenate([self.reward, self.seconds]).tobytes()).hexdigest()


class TableEvaluator(Evaluator):
    """An evaluator that looks up results, with the seconds that training would have taken."""

    knows_costs = True

    def __init__(self, table: Table) -> None:
        """Evaluate the networks of `table`."""
        self.table = table
        self.context = f"{table.name} {table.digest}"

    def evaluate(self, architectures: Sequence[Any]) -> list[Evaluation]:
        """Return one evaluation for each of `architectures`, in order."""
        return [self._evaluation(self.table.row(architecture)) for architecture in architectures]

    def costs(self, architecture: Any) -> Mapping[str, float]:
        """Return the properties of a network that are known before training."""
        return self._metrics(self.table.row(architecture))

    def _metrics(self, row: int) -> dict[str, float]:
        return {name: column[row].item() for name, column in self.table.metrics.items()}

    def _evaluation(self, row: int) -> Evaluation:
        return Evaluation(
            accuracy=float(self.table.reward[row]),
            seconds=float(self.table.seconds[row]),
            metrics=self._metrics(row),
        )


def reward_with_noise(accuracies: Floats, noise: str, seed: int) -> Floats:
    """Return one reward for each network, (networks,), from `accuracies`, (networks, seeds).

    With `noise` "mean" it is the mean over the seeds. With "seed" it is the accuracy of one of
    them, drawn by `seed` once for each network, so an evaluation that is repeated returns the same
    reward. Raises TableError for another `noise` or `seed`.
    """
    if noise == "mean":
        mean: Floats = accuracies.mean(axis=1)
        return mean
    if noise != "seed":
        raise TableError(f"noise must be 'mean' or 'seed', not {noise!r}")
    if type(seed) is not int or seed < 0:
        raise TableError(f"seed must be an integer from 0, not {seed!r}")
    drawn = np.random.default_rng(seed).integers(accuracies.shape[1], size=len(accuracies))
    chosen: Floats = accuracies[np.arange(len(accuracies)), drawn]
    return chosen
