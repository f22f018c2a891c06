"""Options by name: read from the command line, and checked against dataclasses and signatures."""

import difflib
import inspect
import json
import os
import typing
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import TYPE_CHECKING, Any, TypeVar, Union

from nasgym.errors import InvalidInput

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

DataclassT = TypeVar("DataclassT", bound="DataclassInstance")

KINDS: Mapping[Any, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    list: "a list",
    dict: "a mapping",
    Any: "any value",
}
"""The types that an option may have, in words."""

ANY_NAME = "**"
"""Among known options: any other name is known too."""


def parse_options(groups: Iterable[Sequence[str]]) -> dict[str, Any]:
    """Return "name=value" pairs, in groups as they were given, as a dict.

    A value is read as JSON if it is JSON, else as text. Raises InvalidInput for a pair without a
    name or a value, and for a name that is given twice with two values.
    """
    options: dict[str, Any] = {}
    for pair in (pair for group in groups for pair in group):
        name, equals, text = pair.partition("=")
        if not equals or not name:
            raise InvalidInput(f"{pair!r} is no option: write NAME=VALUE")
        try:
            value = json.loads(text)
        except ValueError:  # also of a number with thousands of digits
            value = text
        if name in options and options[name] != value:
            raise InvalidInput(
                f"option {name!r} is given twice, as {options[name]!r} and {value!r}: give it once"
            )
        options[name] = value
    return options


def check_options(
    options: Mapping[str, Any], known: Mapping[str, Any], owner: str = ""
) -> dict[str, Any]:
    """Return `options` with values of the types that `known` has by name.

    Lists become tuples and paths become text where the type says so. Raises InvalidInput
    for a name that `known` lacks or a value of another type. `owner` opens the message.
    """
    for name in options:
        if name not in known and ANY_NAME not in known:
            subject = f"{owner} has" if owner else "there is"
            raise InvalidInput(f"{subject} no option {name!r}{did_you_mean(name, list(known))}")
    return {name: _checked(name, value, known.get(name, Any)) for name, value in options.items()}


def from_options(kind: type[DataclassT], options: object) -> DataclassT:
    """Return the dataclass `kind` made of `options`, which come from a file.

    Raises InvalidInput for something else than a mapping, for a missing or an unknown name and for
    a value of another type.
    """
    if not isinstance(options, Mapping):
        raise InvalidInput(f"it must be a mapping, not {options!r:.40}")
    required = [
        each.name
        for each in fields(kind)
        if each.init and each.default is MISSING and each.default_factory is MISSING
    ]
    if missing := [name for name in required if name not in options]:
        raise InvalidInput(f"it lacks {', '.join(missing)}")
    return kind(**check_options(options, types_of(kind)))


def types_of(kind: type | Callable[..., Any]) -> dict[str, Any]:
    """Return the names and types of a dataclass's fields, or of a function's keyword arguments.

    A function that takes any other names has the key ANY_NAME too.
    """
    if is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        return {each.name: hints[each.name] for each in fields(kind) if each.init}
    parameters = inspect.signature(kind).parameters
    try:
        function = getattr(kind, "__init__") if isinstance(kind, type) else kind  # noqa: B009
        hints = typing.get_type_hints(function)
    except NameError:  # of a name that only type checkers import: its types are not checked
        hints = {}
    types = {
        name: hints.get(name, Any)
        for name, parameter in parameters.items()
        if parameter.kind in (parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD)
    }
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        types[ANY_NAME] = Any
    return types


def type_in_words(kind: Any) -> str:
    """Return the type of an option in words, such as "a whole number or text"."""
    kinds = [each for each in _alternatives(kind) if each is not NoneType]
    return " or ".join(_words(each) for each in kinds if each is not int or float not in kinds)


def did_you_mean(name: str, names: Collection[str]) -> str:
    """Return "; did you mean ...?" if one of `names` is close to `name`, else a list of them."""
    close = difflib.get_close_matches(name, names, n=1)
    known = ", ".join(name for name in names if name != ANY_NAME)
    return f"; did you mean {close[0]!r}?" if close else f"; there are {known}"


def _checked(name: str, value: Any, kind: Any) -> Any:
    for each in _alternatives(kind):
        converted = _converted(value, each)
        if converted is not NotImplemented:
            return converted
    raise InvalidInput(f"{name} must be {type_in_words(kind)}, not {value!r}")


def _alternatives(kind: Any) -> tuple[Any, ...]:
    return typing.get_args(kind) if typing.get_origin(kind) in (Union, UnionType) else (kind,)


def _converted(value: Any, kind: Any) -> Any:
    """Return `value` as a `kind`; NotImplemented if it is something else."""
    origin, arguments = typing.get_origin(kind) or kind, typing.get_args(kind)
    if origin is tuple:
        return _tuple(value, arguments)
    if origin in (int, float):
        return _number(value, origin)
    if origin is str and isinstance(value, os.PathLike):
        return os.fspath(value)
    if origin is typing.Literal:
        return value if value in arguments else NotImplemented
    if origin is Any or not isinstance(origin, type):
        return value
    return value if isinstance(value, Mapping if origin is dict else origin) else NotImplemented


def _tuple(value: Any, kinds: tuple[Any, ...]) -> Any:
    if not isinstance(value, list | tuple):
        return NotImplemented
    if not kinds:  # a bare `tuple`
        return tuple(value)
    if kinds[-1:] == (...,):
        kinds = kinds[:1] * len(value)
    items = tuple(_converted(item, kind) for item, kind in zip(value, kinds, strict=False))
    return NotImplemented if NotImplemented in items or len(kinds) != len(value) else items


def _number(value: Any, kind: type) -> Any:
    if type(value) is bool:
        return NotImplemented
    if isinstance(value, Integral):
        return int(value)  # also for a float: it may be part of a digest
    return float(value) if kind is float and isinstance(value, Real) else NotImplemented


def _words(kind: Any) -> str:
    origin, arguments = typing.get_origin(kind) or kind, typing.get_args(kind)
    if origin is tuple:
        return f"a list of {_words(arguments[0]).removeprefix('a ')}s" if arguments else "a list"
    if origin is typing.Literal:
        return " or ".join(map(repr, arguments))
    return KINDS.get(dict if origin is Mapping else origin, str(kind))
