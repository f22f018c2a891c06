"""The checkpoint: a training set aside in one file, whole and known to be its own.

The first line names the kind of file and the SHA-256 of all that follows: a line with the digest
of what is being trained, then what `torch.save` wrote.
"""

import hashlib
import io
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nasgym.crash_points import crash_point
from nasgym.files import replacing

KIND = b"nasgym checkpoint "


class CheckpointError(ValueError):
    """A checkpoint that cannot be gone on with; the message is one line for the user."""


def save(path: Path, state: dict[str, Any], identity: str) -> None:
    """Write `state` (tensors and plain data) to `path`; the file is the old one or the new one.

    `identity` stands for all that decides the training, on one line.
    """
    buffer = io.BytesIO()
    torch.save(state, buffer)
    content = identity.encode() + b"\n" + buffer.getbuffer()
    with replacing(path) as part, part.open("wb") as file:
        file.write(KIND + sha256(content).encode() + b"\n")
        file.write(content[: len(content) // 2])
        file.flush()
        crash_point("mid_save")
        file.write(content[len(content) // 2 :])


def load(path: Path, identity: str) -> dict[str, Any]:
    """Return what was saved at `path`, its tensors in main memory.

    Raises CheckpointError unless every bit is as it was written, `identity` is the same, and there
    is nothing in it but tensors and plain data; FileNotFoundError if there is no file.
    """
    first, _, content = path.read_bytes().partition(b"\n")
    if first != KIND + sha256(content).encode():
        raise CheckpointError(
            f"{path} is damaged, its content is not what was written: restore it from a copy, or "
            f"delete it to train from the beginning"
        )
    owner, _, payload = content.partition(b"\n")
    if owner != identity.encode():
        raise CheckpointError(
            f"{path} belongs to another training, of another network or with another plan, recipe "
            f"or data: choose another --out"
        )
    return _plain(path, payload)


def save_weights(path: Path, weights: Mapping[str, Tensor]) -> str:
    """Write `weights` to `path`, as `torch.load` reads them, and return the SHA-256 of the file."""
    buffer = io.BytesIO()
    torch.save(dict(weights), buffer)
    with replacing(path) as part:
        part.write_bytes(buffer.getbuffer())
    return sha256(buffer.getbuffer())


def load_weights(path: Path, known_sha256: str | None) -> dict[str, Any]:
    """Return the weights in the file at `path`; None for a sum that was never taken.

    Raises CheckpointError unless every bit is as it was written and there is nothing but tensors
    and plain data; FileNotFoundError if there is no file.
    """
    content = path.read_bytes()
    if known_sha256 not in (None, sha256(content)):
        raise CheckpointError(
            f"{path} is damaged, its content is not what was written: restore it from a copy, or "
            f"train again"
        )
    return _plain(path, content)


def sha256(content: bytes | memoryview) -> str:
    """Return the SHA-256 of `content`, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def _plain(path: Path, content: bytes) -> dict[str, Any]:
    """Return what `torch.save` wrote, made of nothing but tensors and plain data."""
    try:
        with warnings.catch_warnings(action="ignore"):  # about what is no checkpoint
            state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # anything; torch's own words advise to read such a file anyway
        kind = type(error).__name__
        raise CheckpointError(
            f"{path} is no checkpoint of nasgym: reading stopped at {kind}"
        ) from None
    if not isinstance(state, dict):
        raise CheckpointError(f"{path} is no checkpoint of nasgym: it holds no table of tensors")
    return state
