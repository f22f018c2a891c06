"""Malicious contents of files, and a trap that shows whether any of it was executed."""

import io
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch

SCRIPT = "</style><script>alert('1')</script><img src=x onerror=\"alert(2)\">&amp;$\\x$[/red]"
"""A name with markup of HTML, of formulas and of terminals."""


class Trap:
    """An object whose unpickling creates a folder."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.mark),)


def blobs(mark: Path) -> dict[str, bytes]:
    """Return bytes that are not a file of tensors and plain data, by description."""
    trap = Trap(mark)
    assert_works(trap)
    saved = io.BytesIO()
    torch.save({"policy": trap, "weights": torch.ones(2)}, saved)
    return {
        "a pickle": pickle.dumps(trap),
        "a pickle of protocol 2": pickle.dumps(trap, protocol=2),
        "what torch.save wrote": saved.getvalue(),
        "Stable-Baselines3's zip": sb3_zip(trap),
        "nothing": b"",
        "noise": bytes(range(256)),
        "half of what torch.save wrote": saved.getvalue()[: len(saved.getvalue()) // 2],
        "a list": pickle.dumps([1, 2], protocol=2),
    }


def assert_works(trap: Trap) -> None:
    """Unpickle the trap once, to prove that it would leave its mark."""
    pickle.loads(pickle.dumps(trap))
    trap.mark.rmdir()


def sb3_zip(trap: Trap) -> bytes:
    """Return a file like those of `BaseAlgorithm.save`, with a trap in its data and weights."""
    content = io.BytesIO()
    weights = io.BytesIO()
    torch.save(trap, weights)
    with zipfile.ZipFile(content, "w") as file:
        file.writestr("data", '{"policy_class": {":type:": "<class>", ":serialized:": "gASV"}}')
        file.writestr("policy.pth", weights.getvalue())
        file.writestr("archive/data.pkl", pickle.dumps(trap))
    return content.getvalue()
