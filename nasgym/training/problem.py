"""The problem: what a found network is trained for in the end, and how it is tested.

After a search the best architecture is trained again, after a small grid search over a few numbers
of the recipe (Zoph & Le 2017, sections 4.1 and 4.2). There is one class for each kind of data; all
else about the final phase is in `nasgym.training.final.run`.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any, ClassVar

from torch import nn

from nasgym.evaluation.evaluation import Evaluation
from nasgym.training import Training


class Problem(ABC):
    """Data for one architecture, its training, and its test."""

    OPTIONS: ClassVar[Sequence[str]]
    """The options that say which data, and how large a network."""
    RECIPES: ClassVar[Mapping[str, Any]]
    """The recipes by name."""
    SCORE: ClassVar[str]
    """What the validation of an epoch and the test are judged by."""

    recipe: Any
    """How to train, but for what a grid changes."""
    digest: str
    """Stands for the training and validation data."""

    @abstractmethod
    def __init__(
        self,
        architecture: Any,
        options: Mapping[str, Any],
        *,
        recipe: str,
        epochs: int | None,
        seed: int,
        device: str,
    ) -> None:
        """Read the data that `options` name and prepare them for the recipe of that name.

        `epochs` replaces the recipe's, `seed` decides the weights and the batches, `device` is
        "cpu" or "cuda". Raises ValueError or FileNotFoundError, in one line, for what cannot be.
        """

    @abstractmethod
    def grid(self) -> Iterator[dict[str, Any]]:
        """Yield the points of the grid: what each changes in the recipe."""

    @abstractmethod
    def shortened(self, recipe: Any, epochs: int) -> Any:
        """Return the recipe with fewer epochs, its schedule in proportion."""

    @abstractmethod
    def network(self, recipe: Any) -> nn.Module:
        """Return the network with its initial weights, which depend on the recipe."""

    @abstractmethod
    def evaluate(self, recipe: Any) -> Evaluation:
        """Train with `recipe` and validate."""

    @abstractmethod
    def rank(self, evaluation: Evaluation) -> float:
        """Return a number that is the higher the better the validation went."""

    @abstractmethod
    def training(self, recipe: Any) -> Training:
        """Return a training with `recipe` that has not begun."""

    @abstractmethod
    def test(self, recipe: Any, weights: Mapping[str, Any]) -> dict[str, float]:
        """Load the test data and return how a network with `weights` does on them.

        `recipe` is the one it was trained with.
        """


def combinations(axes: Sequence[Sequence[Mapping[str, Any]]]) -> Iterator[dict[str, Any]]:
    """Yield all combinations of one of each axis, merged."""
    for changes in product(*axes):
        yield {name: value for change in changes for name, value in change.items()}
