"""A claim on a run of an archive: one living process has it, the others go elsewhere."""

import os
from itertools import count
from pathlib import Path
from typing import Self
from urllib.parse import quote

from filelock import FileLock, Timeout

from nasgym.archive.database import ArchiveError

MAIN = "main"
"""The run that is meant if no other is named."""


class Taken(ArchiveError):
    """A run that a living process has claimed."""


class Claim:
    """A lock on a run, beside the archive. The kernel frees it however the process ends."""

    def __init__(self, path: Path, run: str) -> None:
        """Claim `run` in the archive at `path`; raises Taken if a living process has it."""
        self.run = run
        beside = path.resolve()
        name = f"{beside.name}-{quote(run, safe='')}"
        self._lock, self._owner = beside.with_name(f"{name}.lock"), beside.with_name(f"{name}.pid")
        self._held = FileLock(self._lock, timeout=0, thread_local=False)
        try:
            self._held.acquire()
        except Timeout:
            raise Taken(
                f"process {self._pid()} has the run {run!r} of {path}: wait for it or stop it, or "
                f"choose another run"
            ) from None
        self._owner.write_text(str(os.getpid()))

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
        if self._held.is_locked:
            self._owner.unlink(missing_ok=True)
            self._held.release()

    def withdraw(self) -> None:
        """Give the run up, and leave nothing that tells of the claim."""
        self._lock.unlink(missing_ok=True)
        self.release()

    def _pid(self) -> str:
        try:
            return self._owner.read_text() or "?"
        except FileNotFoundError:  # it has not come that far
            return "?"
