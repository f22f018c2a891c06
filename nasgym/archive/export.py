"""The trials of an archive as a table for other programs: CSV, or a JSON object a line."""

import csv
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from nasgym.archive.database import Database
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
"""All trials. pandas takes a column whose name ends in "_at" for dates."""


def export(path: Path, out: Path) -> int:
    """Write the trials of all runs in the archive at `path` to `out`, and return how many.

    `out` ends in .csv or .jsonl; else ValueError is raised. The columns are those of `Trial`, the
    name of the run, and the key of the child. In CSV, tokens and architecture are JSON, and each
    metric has a column "metrics.NAME". (pandas takes the status "nan" in CSV for a missing value,
    unless it is told `keep_default_na=False, na_values=[""]`.)
    """
    if out.suffix not in FORMATS:
        raise ValueError(f"{out} ends in none of {', '.join(FORMATS)}")
    with closing(Database(path, read_only=True)) as database, database.readable():
        connection = database.connection
        connection.execute("BEGIN")  # see one moment of it
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
    for *cells, measured in rows:
        known = json.loads(measured)
        writer.writerow([*_truths(columns, cells), *(_cell(known.get(name)) for name in metrics)])
        lines += 1
    return lines


def _json_lines(connection: sqlite3.Connection, file: Any) -> int:
    rows = connection.execute(QUERY)
    columns = [column[0] for column in rows.description]
    lines = 0
    for cells in rows:
        trial = dict(zip(columns, _truths(columns, cells), strict=True))
        for name in ("tokens", "architecture", "metrics"):
            trial[name] = json.loads(trial[name])
        file.write(json.dumps(trial) + "\n")
        lines += 1
    return lines


def _truths(columns: Any, cells: Any) -> Iterator[Any]:
    """Yield the cells, of columns that say yes or no as booleans."""
    for name, cell in zip(columns, cells, strict=True):
        yield bool(cell) if name in ("cached", "found") else cell


def _cell(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, list | dict) else value
