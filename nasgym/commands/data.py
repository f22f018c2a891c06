"""`nasgym data`: the data sets that are here, and how to get the others."""

from dataclasses import dataclass
from typing import Annotated

import tyro

from nasgym.commands.terminal import OUT, say
from nasgym.display import downloading


@dataclass(frozen=True)
class Data:
    """List the data sets, or fetch one and verify it."""

    name: Annotated[str | None, tyro.conf.Positional] = None
    """The data set to fetch: cifar10."""

    def main(self) -> None:
        """List or fetch."""
        from nasgym.data import cifar10, data_folder

        if self.name is None:
            say(f"the data folder is {data_folder()} (set NASGYM_DATA to have another)")
            say("digits   comes with scikit-learn: nothing to fetch")
            unpacked = data_folder() / cifar10.FOLDER
            found = unpacked if unpacked.exists() else data_folder() / cifar10.ARCHIVE
            say(f"cifar10  {found if found.exists() else 'missing: nasgym data cifar10'}")
            say("images   yours: --set data=FILE.npz or a folder with one folder a class")
        elif self.name == "cifar10":
            with downloading(OUT) as progress:
                path = cifar10.download(progress)
            say(f"CIFAR-10 is at {path}, whole")
        else:
            raise ValueError(f"{self.name!r} cannot be fetched; what can is cifar10")
