"""The command line's arguments: types of flags, help on defaults, one line for a mistake."""

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr
from dataclasses import replace
from functools import reduce
from io import StringIO
from operator import or_
from types import NoneType
from typing import Annotated, Any, get_args

import tyro
from rich.text import Text
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

from nasgym.errors import InvalidInput
from nasgym.options import did_you_mean

OptionPairs = Annotated[
    tuple[tuple[str, ...], ...],
    tyro.conf.UseAppendAction,
    tyro.conf.arg(metavar="NAME=VALUE [NAME=VALUE ...]"),
]
"""The type of a flag that takes NAME=VALUE pairs and may be repeated: --set a=1 b=2 --set c=3."""

REPEATABLE = ("--set", "--agent-set")
"""Flags of the type OptionPairs."""

PHRASES = {
    "invalid literal for int() with base 10:": "must be a whole number, not",
    "could not convert string to float:": "must be a number, not",
    ". Expected 1 values.": "",
    " (required)": "",
}
"""Python's and tyro's words in errors, and plainer ones."""

REGISTRY = ConstructorRegistry()
"""How tyro reads the types of flags, in addition to its own rules."""


def default(words: str) -> Any:
    """Return a marker for a flag whose default is None; the help describes it by `words`."""
    return tyro.conf.arg(help_behavior_hint=f"(default: {words})")


def parse(commands: Mapping[str, Callable[..., Any]], arguments: Sequence[str]) -> Any:
    """Return the command that `arguments` name, made from its flags.

    Prints help and exits where `arguments` ask for it. Raises InvalidInput, in one line, for a
    mistake.
    """
    known = ", ".join(commands)
    if not arguments:
        raise InvalidInput(f"name a command: {known}; `nasgym --help` describes them")
    name = arguments[0]
    if name[:1] != "-" and name not in commands:
        raise InvalidInput(f"there is no command {name!r}{did_you_mean(name, list(commands))}")
    _refuse_repeated(arguments)
    errors = StringIO()
    try:
        with redirect_stderr(errors):
            return tyro.extras.subcommand_cli_from_dict(
                dict(commands),
                prog="nasgym",
                args=arguments,
                description="Neural architecture search as a reinforcement-learning environment.",
                registry=REGISTRY,
            )
    except SystemExit as stop:
        if not stop.code:
            raise
        command = f"nasgym {name}" if name in commands else "nasgym"
        raise InvalidInput(f"{_one_line(errors.getvalue())} ({command} --help)") from None


def _refuse_repeated(arguments: Sequence[str]) -> None:
    """Raise InvalidInput if a flag that is not REPEATABLE is given twice: one would be ignored."""
    flags = [one.partition("=")[0].replace("_", "-") for one in arguments if one[:2] == "--"]
    for flag in flags:
        if flags.count(flag) > 1 and flag not in REPEATABLE:
            raise InvalidInput(f"{flag} is given twice: give it once, with all its values")


def _one_line(report: str) -> str:
    """Return the first paragraph of tyro's boxed report of an error as one line."""
    text = Text.from_ansi(report).plain
    lines = [line.strip("│╭╮╰╯─ ") for line in text.splitlines()][1:]
    line = " ".join(lines[: lines.index("")]).removeprefix("Error parsing ")
    for technical, plain in PHRASES.items():
        line = line.replace(technical, plain)
    close = re.search(r"Perhaps you meant:\W+(--[\w-]+)", text)
    return f"{line}; did you mean {close[1]!r}?" if close else line


@REGISTRY.primitive_rule
def _optional(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Any] | None:
    """Read `T | None` like `T`: None is the value of a flag that is left out."""
    kinds = get_args(info.type)
    if NoneType not in kinds:
        return None
    rest = reduce(or_, (kind for kind in kinds if kind is not NoneType))
    spec = ConstructorRegistry.get_primitive_spec(PrimitiveTypeInfo.make(rest, info.markers))
    assert isinstance(spec, PrimitiveConstructorSpec)

    def in_words(value: Any) -> list[str]:
        return ["none"] if value is None else spec.str_from_instance(value)

    return replace(spec, str_from_instance=in_words)
