"""A claim on a run of an archive: one living process has it, the others go elsewhere."""

import fcntl
import os
from itertools import count
from pathlib import Path
from typing import Self
from urllib.parse import quote

from nasgym.archive.database import ArchiveError

MAIN = "main"
"""The run that is meant if no other is named."""


class Taken(ArchiveError):
    """A run that a living process has claimed."""


class Claim:
    """A lock on a run, in a file beside the archive that names the process which has it.

    The kernel frees it however the process ends.
    """

    def __init__(self, path: Path, run: str) -> None:
        """Claim `run` in the archive at `path`; raises Taken if a living process has it.

        Raises ArchiveError if there can be no file beside the archive.
        """
        self.run = run
        beside = path.resolve()
        self._lock = beside.with_name(f"{beside.name}-{quote(run, safe='')}.lock")
        self._file = -1
        try:
            self._file = os.open(self._lock, os.O_RDWR | os.O_CREAT, 0o666)
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(self._file, 20).decode() or "?"  # it may not have come so far
            self._close()
            raise Taken(
                f"process {owner} has the run {run!r} of {path}: wait for it or stop it, or "
                f"choose another run"
            ) from None
        except OSError as error:
            self._close()
            raise ArchiveError(f"{path} cannot be written: {error}") from None
        os.ftruncate(self._file, 0)
        os.write(self._file, str(os.getpid()).encode())

    @classmethod
    def of(cls, path: Path, run: str | None) -> Self:
        """Claim `run`, or without a name the first of "main", "main-2", ... that is free."""
        if run is not None:
            return cls(path, run)
        for number in count(1):
            try:
                return cls(path, MAIN if number == 1 else f"{MAIN}-{number}")
            except Taken:
                continue
        raise AssertionError

    def release(self) -> None:
        """Give the run up; doing it twice does nothing."""
        if self._file >= 0:
            os.ftruncate(self._file, 0)
            self._close()

    def withdraw(self) -> None:
        """Give the run up, and leave nothing that tells of the claim."""
        self._lock.unlink(missing_ok=True)
        self.release()

    def __del__(self) -> None:
        self._close()

    def _close(self) -> None:
        if self._file >= 0:
            os.close(self._file)
        self._file = -1
