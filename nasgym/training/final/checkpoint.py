"""Checkpoints: the state of a training in one file, protected by a checksum and an identity.

The first line names the kind of file and the SHA-256 of the rest. The rest is a line with the
identity of the training, followed by the output of `torch.save`.
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
from nasgym.errors import InvalidInput
from nasgym.files import replacing

KIND = b"nasgym checkpoint "


class CheckpointError(InvalidInput):
    """A checkpoint that cannot be used; the message is one line for the user."""


def save(path: Path, state: dict[str, Any], identity: str) -> None:
    """Replace the file at `path` atomically by `state`, which is tensors and plain data.

    `identity` is the digest of everything that decides the training, without a line break.
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
    """Return the state saved at `path`, with its tensors in main memory.

    Raises CheckpointError if a bit changed, if `identity` differs, or if the file holds anything
    but tensors and plain data; FileNotFoundError if there is no file.
    """
    first, _, content = path.read_bytes().partition(b"\n")
    if first != KIND + sha256(content).encode():
        raise CheckpointError(
            f"{path} is damaged, its checksum is wrong: restore it from a copy, or "
            f"delete it to train from the beginning"
        )
    owner, _, payload = content.partition(b"\n")
    if owner != identity.encode():
        raise CheckpointError(
            f"{path} belongs to another training (another network, plan, recipe or data): choose "
            f"another --out"
        )
    return _plain(path, payload)


def save_weights(path: Path, weights: Mapping[str, Tensor]) -> str:
    """Write `weights` to `path` with `torch.save` and return the SHA-256 of the file."""
    buffer = io.BytesIO()
    torch.save(dict(weights), buffer)
    with replacing(path) as part:
        part.write_bytes(buffer.getbuffer())
    return sha256(buffer.getbuffer())


def load_weights(path: Path, known_sha256: str | None) -> dict[str, Any]:
    """Return the weights in the file at `path`; a checksum of None is not compared.

    Raises CheckpointError if a bit changed or the file holds anything but tensors and plain data;
    FileNotFoundError if there is no file.
    """
    content = path.read_bytes()
    if known_sha256 not in (None, sha256(content)):
        raise CheckpointError(
            f"{path} is damaged, its checksum is wrong: restore it from a copy, or train again"
        )
    return _plain(path, content)


def sha256(content: bytes | memoryview) -> str:
    """Return the SHA-256 of `content`, in hexadecimal."""
    return hashlib.sha256(content).hexdigest()


def _plain(path: Path, content: bytes) -> dict[str, Any]:
    """Return the dict that `torch.save` wrote; refuse anything but tensors and plain data."""
    try:
        with warnings.catch_warnings(
            action="ignore"
        ):  # torch warns about files that are no checkpoints
            state = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # of any kind; torch's message would advise to load it unsafely
        kind = type(error).__name__
        raise CheckpointError(
            f"{path} is no checkpoint of nasgym: reading stopped at {kind}"
        ) from None
    if not isinstance(state, dict):
        raise CheckpointError(f"{path} is no checkpoint of nasgym: it holds no dict of tensors")
    return state
