"""Recipes: how a child that classifies images is trained, as plain data."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

DROPS = (1 / 2, 3 / 4)
"""After which shares of the training the learning rate drops (Huang et al. 2016, section 4.2)."""


@dataclass(frozen=True)
class Recipe:
    """How long and with what a child is trained: SGD with Nesterov momentum and a schedule."""

    name: str
    """What it is called."""
    epochs: int
    """Passes over the training images. The schedule stretches with it: a short training is
    annealed to its end, never a long one cut off."""
    batch_size: int = 64
    """Images a step; what is left of an epoch after whole batches is dropped."""
    learning_rate: float = 0.1
    """The highest of the training."""
    schedule: Literal["linear", "drops"] = "linear"
    """"linear": rises over the first tenth of the steps, then falls to 0; "drops": divided by 10
    at each of `drops`."""
    momentum: float = 0.9
    """Of Nesterov's kind."""
    weight_decay: float = 1e-4
    """Of all weights, those of the batch normalisation too."""
    whiten: bool = False
    """Whether each image is brought to mean 0 and variance 1 by itself; if not, each channel over
    the training images."""
    augment: bool = False
    """Whether training images are random crops, of the image's size, of the image at 5/4 of its
    size, every second one mirrored if the data allow it."""
    judged_epochs: int = 1
    """The child is validated after each of so many last epochs; the best of them counts."""
    drops: Sequence[float] | None = None
    """After which shares of the epochs the learning rate drops; None: those of DROPS."""
    norm_epsilon: float | None = None
    """What the batch normalisation adds to a variance; None: PyTorch's 1e-5."""

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "judged_epochs"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be a whole number from 1, not {getattr(self, name)}")

    def rates(self, steps: int) -> Iterator[float]:
        """Yield the learning rate of each step of a training with `steps` steps an epoch."""
        total = steps * self.epochs
        drops = [share * self.epochs for share in self.drops or DROPS]
        for step in range(total):
            if self.schedule == "linear":
                share = rise_and_fall(step, total)
            else:
                share = 0.1 ** sum(step // steps >= drop for drop in drops)
            yield self.learning_rate * share


def rise_and_fall(step: int, total: int) -> float:
    """Return the share of the highest learning rate that `step` of `total`, from 0, is taken at.

    It rises over the first tenth of the steps, then falls to 0.
    """
    rise = max(1, total // 10)
    return min((step + 1) / rise, (total - step) / (total - rise + 1))


RECIPES: Mapping[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe("short", epochs=5, batch_size=32, learning_rate=0.2),
        Recipe(
            "paper",
            epochs=50,
            schedule="drops",
            whiten=True,
            augment=True,
            judged_epochs=5,
        ),
    )
}
