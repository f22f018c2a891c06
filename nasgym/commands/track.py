"""`nasgym track`: show an existing run in Weights & Biases or TensorBoard."""

from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import tyro

from nasgym.commands.console import say
from nasgym.search.entropy import saved_entropy
from nasgym.search.run import Run
from nasgym.tracking import MirrorError, create_mirrors


@dataclass(frozen=True)
class Track:
    """Show every child of a run, finished or not, in Weights & Biases or TensorBoard."""

    folder: Annotated[Path, tyro.conf.Positional]
    """Folder of the run."""
    wandb: str | None = None
    """Show the children in Weights & Biases: offline or online."""
    tensorboard: bool = False
    """Write the children for TensorBoard to FOLDER/tensorboard, replacing earlier ones."""

    def main(self) -> None:
        """Show the run, and print the number of its children."""
        run = Run(self.folder)
        mirrors = create_mirrors(self.wandb, self.tensorboard, self.folder, asdict(run.plan))
        if not mirrors:
            raise MirrorError("say where: --wandb offline, --wandb online or --tensorboard")
        with closing(run.archive()) as archive:
            trials, entropy = list(archive), saved_entropy(run.plan, archive)
        for mirror in mirrors:
            mirror.show_all(trials, entropy)
            say(f"{len(trials)} children are in {mirror.name}")
