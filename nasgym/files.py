"""Files that are either whole or not there, and files that anybody may have written."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

LONGEST_JSON = 4 * 2**20
"""Bytes of a JSON file that is read: ours have some thousands."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path to write to; it takes the name `path` once it is on disk.

    If the block raises, `path` is what it was before and the temporary file is gone.
    """
    part = path.with_name(f".{path.name}.part{path.suffix}")  # one left by a kill is overwritten
    try:
        yield part
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_atomically(path: Path, text: str) -> None:
    """Write `text` to `path`: whatever happens, the file is the old one or the new one."""
    with replacing(path) as part:
        part.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Return the plain data in the JSON file at `path`, whoever wrote it.

    Raises ValueError, in one line that does not name the file, for one that is longer than
    LONGEST_JSON, nested too deeply, has NaN or an infinity in it, or is no JSON.
    """
    size = path.stat().st_size
    if size > LONGEST_JSON:
        raise ValueError(f"it has {size:,} bytes, and {LONGEST_JSON:,} are the most")
    try:
        return json.loads(path.read_bytes(), parse_constant=_refuse)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number in JSON")
