"""Settings of agents: frozen dataclasses whose fields are the agents' options."""

from collections.abc import Mapping
from dataclasses import fields, replace
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Settings = TypeVar("Settings", bound="DataclassInstance")

KINDS: Mapping[Any, tuple[type, str]] = {
    int: (Integral, "an integer"),
    float: (Real, "a number"),
    bool: (Integral, "true or false"),
    str: (str, "a string"),
    dict: (dict, "a dict"),
}
"""For each annotation: the class that values must have, and its name in error messages."""


def with_options(settings: Settings, options: Mapping[str, Any]) -> Settings:
    """Return `settings` with those `options` that are not None."""
    return replace(settings, **{name: it for name, it in options.items() if it is not None})


def check_types(settings: "DataclassInstance") -> None:
    """Raise ValueError if the value of a field does not have the annotated type."""
    for field in fields(settings):
        check_type(field.name, getattr(settings, field.name), field.type)


def check_type(name: str, value: object, annotation: Any) -> None:
    """Raise ValueError if the option `name` does not have the annotated type, a key of `KINDS`."""
    kind, words = KINDS[annotation]
    if not isinstance(value, kind):
        raise ValueError(f"{name} must be {words}, not {value!r}")
