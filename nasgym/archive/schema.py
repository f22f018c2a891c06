"""The schema of an archive: its tables, their version, and the checksum at the end of every row."""

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from nasgym.evaluation.evaluation import RESOURCE_FAILURES

VERSION = 2
"""`PRAGMA user_version` of the tables below."""

APPLICATION = 0x6E617367
"""`PRAGMA application_id`: the bytes of "nasg"."""

IS_RESOURCE_FAILURE = f"status IN ({', '.join(map(repr, RESOURCE_FAILURES))})"
"""SQL condition: the result counts only for the run that trained the child, under equal limits."""

IS_FINAL = f"status NOT IN ({', '.join(map(repr, RESOURCE_FAILURES))})"
"""SQL condition: the result counts for all runs.

SQLite uses the partial indices below only for queries that repeat these conditions word for word.
"""

SCHEMA = f"""
CREATE TABLE runs (
    run INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    plan TEXT NOT NULL,            -- of the search, JSON; empty if not recorded
    checksum INTEGER NOT NULL
);
CREATE TABLE results (
    result INTEGER PRIMARY KEY,
    key TEXT NOT NULL,             -- digest of all that decides the outcome
    run INTEGER NOT NULL REFERENCES runs (run), -- the run that trained it
    allowance TEXT NOT NULL,       -- limits that it failed under; empty if final
    accuracy REAL NOT NULL,
    status TEXT NOT NULL,
    error TEXT NOT NULL,
    seconds REAL NOT NULL,
    metrics TEXT NOT NULL,         -- JSON
    checksum INTEGER NOT NULL
);
CREATE UNIQUE INDEX final_results ON results (key) WHERE {IS_FINAL};
CREATE UNIQUE INDEX lacking_results ON results (key, run, allowance) WHERE {IS_RESOURCE_FAILURE};
CREATE TABLE trials (
    run INTEGER NOT NULL REFERENCES runs (run),
    number INTEGER NOT NULL,       -- from 0 in each run, in order of finishing
    tokens TEXT NOT NULL,          -- JSON list
    architecture TEXT NOT NULL,    -- JSON, as decoded
    reward REAL NOT NULL,
    cached INTEGER NOT NULL,       -- whether an earlier trial of the run has the same child
    result INTEGER NOT NULL REFERENCES results (result),
    proposal INTEGER,              -- these four: see Origin; NULL in a search in waves
    proposed_at INTEGER,
    replica INTEGER,
    version INTEGER,
    checksum INTEGER NOT NULL
);
CREATE UNIQUE INDEX trials_in_order ON trials (run, number);
CREATE INDEX trials_of_a_child ON trials (result, run);
CREATE INDEX best_trials ON trials (run, reward DESC, number, result);
CREATE UNIQUE INDEX trial_of_a_proposal ON trials (run, proposal) WHERE proposal IS NOT NULL;
CREATE TABLE proposals (           -- strings whose children are being trained
    run INTEGER NOT NULL REFERENCES runs (run),
    proposal INTEGER NOT NULL,
    proposed_at INTEGER NOT NULL,
    replica INTEGER,
    version INTEGER,
    tokens TEXT NOT NULL,
    checksum INTEGER NOT NULL
);
CREATE UNIQUE INDEX proposals_in_order ON proposals (run, proposal);
CREATE TABLE updates (             -- applied by a parameter server, in order: see Update
    run INTEGER NOT NULL REFERENCES runs (run),
    number INTEGER NOT NULL,
    replica INTEGER NOT NULL,
    read INTEGER NOT NULL,
    made INTEGER NOT NULL,
    reward REAL NOT NULL,
    proposals TEXT NOT NULL,       -- JSON list
    checksum INTEGER NOT NULL
);
CREATE UNIQUE INDEX updates_in_order ON updates (run, number);
CREATE TABLE agent (
    number INTEGER PRIMARY KEY,
    run INTEGER NOT NULL REFERENCES runs (run),
    trials INTEGER NOT NULL,       -- finished when the state was saved
    proposals INTEGER NOT NULL,    -- made when it was saved
    sha256 TEXT NOT NULL,          -- of the state
    state BLOB NOT NULL,
    checksum INTEGER NOT NULL
);
CREATE INDEX agent_of_a_run ON agent (run, number);
PRAGMA application_id = {APPLICATION};
PRAGMA user_version = {VERSION};
"""

TABLES = ("runs", "results", "trials", "proposals", "updates", "agent")

NUMBERED = ("runs", "results", "agent")
"""Tables whose first column is an INTEGER PRIMARY KEY, which SQLite assigns."""


def checksum(cells: Iterable[Any]) -> int:
    """Return the checksum of a row: 64 bits over its cells, without an INTEGER PRIMARY KEY.

    Text counts as its UTF-8 bytes, so that a row with damaged text can still be checked.
    """
    plain = [cell.encode() if isinstance(cell, str) else cell for cell in cells]
    digest = hashlib.blake2b(repr(plain).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def insert(
    connection: sqlite3.Connection, table: str, row: Sequence[Any], *, or_ignore: bool = False
) -> int:
    """Insert a row, given without INTEGER PRIMARY KEY and checksum; return its number."""
    number = (None,) if table in NUMBERED else ()
    cells = (*number, *row, checksum(row))
    verb = "INSERT OR IGNORE" if or_ignore else "INSERT"
    marks = ", ".join("?" * len(cells))
    done = connection.execute(f"{verb} INTO {table} VALUES ({marks})", cells)
    return done.lastrowid or 0


def create_tables(connection: sqlite3.Connection) -> None:
    """Create the tables of an archive, inside a transaction."""
    for statement in SCHEMA.split(";\n"):
        connection.execute(statement)


class Row(NamedTuple):
    """A row of a table."""

    cells: tuple[Any, ...]
    """All cells but the checksum."""
    intact: bool
    """Whether the checksum matches the cells."""


def read_table(connection: sqlite3.Connection, table: str) -> Iterator[Row]:
    """Yield the rows of a table in the order in which they were written."""
    first = 1 if table in NUMBERED else 0
    for *cells, stored in connection.execute(f"SELECT * FROM {table} ORDER BY rowid"):
        yield Row(tuple(cells), intact=stored == checksum(cells[first:]))
