"""The final problem of a convolutional network: images (Zoph & Le 2017, section 4.1)."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from nasgym.data import load
from nasgym.data.final import load_test
from nasgym.evaluation.evaluation import Evaluation
from nasgym.execution.machine import precision
from nasgym.spaces import ConvArchitecture
from nasgym.training.image.batches import prepare
from nasgym.training.image.loop import Classification, adapted, initialised, train, validate
from nasgym.training.image.recipe import DROPS, RECIPES, Recipe
from nasgym.training.problem import Problem, combinations
from nasgym.training.recipes import recipe_named

NORM_EPSILONS = (1e-5, 1e-3)
"""Tried in the batch normalisation."""

LATER_DROPS = (3 / 5, 4 / 5)
"""Tried beside DROPS."""


class ImageProblem(Problem):
    """Images to classify; the score is the accuracy."""

    OPTIONS = ("data", "train_size", "valid_size", "image_size", "seed")
    RECIPES = RECIPES
    SCORE = "accuracy"

    def __init__(
        self,
        architecture: ConvArchitecture,
        options: Mapping[str, Any],
        *,
        recipe: str,
        epochs: int | None,
        seed: int,
        device: str,
    ) -> None:
        """Read the images that `options` of `nasgym.data.load` name and prepare them."""
        named = recipe_named(recipe, RECIPES, epochs=epochs)
        self.recipe = adapted(named, architecture)
        self._architecture, self._options, self._seed = architecture, options, seed
        self._device, self._dtype = torch.device(device), getattr(torch, precision(device))
        self._data = load(**options)
        self.digest = self._data.digest
        self._batches = prepare(self._data, self.recipe, self._dtype).to(self._device)

    def grid(self) -> Iterator[dict[str, Any]]:
        """Yield combinations of learning rate, weight decay, epsilon and epochs of the drops."""
        recipe = self.recipe
        axes = [
            [{"learning_rate": recipe.learning_rate * factor} for factor in (1, 1 / 2)],
            [{"weight_decay": recipe.weight_decay * factor} for factor in (1, 5)],
            [{"norm_epsilon": epsilon} for epsilon in NORM_EPSILONS],
        ]
        if recipe.schedule == "drops":
            axes.append([{"drops": list(drops)} for drops in (DROPS, LATER_DROPS)])
        return combinations(axes)

    def shortened(self, recipe: Recipe, epochs: int) -> Recipe:
        """Return the recipe with fewer epochs; its schedule stretches with them."""
        return replace(recipe, epochs=epochs, judged_epochs=min(recipe.judged_epochs, epochs))

    def evaluate(self, recipe: Recipe) -> Evaluation:
        """Train with `recipe` and validate."""
        return train(self.network(recipe), self._batches, recipe, self._seed)

    def rank(self, evaluation: Evaluation) -> float:
        """Return the validation accuracy."""
        return evaluation.accuracy

    def training(self, recipe: Recipe) -> Classification:
        """Return a training with `recipe` that has not begun."""
        return Classification(self.network(recipe), self._batches, recipe, self._seed)

    def test(self, recipe: Recipe, weights: Mapping[str, Any]) -> dict[str, float]:
        """Return accuracy and negative log likelihood of all test images."""
        images, labels = load_test(
            self._options["data"], image_size=self._options.get("image_size")
        )
        tested = replace(self._data, valid_images=images, valid_labels=labels)
        batches = prepare(tested, recipe, self._dtype).to(self._device)
        network = self.training(recipe).network
        network.load_state_dict(weights)
        return {**validate(network, batches), "images": len(labels)}

    def network(self, recipe: Recipe) -> nn.Module:
        """Return the network with its initial weights."""
        sizes = self._data.input_shape, self._data.classes
        return initialised(self._architecture, *sizes, self._seed).to(self._device)
