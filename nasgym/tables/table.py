"""A table: what training brought for every string of a space, looked up instead of trained."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasgym.evaluation.evaluation import Evaluation
from nasgym.evaluation.evaluator import Evaluator
from nasgym.spaces.base import SearchSpace

Floats = NDArray[np.float64]


class TableError(ValueError):
    """A table that is missing, damaged or something else; the message is one line for the user."""


@dataclass(frozen=True, eq=False)
class Table:
    """A space all of whose networks were trained; the columns are (space.size,).

    Row i is `space.string(i)`. Accuracies are fractions of 1.
    """

    name: str
    """What it is called, with its options."""
    space: SearchSpace
    """The strings."""
    reward: Floats
    """The validation accuracy that an agent is told."""
    clean: Floats
    """The validation accuracy that a network is judged by: over all seeds, trained to the end."""
    test: Floats
    """The test accuracy over all seeds; no agent and no evaluator is told."""
    seconds: Floats
    """What one evaluation takes, in seconds of the machine that made the table."""
    chance: float
    """The accuracy of guessing."""
    metrics: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    """What else is known of each network before it is trained: "parameters", ..."""

    def __post_init__(self) -> None:
        for name in ("reward", "clean", "test", "seconds"):
            column = getattr(self, name)
            if column.shape != (self.space.size,) or not np.isfinite(column).all():
                raise TableError(
                    f"the table {self.name} has {column.shape} values of {name} for "
                    f"{self.space.size} strings, or some that are not finite"
                )

    def row(self, architecture: Any) -> int:
        """Return the row of an architecture; raises ValueError if no string means it."""
        return self.space.index(self.space.encode(architecture))

    @property
    def optimum(self) -> float:
        """Return the best clean accuracy there is."""
        return float(self.clean.max())

    @property
    def mean(self) -> float:
        """Return the mean clean accuracy: what a string drawn blindly brings."""
        return float(self.clean.mean())

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of what an agent can be told."""
        told = np.concatenate([self.reward, self.seconds])
        return hashlib.sha256(told.tobytes()).hexdigest()


class TableEvaluator(Evaluator):
    """The evaluator of a table: it trains nothing and charges the seconds training would take."""

    knows_costs = True

    def __init__(self, table: Table) -> None:
        """Look children up in `table`."""
        self.table = table
        self.context = f"{table.name} {table.digest}"
        """All that decides an evaluation besides the architecture."""

    def evaluate(self, architectures: Sequence[Any]) -> list[Evaluation]:
        """Return one evaluation for each of `architectures`, in order."""
        return [self._evaluation(self.table.row(architecture)) for architecture in architectures]

    def costs(self, architecture: Any) -> Mapping[str, float]:
        """Return what the table knows of a network before it is trained."""
        return self._metrics(self.table.row(architecture))

    def _metrics(self, row: int) -> dict[str, float]:
        return {name: column[row].item() for name, column in self.table.metrics.items()}

    def _evaluation(self, row: int) -> Evaluation:
        table = self.table
        return Evaluation(
            accuracy=float(table.reward[row]),
            seconds=float(table.seconds[row]),
            metrics=self._metrics(row),
        )
