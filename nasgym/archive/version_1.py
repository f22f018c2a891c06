"""Version 1 of the archive: one run a file, its rows without checksums.

It is read as it is, through views of the names that the tables have now, or moved into such tables.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

from nasgym.archive.schema import insert, make
from nasgym.files import replacing

OLD_TABLES = ("trials", "results", "agent")

RUNS = "SELECT 1 AS run, 'main' AS name, '' AS plan"
RESULTS = """
SELECT key AS result, key, 1 AS run, '' AS allowance, accuracy, status, error, seconds, metrics
FROM main.{results}
"""
TRIALS = """
SELECT 1 AS run, number, tokens, architecture, reward, cached, key AS result,
    NULL AS proposal, NULL AS proposed_at, NULL AS replica, NULL AS version
FROM main.{trials}
"""
PROPOSALS = """
SELECT 1 AS run, 0 AS proposal, 0 AS proposed_at, NULL AS replica, NULL AS version, '' AS tokens
WHERE 0
"""
UPDATES = """
SELECT 1 AS run, 0 AS number, 0 AS replica, 0 AS read, 0 AS made, 0.0 AS reward, '' AS proposals
WHERE 0
"""
AGENT = "SELECT number, 1 AS run, trials, 0 AS proposals, sha256, state FROM main.{agent}"

SHOWN = {
    "runs": RUNS,
    "results": RESULTS,
    "trials": TRIALS,
    "proposals": PROPOSALS,
    "updates": UPDATES,
    "agent": AGENT,
}
"""What stands for each table of today. A result has its key for a number."""


def show_as_version_2(connection: sqlite3.Connection) -> None:
    """Let queries for the tables of today find those of version 1; the file stays as it is."""
    names = dict(zip(OLD_TABLES, OLD_TABLES, strict=True))
    for table, query in SHOWN.items():
        connection.execute(f"CREATE TEMP VIEW {table} AS {query.format(**names)}")


def back_up(connection: sqlite3.Connection, path: Path) -> None:
    """Keep a copy of the archive at `path`, its name with ".v1" at the end."""
    with replacing(path.with_name(f"{path.name}.v1")) as part:
        part.unlink(missing_ok=True)
        with closing(sqlite3.connect(part)) as copy:
            copy.execute("PRAGMA journal_mode = OFF")  # what a crash leaves is made anew
            connection.backup(copy)
            copy.execute("PRAGMA journal_mode = DELETE")  # one file, whole by itself


def migrate(connection: sqlite3.Connection) -> None:
    """Move everything into the tables of today, inside a transaction."""
    names = {name: f"v1_{name}" for name in OLD_TABLES}
    connection.execute("DROP INDEX trials_of_a_child")
    for name, moved in names.items():
        connection.execute(f"ALTER TABLE {name} RENAME TO {moved}")
    make(connection)
    run = insert(connection, "runs", ("main", ""))
    numbers = {}
    for key, *row in connection.execute(RESULTS.format(**names)):
        numbers[key] = insert(connection, "results", row)
    for *row, key, proposal, proposed_at, replica, version in connection.execute(
        TRIALS.format(**names)
    ):
        origin = proposal, proposed_at, replica, version
        insert(connection, "trials", (*row, numbers[key], *origin))
    for _, *row in connection.execute(AGENT.format(**names)):
        insert(connection, "agent", row)
    for moved in names.values():
        connection.execute(f"DROP TABLE {moved}")
    assert run == 1
