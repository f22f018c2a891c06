"""Recipes for images: how a child that classifies images is trained, as plain data."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from nasgym.spaces import ConvArchitecture
from nasgym.training.recipes import Recipe, check_whole_numbers, rise_and_fall

DROPS = (1 / 2, 3 / 4)
"""Shares of the training after which the learning rate drops (Huang et al. 2016, section 4.2)."""


@dataclass(frozen=True)
class ImageRecipe(Recipe):
    """Training of an image classifier: SGD with Nesterov momentum and a schedule."""

    batch_size: int = 64
    """Images per step. The images left over after the whole batches of an epoch are dropped."""
    learning_rate: float = 0.1
    """Maximum learning rate."""
    schedule: Literal["linear", "drops"] = "linear"
    """"linear": rises over the first tenth of the steps, then falls to 0; "drops": divided by 10
    at each of `drops`."""
    momentum: float = 0.9
    """Nesterov momentum coefficient."""
    weight_decay: float = 1e-4
    """L2 penalty on all parameters, including those of the batch normalisation."""
    whiten: bool = False
    """Whether to scale each image to mean 0 and variance 1 by itself; otherwise each channel is
    scaled by its mean and variance over the training images."""
    augment: bool = False
    """Whether to train on random crops of images enlarged to 5/4 of their size, half of them
    mirrored if the data allow it. A crop has the size of the original image."""
    drops: Sequence[float] | None = None
    """Shares of the epochs after which the learning rate drops; None: DROPS."""
    norm_epsilon: float | None = None
    """Epsilon that the batch normalisation adds to a variance; None: PyTorch's 1e-5."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_whole_numbers(1, batch_size=self.batch_size)

    def rates(self, steps: int) -> Iterator[float]:
        """Yield the learning rate of every step of a training with `steps` steps per epoch."""
        total = steps * self.epochs
        drops = [share * self.epochs for share in self.drops or DROPS]
        for step in range(total):
            if self.schedule == "linear":
                share = rise_and_fall(step, total)
            else:
                share = 0.1 ** sum(step // steps >= drop for drop in drops)
            yield self.learning_rate * share

    def adapted_to(self, architecture: ConvArchitecture) -> "ImageRecipe":
        """Return the recipe with the learning rate of the architecture, if it has one."""
        if architecture.learning_rate is None:
            return self
        return replace(self, learning_rate=architecture.learning_rate)


IMAGE_RECIPES: Mapping[str, ImageRecipe] = {
    recipe.name: recipe
    for recipe in (
        ImageRecipe("short", epochs=5, batch_size=32, learning_rate=0.2),
        ImageRecipe(
            "paper",
            epochs=50,
            schedule="drops",
            whiten=True,
            augment=True,
            judged_epochs=5,
        ),
    )
}
"""Recipes by name: "short" takes seconds per child; "paper" is Zoph & Le 2017, section 4.1."""
