"""Files that are either whole or not there."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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
