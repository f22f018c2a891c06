"""Export of an archive's trials as a table: CSV, or one JSON object a line."""

import csv
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from nasgym.archive.database import Database
from nasgym.errors import InvalidInput
from nasgym.files import replacing

FORMATS = (".csv", ".jsonl")

QUERY = """
SELECT runs.name AS run, trials.number, trials.reward, results.accuracy, results.status,
    results.error, results.seconds, trials.cached, results.run != trials.run AS found,
    results.key, trials.tokens, trials.architecture, trials.proposal,
    trials.proposed_at AS proposed_after, trials.replica, trials.version, results.metrics
FROM runs JOIN trials USING (run) JOIN results USING (result)
ORDER BY trials.run, trials.number
"""
"""All trials. `proposed_at` is renamed because pandas parses columns named "..._at" as dates."""


def export(path: Path, out: Path) -> int:
    """Write the trials of all runs in the archive at `path` to `out`; return their number.

    The columns are those of `Trial`, the name of the run, and the key of the child. In CSV, tokens
    and architecture are JSON, and each metric has a column "metrics.NAME". (pandas reads the status
    "nan" in CSV as a missing value unless given `keep_default_na=False, na_values=[""]`.) Raises
    ValueError if `out` does not end in .csv or .jsonl.
    """
    if out.suffix not in FORMATS:
        raise InvalidInput(
            f"{out} is neither .csv nor .jsonl: name a file that ends in one of them"
        )
    with closing(Database(path, read_only=True)) as database, database.readable():
        connection = database.connection
        connection.execute("BEGIN")  # read one snapshot
        with replacing(out) as part, part.open("w", encoding="utf-8", newline="") as file:
            lines = (
                _csv(connection, file) if out.suffix == ".csv" else _json_lines(connection, file)
            )
    return lines


def _csv(connection: sqlite3.Connection, file: Any) -> int:
    names = "SELECT DISTINCT json_each.key FROM results, json_each(results.metrics) ORDER BY 1"
    metrics = [name for (name,) in connection.execute(names)]
    rows = connection.execute(QUERY)
    *columns, _ = (column[0] for column in rows.description)
    writer = csv.writer(file)
    writer.writerow([*columns, *(f"metrics.{name}" for name in metrics)])
    lines = 0
    for *cells, encoded in rows:
        measured = json.loads(encoded)
        writer.writerow([*_typed(columns, cells), *(_cell(measured.get(name)) for name in metrics)])
        lines += 1
    return lines


def _json_lines(connection: sqlite3.Connection, file: Any) -> int:
    rows = connection.execute(QUERY)
    columns = [column[0] for column in rows.description]
    lines = 0
    for cells in rows:
        trial = dict(zip(columns, _typed(columns, cells), strict=True))
        for name in ("tokens", "architecture", "metrics"):
            trial[name] = json.loads(trial[name])
        file.write(json.dumps(trial) + "\n")
        lines += 1
    return lines


def _typed(columns: Any, cells: Any) -> Iterator[Any]:
    """Yield the cells, those of columns that SQLite stores as 0 or 1 as booleans."""
    for name, cell in zip(columns, cells, strict=True):
        yield bool(cell) if name in ("cached", "found") else cell


def _cell(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, list | dict) else value
