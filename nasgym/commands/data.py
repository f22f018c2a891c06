"""`nasgym data`: list the data sets, or download one."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from nasgym.commands.console import OUT, downloading, say
from nasgym.errors import InvalidInput

if TYPE_CHECKING:
    from nasgym.data.download import Progress


@dataclass(frozen=True)
class Data:
    """List the data sets, or download one and verify it."""

    name: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[DATA]")] = None
    """Data set to download: cifar10 or ptb."""

    def main(self) -> None:
        """List or download."""
        from nasgym.data.cifar10 import download_cifar10
        from nasgym.data.ptb import download_ptb

        downloads: dict[str, Callable[[Progress], Path]] = {
            "cifar10": download_cifar10,
            "ptb": download_ptb,
        }
        if self.name is None:
            _list()
        elif self.name in downloads:
            with downloading(OUT) as progress:
                path = downloads[self.name](progress)
            say(f"{self.name} is at {path}, complete")
        else:
            raise InvalidInput(
                f"{self.name!r} cannot be downloaded; choose {' or '.join(downloads)}"
            )


def _list() -> None:
    """Print where each data set is, or how to get it."""
    from nasgym.data import data_folder
    from nasgym.data.cifar10 import find_cifar10
    from nasgym.data.ptb import FILES, find_ptb
    from nasgym.tables import nas_bench_201, nas_bench_macro

    say(f"the data folder is {data_folder()} (set NASGYM_DATA to use another)")
    say("digits         comes with scikit-learn: nothing to download")
    say(f"cifar10        {find_cifar10() or 'missing: nasgym data cifar10'}")
    say("images         yours: --set data=FILE.npz or a folder with one folder for each class")
    say("documentation  comes with Python: nothing to download")
    missing = f"missing: nasgym data ptb (or put {', '.join(FILES)} there)"
    say(f"ptb            {find_ptb() or missing}")
    say("texts          yours: --set corpus=FILE.txt or a folder with train, valid and test.txt")
    for table in (nas_bench_201, nas_bench_macro):
        path = data_folder() / table.FILE
        missing = f"{table.FILE} is missing: see docs/tables.md"
        say(f"table          {path if path.is_file() else missing}")
