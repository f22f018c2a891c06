"""The union of archives: all their runs, each child once."""

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

from nasgym.archive.database import ArchiveError, Database
from nasgym.archive.schema import IS_FINAL, create_tables, insert, read_table
from nasgym.evaluation.evaluation import RESOURCE_FAILURES
from nasgym.files import replacing

UNREPEATABLE = ("latency", "attempts")
"""Metrics that may differ when the same child is trained again."""


@dataclass(frozen=True)
class RenamedRun:
    """A run whose name was taken in the union."""

    archive: str
    """Path of its archive."""
    before: str
    """Its name there."""
    now: str
    """Its name in the union."""


@dataclass(frozen=True)
class OutcomeConflict:
    """A child with two outcomes, although its key says that they must be equal."""

    key: str
    """The child's key."""
    kept: str
    """The outcome in the union, from the archive named earlier."""
    archive: str
    """Path of the archive whose outcome was left out."""
    left_out: str
    """The outcome that was left out."""


@dataclass
class MergeReport:
    """The result of a merge."""

    archive: str
    """Path of the union."""
    runs: int = 0
    """Number of runs in all archives."""
    trials: int = 0
    """Number of trials in all archives."""
    children: int = 0
    """Number of different children."""
    shared: int = 0
    """Number of children that an archive named earlier had too."""
    renamed: list[RenamedRun] = field(default_factory=list)
    """Runs that have another name in the union."""
    differing: list[OutcomeConflict] = field(default_factory=list)
    """Children of which one of two outcomes was left out."""

    def to_plain(self) -> dict[str, Any]:
        """Return the report as JSON-able data."""
        return asdict(self)


def merge(sources: Sequence[Path], into: Path) -> MergeReport:
    """Write the union of the archives at `sources` to `into`, without changing them.

    Raises ArchiveError, and leaves no file behind, if `into` exists or a source is damaged.
    """
    if into.exists():
        raise ArchiveError(f"{into} exists already: name another file")
    if len({path.resolve() for path in sources}) < max(len(sources), 2):
        raise ArchiveError("name two archives or more, each once")
    report = MergeReport(str(into))
    into.parent.mkdir(parents=True, exist_ok=True)
    with replacing(into) as part:
        part.unlink(missing_ok=True)
        with closing(sqlite3.connect(part, isolation_level=None)) as target:
            # No journal and no syncs: after a crash the temporary file is overwritten.
            target.execute("PRAGMA journal_mode = OFF")
            target.execute("PRAGMA synchronous = OFF")
            target.execute("BEGIN")
            create_tables(target)
            for path in sources:
                with closing(Database(path, read_only=True)) as source, source.readable():
                    source.connection.execute("BEGIN")  # read one snapshot
                    ArchiveCopy(source, target, report).run()
            target.execute("COMMIT")
    return report


class ArchiveCopy:
    """Copies the rows of one archive into the union, under new run and result numbers."""

    def __init__(self, source: Database, target: sqlite3.Connection, report: MergeReport) -> None:
        """Prepare to copy from `source` to `target`, and to add to `report`."""
        self.source, self.target, self.report = source, target, report
        self._path = str(source.path)
        self._runs: dict[int, int] = {}
        self._results: dict[int, int] = {}

    def run(self) -> None:
        """Copy all rows."""
        for run, name, plan in self._rows("runs"):
            self._runs[run] = insert(self.target, "runs", (self._free_name(name), plan))
            self.report.runs += 1
        for result, key, run, *outcome in self._rows("results"):
            self._results[result] = self._copy_result(key, self._runs[run], *outcome)
        for run, *episode, result, proposal, proposed_at, replica, version in self._rows("trials"):
            row = self._runs[run], *episode, self._results[result]
            insert(self.target, "trials", (*row, proposal, proposed_at, replica, version))
            self.report.trials += 1
        for table in ("proposals", "updates"):
            for run, *others in self._rows(table):
                insert(self.target, table, (self._runs[run], *others))
        for _, run, *others in self._rows("agent"):
            insert(self.target, "agent", (self._runs[run], *others))

    def _rows(self, table: str) -> Iterator[tuple[Any, ...]]:
        for cells, intact in read_table(self.source.connection, table):
            if not intact:
                raise ArchiveError(
                    f"{self._path} is damaged: see nasgym archive check {self._path}"
                )
            yield cells

    def _free_name(self, name: str) -> str:
        """Return the name of a run in the union: its own, or the first of "-2", "-3", ..."""
        taken = {name for (name,) in self.target.execute("SELECT name FROM runs")}
        for number in count(1):
            now = name if number == 1 else f"{name}-{number}"
            if now not in taken:
                break
        if now != name:
            self.report.renamed.append(RenamedRun(self._path, name, now))
        return now

    def _copy_result(self, key: str, run: int, *outcome: Any) -> int:
        """Return the number of a result in the union; insert it if the union has no final one."""
        known = None
        if outcome[2] not in RESOURCE_FAILURES:
            query = f"SELECT * FROM results WHERE key = ? AND {IS_FINAL}"
            known = self.target.execute(query, (key,)).fetchone()
        if known is None:
            self.report.children += 1
            return insert(self.target, "results", (key, run, *outcome))
        self.report.shared += 1
        result, _, _, *kept, _ = known
        if _repeatable(kept) != _repeatable(outcome):
            conflict = OutcomeConflict(key, _describe(kept), self._path, _describe(outcome))
            self.report.differing.append(conflict)
        return int(result)


def _repeatable(outcome: Sequence[Any]) -> tuple[Any, ...]:
    """Return the part of an outcome that must be equal whenever the child is trained."""
    _, accuracy, status, _, _, metrics = outcome
    known = json.loads(metrics)
    return accuracy, status, {name: known[name] for name in known if name not in UNREPEATABLE}


def _describe(outcome: Sequence[Any]) -> str:
    _, accuracy, status, _, _, metrics = outcome
    return f"{status}, accuracy {accuracy}, {metrics}"
