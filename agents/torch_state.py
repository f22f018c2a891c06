"""Saving and running torch modules: what the agents with a torch policy share."""

import io
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from nasgym.errors import InvalidInput

FOREIGN_STATE = "the archive holds a state that no agent of nasgym saved"


def packed(state: Mapping[str, Any]) -> bytes:
    """Return tensors and plain data as bytes, for `unpacked`."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def unpacked(data: bytes) -> dict[str, Any]:
    """Return the data given to `packed`; load tensors and plain data only, and run no code.

    Raises ValueError, in one line, for any other bytes: an archive may come from anyone.
    """
    try:
        with warnings.catch_warnings(action="ignore"):  # torch warns about damaged files
            state = torch.load(io.BytesIO(data), weights_only=True)
    except Exception as error:  # any kind; torch's message would advise loading without checks
        kind = type(error).__name__
        raise InvalidInput(f"{FOREIGN_STATE}: reading stopped at {kind}") from None
    if not isinstance(state, dict):
        raise InvalidInput(f"{FOREIGN_STATE}: it is a {type(state).__name__}")
    _intern_keys(state)
    return state


def _intern_keys(data: Any) -> None:
    """Intern all keys in `data`, so that packing it again gives the same bytes.

    Pickle writes one string object once and then refers to it. Keys in a program's text are
    interned, hence one object; keys just loaded are not.
    """
    if isinstance(data, dict):
        for key, value in list(data.items()):
            _intern_keys(value)
            del data[key]
            data[sys.intern(key) if isinstance(key, str) else key] = value
    elif isinstance(data, list):
        for value in data:
            _intern_keys(value)


@contextmanager
def one_thread() -> Iterator[None]:
    """Run torch on one thread.

    Matrices of 35 columns gain nothing from a second thread and lose several times on busy cores.
    One thread also gives the same bits on every machine.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
