"""An architecture as plain data: what goes into files, messages and digests."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from functools import cache
from typing import Any

WORDS = (int, float, str, type(None))
SEQUENCES = (list, tuple)
"""What JSON has words for, beside mappings; a tuple of types, made once, is asked fastest."""


def plain(architecture: Any) -> Any:
    """Return `architecture` as JSON-able data: dataclasses become dicts, sequences lists.

    A dataclass with a class attribute `kind` carries it as a key, so that `nasgym.spaces.read`
    knows what to make of a file; a field of it that is None is left out. Raises TypeError for
    anything JSON has no word for.
    """
    if isinstance(architecture, WORDS):
        return architecture
    if isinstance(architecture, SEQUENCES):
        return [plain(item) for item in architecture]
    if isinstance(architecture, Mapping):
        return {str(key): plain(value) for key, value in architecture.items()}
    if dataclasses.is_dataclass(architecture) and not isinstance(architecture, type):
        named = {} if not hasattr(architecture, "kind") else {"kind": architecture.kind}
        values = ((name, getattr(architecture, name)) for name in _fields(type(architecture)))
        return named | {name: plain(value) for name, value in values if value is not None}
    raise TypeError(
        f"an architecture must be plain data (dataclasses, dicts, lists, numbers, strings), "
        f"but it holds {architecture!r}"
    )


@cache
def _fields(kind: type[Any]) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(kind))


def digest(architecture: Any) -> str:
    """Return the SHA-256 of the plain form, in hexadecimal: equal digests, equal data."""
    text = json.dumps(plain(architecture), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
