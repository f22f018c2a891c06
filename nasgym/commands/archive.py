"""`nasgym archive`: check archives, merge them, or export their trials as a table."""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from nasgym.archive.check import CheckReport, check
from nasgym.archive.export import export
from nasgym.archive.merge import MergeReport, merge
from nasgym.commands.console import say
from nasgym.search.run import Run

CONFLICTS_SHOWN = 20
"""Maximum number of children with two outcomes that a merge prints."""


@dataclass(frozen=True)
class Check:
    """Check the file, its rows, references and numbers for damage; exit with 1 if there is any."""

    archive: Annotated[Path, tyro.conf.Positional]
    """An archive, or the folder of a run."""
    json: bool = False
    """Print JSON instead of text."""

    def main(self) -> None:
        """Check, and print one line per fault."""
        report = check(_file(self.archive))
        if self.json:
            print(json.dumps(report.to_plain()))
        else:
            for fault in report.faults:
                print(fault)
            say(_summary(report))
        if report.faults:
            sys.exit(1)


@dataclass(frozen=True)
class Merge:
    """Write all runs of several archives to a new one, with each child once."""

    archives: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Archives or folders of runs. The first outcome of a child is kept."""
    into: Path
    """The new archive."""
    json: bool = False
    """Print JSON instead of text."""

    def main(self) -> None:
        """Merge, and print a summary."""
        report = merge([_file(path) for path in self.archives], self.into)
        if self.json:
            print(json.dumps(report.to_plain()))
        else:
            _print(report)


@dataclass(frozen=True)
class Export:
    """Write all trials as a table: pandas.read_csv(OUT), pandas.read_json(OUT, lines=True)."""

    archive: Annotated[Path, tyro.conf.Positional]
    """An archive, or the folder of a run."""
    out: Path
    """File of the table: .csv or .jsonl."""

    def main(self) -> None:
        """Write the table."""
        trials = export(_file(self.archive), self.out)
        say(f"{trials:,} trials are in {self.out}")


@dataclass(frozen=True)
class ArchiveCommand:
    """Check, merge or export archives."""

    action: Annotated[Check | Merge | Export, tyro.conf.OmitSubcommandPrefixes]
    """Action on archives."""

    def main(self) -> None:
        """Run the action."""
        self.action.main()


def _file(path: Path) -> Path:
    """Return `path`, or the archive of the run if `path` is a folder."""
    if not path.is_dir():
        return path
    return Run(path).archive_path if (path / "search.json").exists() else path / "archive.db"


def _summary(report: CheckReport) -> str:
    checked = ", ".join(f"{count:,} {table}" for table, count in report.rows.items())
    faults = len(report.faults)
    found = f"{faults} fault{'s' * (faults > 1)}" if faults else "no fault"
    return f"{report.archive}: {found} (version {report.version}; {checked or 'nothing read'})"


def _print(report: MergeReport) -> None:
    for run in report.renamed:
        say(f"run {run.before!r} of {run.archive} is now {run.now!r}")
    for child in report.differing[:CONFLICTS_SHOWN]:
        say(f"child {child.key}: {child.kept}; left out {child.left_out}, of {child.archive}")
    if len(report.differing) > CONFLICTS_SHOWN:
        say(f"and {len(report.differing) - CONFLICTS_SHOWN:,} more children with two outcomes")
    say(
        f"{report.archive}: {report.runs} runs, {report.trials:,} trials, {report.children:,} "
        f"children ({report.shared:,} of them in more than one archive, {len(report.differing):,} "
        f"with another outcome)"
    )
