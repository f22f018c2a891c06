"""Names with options in one word, by which the command line names agents and tasks."""

import re
from collections.abc import Mapping
from typing import Any

from nasgym.errors import InvalidInput
from nasgym.options import parse_options


def parse_name(text: str) -> tuple[str, Mapping[str, Any]]:
    """Return the name and the options of "name:option=value,option=value".

    The options begin after the first colon that "option=" follows, so a name may contain colons:
    "package.module:Class:option=value".
    """
    found = re.fullmatch(r"(.+?)(?::(\w+=.*))?", text, re.DOTALL)
    if found is None:
        raise InvalidInput("a name is empty")
    name, options = found.groups()
    return name, parse_options([re.split(r",(?=\w+=)", options)] if options else [])


def file_name(text: str) -> str:
    """Return `text` as the name of a file or folder."""
    return re.sub(r"[^\w.=-]+", "-", text)
