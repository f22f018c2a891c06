"""Mirrors show the archive in Weights & Biases and TensorBoard; the archive stays the record."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nasgym.tracking.background import BackgroundMirror
from nasgym.tracking.mirror import Mirror, MirrorError
from nasgym.tracking.tensorboard import TensorBoardMirror
from nasgym.tracking.wandb import WandbMirror


def create_mirrors(
    wandb: str | None, tensorboard: bool, folder: Path, plan: Mapping[str, Any]
) -> list[Mirror]:
    """Return the requested mirrors of the run in `folder`, not yet open.

    `wandb` is "offline", "online" or None; `plan` is shown beside the trials. Raises MirrorError,
    in one line, for an unknown mode of W&B or a missing package.
    """
    mirrors: list[Mirror] = []
    if wandb is not None:
        mirrors.append(WandbMirror(wandb, folder, plan))
    if tensorboard:
        mirrors.append(TensorBoardMirror(folder, plan))
    return mirrors


__all__ = [
    "BackgroundMirror",
    "Mirror",
    "MirrorError",
    "TensorBoardMirror",
    "WandbMirror",
    "create_mirrors",
]
