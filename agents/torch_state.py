"""Learning: what agents whose policy is a torch module have in common."""

import io
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, replace
from typing import Any, TypeVar

import torch

Settings = TypeVar("Settings", bound=Any)

FOREIGN_STATE = "the archive holds a state that no agent of nasgym saved"


def with_options(settings: Settings, options: Mapping[str, Any], agent: str) -> Settings:
    """Return the dataclass `settings` with `options`; ValueError for one that `agent` has not."""
    known = [field.name for field in fields(settings)]
    for name in options:
        if name not in known:
            raise ValueError(f"{agent} has no option {name!r}; there are {', '.join(known)}")
    return replace(settings, **options)


def packed(state: Mapping[str, Any]) -> bytes:
    """Return tensors and plain data as bytes, for `unpacked`."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def unpacked(data: bytes) -> dict[str, Any]:
    """Return what `packed` was given; nothing but tensors and plain data is made of the bytes.

    Raises ValueError, in one line, if they are something else: an archive comes from anywhere.
    """
    try:
        with warnings.catch_warnings(action="ignore"):  # about what is no state
            state = torch.load(io.BytesIO(data), weights_only=True)
    except Exception as error:  # anything; torch's own words advise to read it anyway
        kind = type(error).__name__
        raise ValueError(f"{FOREIGN_STATE}: reading stopped at {kind}") from None
    if not isinstance(state, dict):
        raise ValueError(f"{FOREIGN_STATE}: it is a {type(state).__name__}")
    _intern(state)
    return state


def _intern(data: Any) -> None:
    """Make the keys in `data` the very strings of a program's text.

    What is packed again then has the same bytes, whether or not it was unpacked in between: the
    format writes a string once and refers to it where it meets the same object.
    """
    if isinstance(data, dict):
        for key, value in list(data.items()):
            _intern(value)
            del data[key]
            data[sys.intern(key) if isinstance(key, str) else key] = value
    elif isinstance(data, list):
        for value in data:
            _intern(value)


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread: matrices of 35 columns gain nothing from a second one.

    On busy cores they lose several times by waiting for it, and one thread gives the same bits
    everywhere.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
