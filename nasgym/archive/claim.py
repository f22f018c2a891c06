"""A claim on a run of an archive: one living process may write it."""

from itertools import count
from pathlib import Path
from typing import Self
from urllib.parse import quote

from nasgym.archive.database import ArchiveError
from nasgym.files import LockHeldError, ProcessLock

MAIN = "main"
"""Default name of a run."""


class RunClaimedError(ArchiveError):
    """A living process has claimed the run."""


class Claim:
    """A lock on a run, in a file beside the archive; the kernel releases it if its owner dies."""

    def __init__(self, path: Path, run: str) -> None:
        """Claim `run` in the archive at `path`.

        Raises RunClaimedError if a living process has claimed it, and ArchiveError if the lock
        file cannot be written.
        """
        self.run = run
        file = path.resolve()  # all links to an archive share its locks
        try:
            self._lock = ProcessLock(file.with_name(f"{file.name}-{quote(run, safe='')}.lock"))
        except LockHeldError as held:
            raise RunClaimedError(
                f"process {held.owner} has the run {run!r} of {path}: wait for it or stop it, or "
                f"choose another run"
            ) from None
        except OSError as error:
            raise ArchiveError(f"{path} cannot be written: {error}") from None

    @classmethod
    def first_free(cls, path: Path) -> Self:
        """Claim the first of the runs "main", "main-2", "main-3", ... that is free."""
        for number in count(1):
            try:
                return cls(path, MAIN if number == 1 else f"{MAIN}-{number}")
            except RunClaimedError:
                continue
        raise AssertionError

    def release(self) -> None:
        """Release the run; doing it twice does nothing."""
        self._lock.release()

    def withdraw(self) -> None:
        """Delete the lock file and release the run."""
        self._lock.delete()
