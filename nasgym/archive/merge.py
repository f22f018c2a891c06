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
from nasgym.archive.schema import FINAL, insert, make, rows
from nasgym.evaluation.evaluation import ENVIRONMENTAL
from nasgym.files import replacing

BY_THE_CLOCK = ("latency", "attempts")
"""Metrics that come out differently when a child is trained again."""


@dataclass(frozen=True)
class Renamed:
    """A run whose name was taken."""

    archive: str
    """Where it is called `before`."""
    before: str
    """What it is called there."""
    now: str
    """What it is called in the union."""


@dataclass(frozen=True)
class Differing:
    """A child that came out differently, although what decides its outcome is the same."""

    key: str
    """What it is stored under."""
    kept: str
    """The outcome that the union has: that of the archive named earlier."""
    archive: str
    """Whose outcome was left out."""
    left_out: str
    """That outcome."""


@dataclass
class Merged:
    """What became of some archives."""

    archive: str
    """Where their union is."""
    runs: int = 0
    """Runs of all."""
    trials: int = 0
    """Trials of all."""
    children: int = 0
    """Different children."""
    shared: int = 0
    """Children that were in an archive named earlier too."""
    renamed: list[Renamed] = field(default_factory=list)
    """Runs that have another name now."""
    differing: list[Differing] = field(default_factory=list)
    """Children of which one outcome of two was left out."""

    def to_plain(self) -> dict[str, Any]:
        """Return it as JSON-able data."""
        return asdict(self)


def merge(sources: Sequence[Path], into: Path) -> Merged:
    """Write the union of the archives at `sources` to `into`; they stay as they are.

    Raises ArchiveError, and leaves nothing behind, if `into` exists or a source is damaged.
    """
    if into.exists():
        raise ArchiveError(f"{into} exists already: name another file")
    if len({path.resolve() for path in sources}) < max(len(sources), 2):
        raise ArchiveError("name two archives or more, each once")
    merged = Merged(str(into))
    into.parent.mkdir(parents=True, exist_ok=True)
    with replacing(into) as part:
        part.unlink(missing_ok=True)
        with closing(sqlite3.connect(part, isolation_level=None)) as target:
            target.execute("PRAGMA journal_mode = OFF")  # what a crash leaves is made anew
            target.execute("PRAGMA synchronous = OFF")
            target.execute("BEGIN")
            make(target)
            for path in sources:
                with closing(Database(path, read_only=True)) as source, source.readable():
                    source.connection.execute("BEGIN")  # see one moment of it
                    Copying(source, target, merged).all()
            target.execute("COMMIT")
    return merged


class Copying:
    """One archive on its way into the union."""

    def __init__(self, source: Database, target: sqlite3.Connection, merged: Merged) -> None:
        """Copy from `source` to `target`, and tell `merged`."""
        self.source, self.target, self.merged = source, target, merged
        self.where = str(source.path)
        self._runs: dict[int, int] = {}
        self._results: dict[Any, int] = {}

    def all(self) -> None:
        """Copy everything, with other numbers."""
        for run, name, plan in self._rows("runs"):
            self._runs[run] = insert(self.target, "runs", (self._name(name), plan))
            self.merged.runs += 1
        for result, key, run, *outcome in self._rows("results"):
            self._results[result] = self._result(key, self._runs[run], *outcome)
        for run, *episode, result, proposal, proposed_at, replica, version in self._rows("trials"):
            row = self._runs[run], *episode, self._results[result]
            insert(self.target, "trials", (*row, proposal, proposed_at, replica, version))
            self.merged.trials += 1
        for table in ("proposals", "updates"):
            for run, *others in self._rows(table):
                insert(self.target, table, (self._runs[run], *others))
        for _, run, *others in self._rows("agent"):
            insert(self.target, "agent", (self._runs[run], *others))

    def _rows(self, table: str) -> Iterator[tuple[Any, ...]]:
        for cells, intact in rows(self.source.connection, table, self.source.version):
            if not intact:
                raise ArchiveError(
                    f"{self.where} is damaged: see nasgym archive check {self.where}"
                )
            yield cells

    def _name(self, name: str) -> str:
        """Return what a run is called from now on."""
        taken = {name for (name,) in self.target.execute("SELECT name FROM runs")}
        for number in count(1):
            now = name if number == 1 else f"{name}-{number}"
            if now not in taken:
                break
        if now != name:
            self.merged.renamed.append(Renamed(self.where, name, now))
        return now

    def _result(self, key: str, run: int, *outcome: Any) -> int:
        """Return the number of a result in the union, which takes it unless it has one."""
        known = None
        if outcome[2] not in ENVIRONMENTAL:
            query = f"SELECT * FROM results WHERE key = ? AND {FINAL}"
            known = self.target.execute(query, (key,)).fetchone()
        if known is None:
            self.merged.children += 1
            return insert(self.target, "results", (key, run, *outcome))
        self.merged.shared += 1
        result, _, _, *kept, _ = known
        if _comparable(kept) != _comparable(outcome):
            self.merged.differing.append(Differing(key, _words(kept), self.where, _words(outcome)))
        return int(result)


def _comparable(outcome: Sequence[Any]) -> tuple[Any, ...]:
    """Return what must be the same whenever the child is trained."""
    _, accuracy, status, _, _, metrics = outcome
    known = json.loads(metrics)
    return accuracy, status, {name: known[name] for name in known if name not in BY_THE_CLOCK}


def _words(outcome: Sequence[Any]) -> str:
    _, accuracy, status, _, _, metrics = outcome
    return f"{status}, accuracy {accuracy}, {metrics}"
