"""The problem of a final training: the data, the recipe and the test of one architecture.

After a search the best architecture is trained again, after a small grid search over a few numbers
of the recipe (Zoph & Le 2017, sections 4.1 and 4.2). There is one class for each kind of data; the
rest of the final training is in `nasgym.training.final`.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from typing import Any, ClassVar, Generic

import torch
from torch import nn

from nasgym.evaluation.evaluation import Evaluation
from nasgym.execution.machine import precision
from nasgym.training.base import Training
from nasgym.training.recipes import RecipeT


class Problem(ABC, Generic[RecipeT]):
    """The data for one architecture, its training and its test.

    A subclass is built with (architecture, options, *, recipe, epochs, seed, device): the name of a
    recipe and the number of epochs that replaces the recipe's, or None. It raises ValueError or
    FileNotFoundError, in one line, for options that are wrong.
    """

    OPTIONS: ClassVar[Mapping[str, Any]]
    """Types of the options of the data and of the size of the network; the first is required."""
    TRAINING: ClassVar[type[Training]]
    """Class of the training."""
    SCORE: ClassVar[str]
    """The result of a validation or test that people compare, such as "accuracy"."""

    digest: str
    """SHA-256 of the training and validation data."""

    def __init__(self, architecture: Any, recipe: RecipeT, seed: int, device: str) -> None:
        """Store what every problem has; `seed` decides weights and batches on "cpu" or "cuda"."""
        self.recipe = recipe
        """The recipe before the grid changes it."""
        self._architecture, self._seed = architecture, seed
        self._device, self._dtype = torch.device(device), getattr(torch, precision(device))

    @abstractmethod
    def grid(self) -> Iterator[dict[str, Any]]:
        """Yield the points of the grid: the fields of the recipe that each point replaces."""

    def shortened(self, recipe: RecipeT, epochs: int) -> RecipeT:
        """Return `recipe` with fewer epochs and a schedule in proportion."""
        return replace(recipe, epochs=epochs, judged_epochs=min(recipe.judged_epochs, epochs))

    @abstractmethod
    def network(self, recipe: RecipeT) -> nn.Module:
        """Return the network with its initial weights, which depend on the recipe."""

    @abstractmethod
    def training(self, recipe: RecipeT) -> Training:
        """Return a training with `recipe` that has not begun."""

    def evaluate(self, recipe: RecipeT) -> Evaluation:
        """Train with `recipe` and validate."""
        return self.training(recipe).run()

    def rank(self, evaluation: Evaluation) -> float:
        """Return a number that is higher for a better validation."""
        return self.TRAINING.rank({**evaluation.metrics, "accuracy": evaluation.accuracy})

    @abstractmethod
    def test(self, recipe: RecipeT, weights: Mapping[str, Any]) -> dict[str, float]:
        """Load the test data and return the results of a network with `weights` on them.

        `recipe` is the one that trained the weights.
        """


def combinations(axes: Sequence[Sequence[Mapping[str, Any]]]) -> Iterator[dict[str, Any]]:
    """Yield every combination of one element per axis, merged into one dict."""
    for changes in product(*axes):
        yield {name: value for change in changes for name, value in change.items()}
