"""`nasgym archive`: archives checked, merged, and written as tables for other programs."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from nasgym.archive.check import Checked, check
from nasgym.archive.export import export
from nasgym.archive.merge import Merged, merge
from nasgym.commands.terminal import say
from nasgym.search.run import Run

SAID = 20
"""Children that came out differently of which a merger tells in words."""


@dataclass(frozen=True)
class Check:
    """Look for damage: in the file, in any row, in references and numbers. Exit code 1 if any."""

    archive: Annotated[Path, tyro.conf.Positional]
    """An archive, or the folder of a run."""
    json: bool = False
    """Print JSON instead of text."""

    def main(self) -> None:
        """Check, and print a line for each fault."""
        checked = check(_file(self.archive))
        if self.json:
            print(json.dumps(checked.to_plain()))
        else:
            for fault in checked.faults:
                print(fault)
            say(_words(checked))
        if checked.faults:
            sys.exit(1)


@dataclass(frozen=True)
class Merge:
    """Write one archive with all runs of several, and each child once."""

    archives: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Archives, or folders of runs. Of a child that came out differently the first is kept."""
    into: Path
    """The new archive."""
    json: bool = False
    """Print JSON instead of text."""

    def main(self) -> None:
        """Merge, and say what became of it."""
        merged = merge([_file(path) for path in self.archives], self.into)
        if self.json:
            print(json.dumps(merged.to_plain()))
        else:
            _print(merged)


@dataclass(frozen=True)
class Export:
    """Write all trials as a table: pandas.read_csv(OUT), pandas.read_json(OUT, lines=True)."""

    archive: Annotated[Path, tyro.conf.Positional]
    """An archive, or the folder of a run."""
    out: Path
    """The table, as .csv or .jsonl."""

    def main(self) -> None:
        """Write the table."""
        trials = export(_file(self.archive), self.out)
        say(f"{trials:,} trials are in {self.out}")


@dataclass(frozen=True)
class ArchiveCommand:
    """Check, merge or export archives."""

    action: Annotated[Check | Merge | Export, tyro.conf.OmitSubcommandPrefixes]
    """What to do."""

    def main(self) -> None:
        """Do it."""
        self.action.main()


def _file(path: Path) -> Path:
    """Return the archive that is meant: `path`, or that of the run in the folder `path`."""
    if not path.is_dir():
        return path
    return Run(path).archive_path if (path / "search.json").exists() else path / "archive.db"


def _words(checked: Checked) -> str:
    looked = ", ".join(f"{count:,} {table}" for table, count in checked.rows.items())
    faults = len(checked.faults)
    found = f"{faults} fault{'s' * (faults > 1)}" if faults else "no fault"
    return f"{checked.archive}: {found} (version {checked.version}; {looked or 'nothing read'})"


def _print(merged: Merged) -> None:
    for one in merged.renamed:
        say(f"run {one.before!r} of {one.archive} is {one.now!r} now")
    for other in merged.differing[:SAID]:
        say(f"child {other.key}: {other.kept}; left out {other.left_out}, of {other.archive}")
    if len(merged.differing) > SAID:
        say(f"and {len(merged.differing) - SAID:,} more children that came out differently")
    say(
        f"{merged.archive}: {merged.runs} runs, {merged.trials:,} trials, {merged.children:,} "
        f"children ({merged.shared:,} of them in more than one archive, {len(merged.differing):,} "
        f"with another outcome)"
    )
