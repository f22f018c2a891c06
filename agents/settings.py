"""Settings of agents: frozen dataclasses whose fields are the agents' options."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from nasgym.options import check_options, types_of

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Settings = TypeVar("Settings", bound="DataclassInstance")


def with_options(settings: Settings, options: Mapping[str, Any]) -> Settings:
    """Return `settings` with those `options` that are not None."""
    return replace(settings, **{name: it for name, it in options.items() if it is not None})


def check_types(settings: "DataclassInstance") -> None:
    """Raise InvalidInput if the value of a field does not have the annotated type."""
    check_options(vars(settings), types_of(type(settings)))
