"""Columns of the gzipped CSV file of a table, checked before any of them is used."""

import csv
import gzip
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nasgym.data.download import data_folder
from nasgym.spaces.base import SearchSpace
from nasgym.tables.table import Floats, TableError


def read_columns(name: str, space: SearchSpace, names: Sequence[str]) -> dict[str, Floats]:
    """Return the columns `names` of the file `name` in the data folder, in the order of `space`.

    The column "operations" holds the string of each row, one digit for each token. Rows may be in
    any order. Raises FileNotFoundError for a missing file, and TableError for a damaged or wrong
    one, in one line.
    """
    path = data_folder() / name
    if not path.is_file():
        raise FileNotFoundError(
            f"the table {name} is not in {data_folder()}: docs/tables.md says where to get it "
            f"(NASGYM_DATA sets the folder)"
        )
    rows = _rows(path, ("operations", *names))
    if len(rows) != space.size:
        raise TableError(f"{path} has {len(rows)} rows, not {space.size}: is it truncated?")
    columns = np.full((space.size, len(names)), np.nan)
    index = {"".join(map(str, tokens)): row for row, tokens in enumerate(space)}
    for operations, *values in rows:
        try:
            columns[index[operations]] = list(map(float, values))
        except (KeyError, ValueError) as error:
            raise TableError(f"{path} is damaged at {operations!r}: {error}") from None
    if not np.isfinite(columns).all():
        raise TableError(f"{path} is damaged: a string is missing, or a value is not finite")
    return dict(zip(names, columns.T, strict=True))


def _rows(path: Path, names: Sequence[str]) -> list[list[str]]:
    """Return the cells of the columns `names`, row by row."""
    try:
        with gzip.open(path, "rt", encoding="ascii", newline="") as file:
            reader = csv.DictReader(file)
            missing = [name for name in names if name not in (reader.fieldnames or ())]
            if missing:
                raise TableError(f"{path} is another table: it has no column {missing[0]!r}")
            return [[row[name] or "" for name in names] for row in reader]
    except (EOFError, OSError, UnicodeDecodeError, csv.Error, zlib.error) as error:
        raise TableError(f"{path} is damaged: {error}") from None
