"""A check of an archive: the file, its rows, their references and their numbers."""

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nasgym.archive.database import ArchiveError, Database
from nasgym.archive.schema import TABLES, VERSION, read_table

MOST_OF_A_KIND = 100
"""Maximum number of faults of one kind that a report lists."""


@dataclass(frozen=True)
class CheckReport:
    """The result of a check."""

    archive: str
    """Path of the archive."""
    version: int
    """Version of its tables; 0 if the file cannot be opened as an archive."""
    rows: dict[str, int]
    """Number of checked rows, by table."""
    faults: tuple[str, ...]
    """One line for each fault."""

    def to_plain(self) -> dict[str, Any]:
        """Return the report as JSON-able data."""
        return asdict(self)


def check(path: Path) -> CheckReport:
    """Check the archive at `path`, without changing it.

    Runs SQLite's integrity check, compares each row and each agent state with its checksum, and
    looks for references to missing rows and for gaps in numbers. Raises ArchiveError if there is no
    file.
    """
    try:
        database = Database(path, read_only=True)
    except ArchiveError as error:
        if not path.is_file():
            raise
        return CheckReport(str(path), 0, {}, (str(error),))
    with closing(database):
        database.connection.text_factory = bytes  # damaged text may not decode
        counted: dict[str, int] = {}
        faults: list[str] = []
        for subject, find_faults in CHECKS.items():
            try:
                faults += _first(find_faults(database, counted))
            except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
                faults.append(f"{subject} cannot be read: {error}")
        return CheckReport(str(path), VERSION, counted, tuple(faults))


def _first(faults: Iterator[str]) -> list[str]:
    """Return the first MOST_OF_A_KIND faults, and a line with the number of the others."""
    listed: list[str] = []
    more = 0
    for fault in faults:
        if len(listed) < MOST_OF_A_KIND:
            listed.append(fault)
        else:
            more += 1
    return [*listed, f"and {more:,} more of that kind"] if more else listed


def _file(database: Database, _: dict[str, int]) -> Iterator[str]:
    """Yield the faults that SQLite finds in the file."""
    for (line,) in database.connection.execute("PRAGMA main.integrity_check"):
        if line != b"ok":
            yield f"the file: {_text(line)}"


def _rows(database: Database, counted: dict[str, int]) -> Iterator[str]:
    """Yield the rows, and agent states, that do not match their checksum; count all rows."""
    for table in TABLES:
        names = [
            column[1].decode()
            for column in database.connection.execute(f"PRAGMA table_info({table})")
        ]
        counted[table] = 0
        for cells, intact in read_table(database.connection, table):
            counted[table] += 1
            where = f"{table}, {names[0]}={_text(cells[0])}, {names[1]}={_text(cells[1])}"
            if not intact:
                yield f"{where}: the row is damaged"
            elif table == "agent" and hashlib.sha256(cells[-1]).hexdigest() != _text(cells[-2]):
                yield f"{where}: the state is damaged"


def _references(database: Database, _: dict[str, int]) -> Iterator[str]:
    """Yield the rows that refer to a missing row."""
    for table, row, other, _ in database.connection.execute("PRAGMA main.foreign_key_check"):
        number = "" if row is None else f" {row}"
        yield f"{_text(table)}, row{number}: what it refers to is not in {_text(other)}"


def _numbers(database: Database, _: dict[str, int]) -> Iterator[str]:
    """Yield the runs with a gap in their numbers, and agent states ahead of their trials."""
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


CHECKS = {"the file": _file, "a table": _rows, "a reference": _references, "a number": _numbers}
"""Functions that yield faults, by what they check."""


def _text(cell: Any) -> str:
    return cell.decode(errors="replace") if isinstance(cell, bytes) else str(cell)
