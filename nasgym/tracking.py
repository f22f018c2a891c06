"""A mirror of the archive in Weights & Biases: for looking at, never the record.

Whatever goes wrong in it, no network, a full disk, a service that hangs up, costs one warning and
never a child: the archive has the trial already.
"""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from nasgym.archive import Trial
from nasgym.faults import crash_point

MODES = ("offline", "online")


class WandbMirror:
    """Log every trial to one run of W&B; with "offline" nothing leaves the machine."""

    def __init__(self, mode: str, folder: Path, config: Mapping[str, Any]) -> None:
        """Begin a run named after `folder`, and below it; raise ValueError for an unknown mode."""
        if mode not in MODES:
            raise ValueError(f"wandb is {' or '.join(MODES)}, not {mode!r}")
        self._run: Any = None
        self._guard(lambda: self._begin(mode, folder, config))

    def _begin(self, mode: str, folder: Path, config: Mapping[str, Any]) -> None:
        import wandb

        settings = wandb.Settings(init_timeout=30, silent=True)
        self._run = wandb.init(
            project="nasgym",
            name=folder.name,
            dir=folder,
            mode="offline" if mode == "offline" else "online",
            config=dict(config),
            settings=settings,
        )

    def show(self, trial: Trial) -> None:
        """Log a trial under its number."""
        numbers = {
            name: value
            for name, value in trial.metrics.items()
            if isinstance(value, int | float) and not isinstance(value, bool)
        }
        values = {
            **numbers,
            "reward": trial.reward,
            "accuracy": trial.accuracy,
            "seconds": trial.seconds,
            "cached": int(trial.cached),
            "failed": int(trial.status != "ok"),
        }
        self._guard(lambda: self._run and self._run.log(values, step=trial.number))
        crash_point("mid_wandb")

    def close(self) -> None:
        """End the run."""
        self._guard(lambda: self._run and self._run.finish())

    def _guard(self, action: Callable[[], object]) -> None:
        try:
            action()
        except Exception as error:
            self._run = None
            print(f"wandb failed and is left alone from now on: {error}", file=sys.stderr)
