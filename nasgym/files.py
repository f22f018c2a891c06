"""Safe files: written atomically, locked by one process, read although they are not trusted."""

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, Self

from nasgym.errors import InvalidInput, NasgymError

LONGEST_JSON = 4 * 2**20
"""Maximum size of a JSON file that is read, in bytes; nasgym's own files have some thousands."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path to write to, and rename it to `path` once it is synced to disk.

    If the block raises, `path` stays unchanged and the temporary file is deleted.
    """
    part = path.with_name(f".{path.name}.part{path.suffix}")  # overwrites one left by a kill
    try:
        yield part
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def write_atomically(path: Path, text: str) -> None:
    """Write `text` to `path`: after a crash the file has either its old or its new content."""
    with replacing(path) as part:
        part.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Return the plain data in the JSON file at `path`, which need not be trusted.

    Raises ValueError, in one line that does not name the file, if it is longer than LONGEST_JSON,
    nested too deeply, contains NaN or an infinity, or is not JSON.
    """
    size = path.stat().st_size
    if size > LONGEST_JSON:
        raise InvalidInput(f"it has {size:,} bytes, more than the maximum of {LONGEST_JSON:,}")
    try:
        return json.loads(path.read_bytes(), parse_constant=_refuse)
    except RecursionError:
        raise InvalidInput("it is nested too deeply") from None


def _refuse(constant: str) -> NoReturn:
    raise InvalidInput(f"{constant} is no number in JSON")


class LockHeldError(NasgymError):
    """Another owner holds the lock."""

    def __init__(self, owner: str) -> None:
        """Name the process that holds it."""
        super().__init__(f"process {owner} holds the lock")
        self.owner = owner
        """The owner's process id; "?" if it has not written it yet."""


class ProcessLock:
    """An exclusive lock on a file that names the process that owns it.

    The kernel releases the lock when the process ends, also by `kill -9`. A forked child shares
    its parent's lock and cannot release it.
    """

    # Not the package filelock: before release 4 a forked child that deletes its copy unlocks its
    # parent's lock; later releases use a lock that survives `kill -9` where flock is missing.

    _file = -1  # `__del__` runs even if the lock was not taken

    def __init__(self, path: Path, owner: Path | None = None) -> None:
        """Lock the file at `path`, creating it, and write this process's id to `owner`.

        `owner` is another file, or None for `path` itself. Raises LockHeldError without waiting if
        the lock is held, by another process or in this one, and OSError if a file cannot be
        written.
        """
        self.path, self.owner = path, owner or path
        self._process = os.getpid()
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.owner.write_text(str(self._process))
        except BaseException as error:
            os.close(file)
            if isinstance(error, BlockingIOError):
                raise LockHeldError(self._read_owner()) from None
            raise
        self._file = file

    def _read_owner(self) -> str:
        try:
            return self.owner.read_text() or "?"
        except FileNotFoundError:
            return "?"

    def release(self) -> None:
        """Release the lock; doing it twice does nothing."""
        if self._file >= 0:
            if os.getpid() == self._process:  # a forked child would unlock its parent's lock
                fcntl.flock(self._file, fcntl.LOCK_UN)
            os.close(self._file)
            self._file = -1

    def delete(self) -> None:
        """Delete the lock's files, then release it."""
        self.path.unlink(missing_ok=True)
        self.owner.unlink(missing_ok=True)
        self.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def __del__(self) -> None:
        self.release()
