"""The final problem of a convolutional network: images (Zoph & Le 2017, section 4.1)."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from torch import nn

from nasgym.data import load
from nasgym.data.final import load_test
from nasgym.options import types_of
from nasgym.spaces import ConvArchitecture
from nasgym.training.image.batches import prepare
from nasgym.training.image.loop import ImageTraining, initial_network, validate
from nasgym.training.image.recipe import DROPS, IMAGE_RECIPES, ImageRecipe
from nasgym.training.problem import Problem, combinations
from nasgym.training.recipes import recipe_named

NORM_EPSILONS = (1e-5, 1e-3)
"""Values of `norm_epsilon` in the grid."""

LATER_DROPS = (3 / 5, 4 / 5)
"""Values of `drops` in the grid, beside DROPS."""


class ImageProblem(Problem[ImageRecipe]):
    """Images to classify; the score is the accuracy."""

    OPTIONS = types_of(load)
    TRAINING = ImageTraining
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
        """Load and prepare the images; `options` are those of `nasgym.data.load`."""
        chosen = recipe_named(recipe, IMAGE_RECIPES, epochs=epochs).adapted_to(architecture)
        super().__init__(architecture, chosen, seed, device)
        self._options = options
        self._data = load(**options)
        self.digest = self._data.digest
        self._batches = prepare(self._data, self.recipe, self._dtype).to(self._device)

    def grid(self) -> Iterator[dict[str, Any]]:
        """Yield combinations of learning rate, weight decay, batch-norm epsilon and drops."""
        recipe = self.recipe
        axes: list[list[dict[str, Any]]] = [
            [{"learning_rate": recipe.learning_rate * factor} for factor in (1, 1 / 2)],
            [{"weight_decay": recipe.weight_decay * factor} for factor in (1, 5)],
            [{"norm_epsilon": epsilon} for epsilon in NORM_EPSILONS],
        ]
        if recipe.schedule == "drops":
            axes.append([{"drops": list(drops)} for drops in (DROPS, LATER_DROPS)])
        return combinations(axes)

    def network(self, recipe: ImageRecipe) -> nn.Module:
        """Return the network with its initial weights."""
        shape, classes = self._data.input_shape, self._data.classes
        network = initial_network(
            self._architecture, shape, classes, self._seed, recipe.norm_epsilon
        )
        return network.to(self._device)

    def training(self, recipe: ImageRecipe) -> ImageTraining:
        """Return a training with `recipe` that has not begun."""
        return ImageTraining(self.network(recipe), self._batches, recipe, self._seed)

    def test(self, recipe: ImageRecipe, weights: Mapping[str, Any]) -> dict[str, float]:
        """Return the accuracy and negative log likelihood on all test images."""
        images, labels = load_test(
            self._options["data"], image_size=self._options.get("image_size")
        )
        tested = replace(self._data, valid_images=images, valid_labels=labels)
        batches = prepare(tested, recipe, self._dtype).to(self._device)
        network = self.network(recipe)
        network.load_state_dict(weights)
        return {**validate(network, batches), "images": len(labels)}
