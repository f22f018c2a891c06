"""A check of an archive: everything that can be wrong with what lies in the file."""

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nasgym.archive.database import ArchiveError, Database
from nasgym.archive.schema import TABLES, rows

MOST_OF_A_KIND = 100
"""Faults of a kind that are listed."""


@dataclass(frozen=True)
class Checked:
    """What a check has found."""

    archive: str
    """Where the archive is."""
    version: int
    """The version of its tables; 0 if it cannot be told."""
    rows: dict[str, int]
    """Rows that were checked, by table."""
    faults: tuple[str, ...]
    """What is wrong, a line each."""

    def to_plain(self) -> dict[str, Any]:
        """Return it as JSON-able data."""
        return asdict(self)


def check(path: Path) -> Checked:
    """Check the archive at `path`, which nothing changes.

    Whether SQLite finds its file in order; each row against its checksum, the states of agents
    against theirs; that no row refers to one there is not, and no numbers are missing. Archives of
    version 1 have checksums for agents only. Raises ArchiveError if there is no file.
    """
    try:
        database = Database(path, read_only=True)
    except ArchiveError as error:
        if not path.is_file():
            raise
        return Checked(str(path), 0, {}, (str(error),))
    with closing(database):
        database.connection.text_factory = bytes  # text may be text no longer
        counted: dict[str, int] = {}
        faults: list[str] = []
        for what, look in LOOKS.items():
            try:
                faults += _first(look(database, counted))
            except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
                faults.append(f"{what} cannot be read: {error}")
        return Checked(str(path), database.version, counted, tuple(faults))


def _first(faults: Iterator[str]) -> list[str]:
    """Return the first MOST_OF_A_KIND faults, and how many more there are."""
    listed: list[str] = []
    more = 0
    for fault in faults:
        if len(listed) < MOST_OF_A_KIND:
            listed.append(fault)
        else:
            more += 1
    return [*listed, f"and {more:,} more of that kind"] if more else listed


def _file(database: Database, _: dict[str, int]) -> Iterator[str]:
    """Yield what SQLite finds wrong."""
    for (line,) in database.connection.execute("PRAGMA main.integrity_check"):
        if line != b"ok":
            yield f"the file: {_text(line)}"


def _rows(database: Database, counted: dict[str, int]) -> Iterator[str]:
    """Yield the rows whose checksum is another one's, and the agents whose state's is."""
    for table in TABLES:
        names = [
            column[1].decode()
            for column in database.connection.execute(f"PRAGMA table_info({table})")
        ]
        counted[table] = 0
        for cells, intact in rows(database.connection, table, database.version):
            counted[table] += 1
            where = f"{table}, {names[0]}={_text(cells[0])}, {names[1]}={_text(cells[1])}"
            if not intact:
                yield f"{where}: the row is damaged"
            elif table == "agent" and hashlib.sha256(cells[-1]).hexdigest() != _text(cells[-2]):
                yield f"{where}: the state is damaged"


def _references(database: Database, _: dict[str, int]) -> Iterator[str]:
    """Yield the rows that refer to one there is not."""
    for table, row, other, _ in database.connection.execute("PRAGMA main.foreign_key_check"):
        number = "" if row is None else f" {row}"
        yield f"{_text(table)}, row{number}: what it refers to is not in {_text(other)}"


def _numbers(database: Database, _: dict[str, int]) -> Iterator[str]:
    """Yield the runs in which a number is missing, and agents that are ahead of their trials."""
    for table in ("trials", "updates"):
        query = f"SELECT run, COUNT(*), MAX(number) FROM {table} GROUP BY run"
        for run, count, highest in database.connection.execute(query):
            if highest != count - 1:
                yield f"{table}, run={_text(run)}: {count} rows, numbered up to {_text(highest)}"
    query = (
        "SELECT number, run, trials,"
        " (SELECT COUNT(*) FROM trials WHERE trials.run = agent.run) AS done"
        " FROM agent WHERE trials > done"
    )
    for number, run, trials, done in database.connection.execute(query):
        where = f"agent, number={number}, run={_text(run)}"
        yield f"{where}: saved after {_text(trials)} trials, and there are {done}"


LOOKS = {"the file": _file, "a table": _rows, "a reference": _references, "a number": _numbers}
"""What is looked at."""


def _text(cell: Any) -> str:
    return cell.decode(errors="replace") if isinstance(cell, bytes) else str(cell)
