"""The checkpoint: a training set aside in one file, whole and known to be its own.

The first line names the kind of file and the SHA-256 of all that follows: a line with the digest
of what is being trained, then what `torch.save` wrote.
"""

import hashlib
import io
from pathlib import Path
from typing import Any

import torch

from nasgym.faults import crash_point
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
        file.write(KIND + hashlib.sha256(content).hexdigest().encode() + b"\n")
        file.write(content[: len(content) // 2])
        file.flush()
        crash_point("mid_save")
        file.write(content[len(content) // 2 :])


def load(path: Path, identity: str) -> dict[str, Any]:
    """Return what was saved at `path`, its tensors in main memory.

    Raises CheckpointError unless every bit is as it was written and `identity` is the same;
    FileNotFoundError if there is no file.
    """
    first, _, content = path.read_bytes().partition(b"\n")
    if first != KIND + hashlib.sha256(content).hexdigest().encode():
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
    state: dict[str, Any] = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
    return state
