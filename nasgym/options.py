"""Options of environments and agents, as "name=value" on the command line."""

import difflib
import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any


def parse_options(pairs: Sequence[str]) -> Mapping[str, Any]:
    """Return "name=value" pairs as a dict; a value is read as JSON where it is JSON."""
    options = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise ValueError(f"{pair!r} is no option: write NAME=VALUE")
        try:
            options[name] = json.loads(value)
        except json.JSONDecodeError:
            options[name] = value
    return options


def did_you_mean(name: str, names: Collection[str]) -> str:
    """Return "; did you mean ...?" if one of `names` is close to `name`, else a list of them."""
    close = difflib.get_close_matches(name, names, n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; there are {', '.join(names)}"
