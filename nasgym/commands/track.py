"""`nasgym track`: a run that exists, shown in Weights & Biases or TensorBoard."""

from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import tyro

from nasgym.commands.terminal import say
from nasgym.search.entropy import saved_entropy
from nasgym.search.run import Run
from nasgym.tracking import MirrorError, chosen


@dataclass(frozen=True)
class Track:
    """Show every child of a run, finished or not, in Weights & Biases or TensorBoard."""

    folder: Annotated[Path, tyro.conf.Positional]
    """Folder of the run."""
    wandb: str | None = None
    """Show it in Weights & Biases: offline or online."""
    tensorboard: bool = False
    """Write it for TensorBoard, into FOLDER/tensorboard; what is there already counts no more."""

    def main(self) -> None:
        """Show the run and say how much of it there is."""
        run = Run(self.folder)
        mirrors = chosen(self.wandb, self.tensorboard, self.folder, asdict(run.plan))
        if not mirrors:
            raise MirrorError("say where: --wandb offline, --wandb online or --tensorboard")
        with closing(run.archive()) as archive:
            trials, entropy = list(archive), saved_entropy(run.plan, archive)
        for mirror in mirrors:
            mirror.show_all(trials, entropy)
            say(f"{len(trials)} children are in {mirror.name}")
