"""The plain form of an architecture, for files, messages and digests."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from functools import cache
from typing import Any

SCALARS = (int, float, str, type(None))
"""Types that are plain already."""

SEQUENCES = (list, tuple)
"""Types that become lists."""


def plain(architecture: Any) -> Any:
    """Return `architecture` as JSON data: dataclasses become dicts, lists and tuples lists.

    The class attribute `kind` of a dataclass becomes a key, so `nasgym.spaces.read` can find the
    class again; fields that are None are left out. Raises TypeError for anything that JSON cannot
    represent.
    """
    if isinstance(architecture, SCALARS):
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
    """Return the SHA-256 of the plain form, in hexadecimal: equal data has an equal digest."""
    return digest_of_plain(plain(architecture))


def digest_of_plain(data: Any) -> str:
    """Return `digest(data)` for data that is plain already, without converting it again."""
    text = json.dumps(data, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
