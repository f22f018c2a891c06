"""The mirror in Weights & Biases: each call of the command line makes a W&B run."""

import os
from collections.abc import Mapping
from contextlib import suppress
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasgym.tracking.mirror import Mirror, MirrorError

MODES = ("offline", "online")

INIT_TIMEOUT = 10
"""Seconds that W&B may take to start a run."""


class WandbMirror(Mirror):
    """Logs every trial as a step of a W&B run; in mode "offline" no data leave the machine."""

    name = "wandb"

    def __init__(self, mode: str, folder: Path, plan: Mapping[str, Any]) -> None:
        """Prepare a W&B run named after `folder`, with its files there.

        Raises MirrorError for an unknown mode.
        """
        if mode not in MODES:
            raise MirrorError(f"wandb is {' or '.join(MODES)}, not {mode!r}")
        # W&B sends error reports even offline, and they delay the exit of the program.
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        import wandb  # here, so that the mirror's thread imports nothing beside this one

        self._wandb = wandb
        self._mode, self._folder, self._plan = mode, folder, plan
        self._run: Any = None

    def open(self, first: int) -> None:
        """Start the W&B run."""
        self._run = self._wandb.init(
            project="nasgym",
            name=self._folder.name,
            dir=self._folder,
            mode="offline" if self._mode == "offline" else "online",
            config=dict(self._plan),
            settings=self._wandb.Settings(
                init_timeout=INIT_TIMEOUT,
                finish_timeout=self.close_timeout if isfinite(self.close_timeout) else 0,
                console="off",
                silent=True,
            ),
        )

    def log(self, number: int, numbers: Mapping[str, float], tokens: str) -> None:
        """Log a trial under its number."""
        self._run.log({**numbers, "tokens": tokens}, step=number)

    def draw(self, number: int, pixels: NDArray[np.uint8]) -> None:
        """Log a picture under the number of its trial."""
        picture = self._wandb.Image(pixels, caption=f"child {number}")
        self._run.log({"best": picture}, step=number)

    def close(self) -> None:
        """Finish the W&B run."""
        self._run.finish()

    def abandon(self) -> None:
        """Kill W&B's service process, for which the program would wait at its exit."""
        # Private attributes: the public `wandb.teardown` waits without limit. In a release without
        # them the exit waits too. A service that another program started is left alone.
        with suppress(AttributeError, TypeError):
            connection: Any = self._wandb.setup()._connection
            connection._cleanup()
            connection._proc._process.kill()
