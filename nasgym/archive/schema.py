"""The schema: the tables, their version, and the checksum at the end of every row."""

import hashlib
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from nasgym.evaluation.evaluation import ENVIRONMENTAL

VERSION = 2
"""`PRAGMA user_version` of the tables below."""

APPLICATION = 0x6E617367
"""`PRAGMA application_id`: the bytes of "nasg"."""

LACKING = f"status IN ({', '.join(map(repr, ENVIRONMENTAL))})"
FINAL = f"status NOT IN ({', '.join(map(repr, ENVIRONMENTAL))})"
"""What a result is that is one for all runs; the indices serve queries with these very words."""

SCHEMA = f"""
CREATE TABLE runs (
    run INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    plan TEXT NOT NULL,            -- JSON of the search, empty if none says
    checksum INTEGER NOT NULL
);
CREATE TABLE results (
    result INTEGER PRIMARY KEY,
    key TEXT NOT NULL,             -- what decides the outcome: see nasgym.evaluation.evaluator.Cached
    run INTEGER NOT NULL REFERENCES runs (run), -- which one trained it
    allowance TEXT NOT NULL,       -- what it might take, where that is why it failed
    accuracy REAL NOT NULL,
    status TEXT NOT NULL,
    error TEXT NOT NULL,
    seconds REAL NOT NULL,
    metrics TEXT NOT NULL,         -- JSON
    checksum INTEGER NOT NULL
);
CREATE UNIQUE INDEX final_results ON results (key) WHERE {FINAL};
CREATE UNIQUE INDEX lacking_results ON results (key, run, allowance) WHERE {LACKING};
CREATE TABLE trials (
    run INTEGER NOT NULL REFERENCES runs (run),
    number INTEGER NOT NULL,       -- from 0 in each run, in the order of finishing
    tokens TEXT NOT NULL,          -- JSON list
    architecture TEXT NOT NULL,    -- JSON, as decoded
    reward REAL NOT NULL,
    cached INTEGER NOT NULL,       -- whether an earlier trial of the run was the same child
    result INTEGER NOT NULL REFERENCES results (result),
    proposal INTEGER,              -- these four: see Origin; NULL where strings come in waves
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
CREATE TABLE updates (             -- what a parameter server applied, in order: see Update
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
"""Tables that begin with an INTEGER PRIMARY KEY, which SQLite gives."""


def checksum(cells: Iterable[Any]) -> int:
    """Return the checksum of a row: of all its cells before it but an INTEGER PRIMARY KEY.

    Text is equal to its bytes, so that a row can be checked whatever became of its text.
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


def make(connection: sqlite3.Connection) -> None:
    """Make the tables of an archive, inside a transaction."""
    for statement in SCHEMA.split(";\n"):
        connection.execute(statement)


class Row(NamedTuple):
    """A row as it was read."""

    cells: tuple[Any, ...]
    """All its cells but the checksum."""
    intact: bool
    """Whether the checksum is theirs; where version 1 kept none, true."""


def rows(connection: sqlite3.Connection, table: str, version: int) -> Iterator[Row]:
    """Yield the rows of a table in an archive of that version, in the order they were written."""
    if version == 1:
        for cells in connection.execute(f"SELECT * FROM {table}"):
            yield Row(cells, intact=True)
        return
    first = 1 if table in NUMBERED else 0
    for *cells, noted in connection.execute(f"SELECT * FROM {table} ORDER BY rowid"):
        yield Row(tuple(cells), intact=noted == checksum(cells[first:]))
