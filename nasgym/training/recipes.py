"""The base of both recipes: shared fields, lookup by name, and a schedule."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self, TypeVar

from nasgym.errors import InvalidInput


@dataclass(frozen=True)
class Recipe(ABC):
    """How a child is trained, as plain data."""

    name: str
    """Name of the recipe, such as "short" or "paper"."""
    epochs: int
    """Passes over the training data. The schedule stretches with them."""
    judged_epochs: int = 1
    """Number of last epochs that end with a validation; the best of them counts."""

    def __post_init__(self) -> None:
        check_whole_numbers(1, epochs=self.epochs, judged_epochs=self.judged_epochs)

    def for_steps(self, steps: int, steps_per_epoch: int) -> Self:
        """Return the recipe with as many epochs as `steps` steps need, one of them judged."""
        return replace(self, epochs=-(-steps // steps_per_epoch), judged_epochs=1)

    @abstractmethod
    def rates(self, steps: int) -> Iterator[float]:
        """Yield the learning rate of every step of a training with `steps` steps per epoch."""


RecipeT = TypeVar("RecipeT", bound=Recipe)


def recipe_named(name: str, recipes: Mapping[str, RecipeT], **changes: Any) -> RecipeT:
    """Return the recipe called `name`, with every change that is not None applied.

    Raises ValueError, in one line, for an unknown name or an invalid value.
    """
    if name not in recipes:
        raise InvalidInput(f"recipe {name!r} is none of {', '.join(recipes)}")
    wanted = {field: value for field, value in changes.items() if value is not None}
    return replace(recipes[name], **wanted)


def rise_and_fall(step: int, total: int) -> float:
    """Return the learning rate of `step` (from 0) of `total`, as a share of the maximum.

    It rises linearly over the first tenth of the steps, then falls linearly to 0.
    """
    rise = max(1, total // 10)
    return min((step + 1) / rise, (total - step) / (total - rise + 1))


def check_whole_numbers(least: int, **values: int | None) -> None:
    """Raise ValueError, in one line, for a value that is neither None nor an int >= `least`."""
    for name, value in values.items():
        if value is not None and (not isinstance(value, int) or value < least):
            raise InvalidInput(f"{name} must be a whole number from {least}, not {value!r}")
