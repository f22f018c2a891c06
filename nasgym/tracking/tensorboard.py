"""The mirror in TensorBoard: event files in the folder of the run."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasgym.tracking.mirror import Mirror, MirrorError


class TensorBoardMirror(Mirror):
    """Writes every trial as a step; view them with `tensorboard --logdir FOLDER`."""

    name = "tensorboard"

    def __init__(self, folder: Path, plan: Mapping[str, Any]) -> None:
        """Prepare to write into `folder`/tensorboard.

        Raises MirrorError if TensorBoard is not installed.
        """
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ModuleNotFoundError as error:
            raise MirrorError(
                f"TensorBoard needs {error.name}: pip install 'nasgym[tensorboard]'"
            ) from None
        self._folder, self._plan = folder / "tensorboard", plan
        self._writer_class: Any = SummaryWriter
        self._writer: Any = None

    def open(self, first: int) -> None:
        """Begin an event file; TensorBoard drops the steps from `first` on in earlier files."""
        self._await_another_second()
        self._writer = self._writer_class(str(self._folder), purge_step=first)
        self._writer.add_text("plan", f"```\n{json.dumps(self._plan, indent=2)}\n```", first)

    def _await_another_second(self) -> None:
        """Wait until no event file is named after the current second.

        TensorBoard reads the files in the order of their names: the second, then a counter. In one
        second, the tenth file would come before the ninth.
        """
        seconds = {file.name.split(".")[3] for file in self._folder.glob("events.out.tfevents.*")}
        while str(int(time.time())) in seconds:
            time.sleep(0.02)

    def log(self, number: int, numbers: Mapping[str, float], tokens: str) -> None:
        """Write a trial under its number."""
        for name, value in numbers.items():
            self._writer.add_scalar(name, value, number)
        self._writer.add_text("tokens", tokens, number)

    def draw(self, number: int, pixels: NDArray[np.uint8]) -> None:
        """Write a picture under the number of its trial."""
        self._writer.add_image("best", pixels, number, dataformats="HWC")

    def close(self) -> None:
        """Write all buffered events."""
        self._writer.close()

    def abandon(self) -> None:
        """Do nothing: the writer's thread does not delay the exit."""
