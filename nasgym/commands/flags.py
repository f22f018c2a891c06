"""Flags of the command line: those that may be repeated, and an error for all others."""

from collections.abc import Sequence
from typing import Annotated

import tyro

from nasgym.errors import InvalidInput

OptionPairs = Annotated[tuple[tuple[str, ...], ...], tyro.conf.UseAppendAction]
"""The type of a flag that takes NAME=VALUE pairs and may be repeated: --set a=1 b=2 --set c=3."""

REPEATABLE = ("--set", "--agent-set")
"""Flags of the type OptionPairs."""


def refuse_repeated(arguments: Sequence[str]) -> None:
    """Raise InvalidInput if a flag that is not REPEATABLE is given twice: one would be ignored."""
    flags = [one.partition("=")[0].replace("_", "-") for one in arguments if one[:2] == "--"]
    for flag in flags:
        if flags.count(flag) > 1 and flag not in REPEATABLE:
            raise InvalidInput(f"{flag} is given twice: give it once, with all its values")
