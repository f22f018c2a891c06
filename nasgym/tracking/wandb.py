"""The mirror in Weights & Biases: one run there for each call of the command line."""

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

SECONDS_TO_BEGIN = 10
"""How long W&B may take to begin."""


class WandbMirror(Mirror):
    """Every trial as a step of a run of W&B; with "offline" nothing leaves the machine."""

    name = "wandb"

    def __init__(self, mode: str, folder: Path, plan: Mapping[str, Any]) -> None:
        """Prepare a run named after `folder`, and below it; MirrorError for an unknown mode."""
        if mode not in MODES:
            raise MirrorError(f"wandb is {' or '.join(MODES)}, not {mode!r}")
        # Telemetry leaves the machine even offline, and a program that ends waits for it.
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        import wandb  # not in the mirror's thread: it would import beside another import

        self._wandb = wandb
        self._mode, self._folder, self._plan = mode, folder, plan
        self._run: Any = None

    def open(self, first: int) -> None:
        """Begin the run."""
        self._run = self._wandb.init(
            project="nasgym",
            name=self._folder.name,
            dir=self._folder,
            mode="offline" if self._mode == "offline" else "online",
            config=dict(self._plan),
            settings=self._wandb.Settings(
                init_timeout=SECONDS_TO_BEGIN,
                finish_timeout=self.patience if isfinite(self.patience) else 0,
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
        """End the run."""
        self._run.finish()

    def abandon(self) -> None:
        """Kill W&B's own process, which a program that ends waits for as long as it may take."""
        # W&B has no public way; with another release than that tested the program may wait. A
        # program that was started by one with W&B speaks to that one's process, and has none.
        with suppress(AttributeError, TypeError):
            connection: Any = self._wandb.setup()._connection
            connection._cleanup()
            connection._proc._process.kill()
