"""Recipes by name, with options that replace their fields."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

from nasgym.training.image.recipe import Recipe
from nasgym.training.text.recipe import LanguageRecipe

AnyRecipe = TypeVar("AnyRecipe", Recipe, LanguageRecipe)


def recipe_named(name: str, recipes: Mapping[str, AnyRecipe], **changes: Any) -> AnyRecipe:
    """Return the recipe of that name with all `changes` that are not None.

    Raises ValueError, in one line, for a name there is not or a value that cannot be.
    """
    if name not in recipes:
        raise ValueError(f"recipe {name!r} is none of {', '.join(recipes)}")
    check_whole_numbers(1, epochs=changes.get("epochs"))
    wanted = {field: value for field, value in changes.items() if value is not None}
    return replace(recipes[name], **wanted)


def check_whole_numbers(least: int, **values: int | None) -> None:
    """Raise ValueError if a value that is given is no whole number from `least` on."""
    for name, value in values.items():
        if value is not None and (not isinstance(value, int) or value < least):
            raise ValueError(f"{name} must be a whole number from {least}, not {value!r}")
