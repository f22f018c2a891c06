"""Mirrors of the archive in Weights & Biases and TensorBoard: for looking at, never the record."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nasgym.tracking.detached import Detached
from nasgym.tracking.mirror import Mirror, MirrorError
from nasgym.tracking.tensorboard import TensorBoardMirror
from nasgym.tracking.wandb import WandbMirror


def chosen(
    wandb: str | None, tensorboard: bool, folder: Path, plan: Mapping[str, Any]
) -> list[Mirror]:
    """Return the mirrors asked for of the run in `folder`, which follows `plan`; none is open.

    Raises MirrorError, in one line, for a mode of W&B there is not or a package that is missing.
    """
    mirrors: list[Mirror] = []
    if wandb is not None:
        mirrors.append(WandbMirror(wandb, folder, plan))
    if tensorboard:
        mirrors.append(TensorBoardMirror(folder, plan))
    return mirrors


__all__ = ["Detached", "Mirror", "MirrorError", "TensorBoardMirror", "WandbMirror", "chosen"]
