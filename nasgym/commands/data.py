"""`nasgym data`: the data sets that are here, and how to get the others."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from nasgym.commands.live import downloading
from nasgym.commands.terminal import OUT, say


@dataclass(frozen=True)
class Data:
    """List the data sets, or fetch one and verify it."""

    name: Annotated[str | None, tyro.conf.Positional] = None
    """The data set to fetch: cifar10 or ptb."""

    def main(self) -> None:
        """List or fetch."""
        from nasgym.data import cifar10, ptb

        fetchers: dict[str, Callable[[Any], Path]] = {
            "cifar10": cifar10.download,
            "ptb": ptb.download,
        }
        if self.name is None:
            _list()
        elif self.name in fetchers:
            with downloading(OUT) as progress:
                path = fetchers[self.name](progress)
            say(f"{self.name} is at {path}, whole")
        else:
            raise ValueError(
                f"{self.name!r} cannot be fetched; what can is {' and '.join(fetchers)}"
            )


def _list() -> None:
    """Say where each data set is, or how to get it."""
    from nasgym.data import cifar10, data_folder, ptb
    from nasgym.tables import nas_bench_201, nas_bench_macro

    say(f"the data folder is {data_folder()} (set NASGYM_DATA to have another)")
    say("digits         comes with scikit-learn: nothing to fetch")
    say(f"cifar10        {cifar10.find() or 'missing: nasgym data cifar10'}")
    say("images         yours: --set data=FILE.npz or a folder with one folder a class")
    say("documentation  comes with Python: nothing to fetch")
    files = ", ".join(ptb.FILES)
    say(f"ptb            {ptb.find() or f'missing: nasgym data ptb (or {files} there)'}")
    say("texts          yours: --set corpus=FILE.txt or a folder with train, valid and test.txt")
    for table in (nas_bench_201, nas_bench_macro):
        path = data_folder() / table.FILE
        missing = f"{table.FILE} is missing: see docs/tables.md"
        say(f"table          {path if path.is_file() else missing}")
