"""The SQLite file of an archive: open or create it, query it, write whole transactions."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nasgym.archive.schema import APPLICATION, VERSION, create_tables
from nasgym.crash_points import crash_point
from nasgym.errors import NasgymError

BUSY_TIMEOUT = 30.0
"""Seconds to wait while other processes write."""


class ArchiveError(NasgymError):
    """An archive cannot be used; the message is one line for the user."""


class Database:
    """An SQLite file with the tables of an archive, or tables in memory if `path` is None."""

    def __init__(self, path: Path | None, *, read_only: bool = False) -> None:
        """Open the file at `path`; create it if it is missing, unless `read_only`.

        Raises ArchiveError if the file is not an archive, is damaged, or has another version. Such
        a file stays unchanged.
        """
        self.path = path
        if read_only and not (path and path.is_file()):
            raise ArchiveError(f"there is no archive at {path}")
        with self.readable():
            self.connection = self._connect(read_only)
        try:
            with self.readable():
                self._prepare(read_only)
        except BaseException:
            self.close()
            raise

    def _connect(self, read_only: bool) -> sqlite3.Connection:
        if self.path is None:
            return sqlite3.connect(":memory:", isolation_level=None)
        uri = f"{self.path.absolute().as_uri()}?mode={'ro' if read_only else 'rwc'}"
        connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=BUSY_TIMEOUT)
        connection.execute("PRAGMA trusted_schema = OFF")  # a foreign file may contain views
        return connection

    def _prepare(self, read_only: bool) -> None:
        has_tables = self._check_version()
        if read_only:
            if not has_tables:
                raise ArchiveError(f"{self.path} is empty: nothing was recorded in it yet")
            return
        self._enable_write_ahead_log()
        if not has_tables:
            with self.transaction():
                if not self._check_version():  # another process may have created them meanwhile
                    create_tables(self.connection)

    def _check_version(self) -> bool:
        """Return whether there are tables; raise ArchiveError if they are not of `VERSION`."""
        # Count tables before reading the version: another process may create both meanwhile.
        if not self.one("SELECT COUNT(*) FROM sqlite_master"):
            return False
        version, application = self.one("PRAGMA user_version"), self.one("PRAGMA application_id")
        if application != APPLICATION or version < 1:
            raise ArchiveError(f"{self.path} is a database, but not an archive of nasgym")
        if version > VERSION:
            raise ArchiveError(
                f"{self.path} was written by a newer nasgym (archive version {version}, this one "
                f"knows {VERSION}): upgrade nasgym"
            )
        if version < VERSION:
            raise ArchiveError(
                f"{self.path} was written by a development version of nasgym (archive version "
                f"{version}, this one reads {VERSION} only): begin a new archive"
            )
        return True

    def _enable_write_ahead_log(self) -> None:
        """Write commits to a log first, and sync it to disk at each commit."""
        deadline = time.monotonic() + BUSY_TIMEOUT
        while True:
            try:
                self.connection.execute("PRAGMA journal_mode = WAL")
                break
            except sqlite3.OperationalError as error:  # this pragma ignores the busy timeout
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
        self.connection.execute("PRAGMA synchronous = FULL")

    @contextmanager
    def readable(self) -> Iterator[None]:
        """Raise ArchiveError where the block cannot read the file or parse a cell."""
        try:
            yield
        except (sqlite3.DatabaseError, ValueError, TypeError, RecursionError) as error:
            raise ArchiveError(f"{self.path} cannot be read as an archive: {error}") from None

    def rows(self, query: str, *values: Any) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a query."""
        with self.readable():
            # `yield from` would close the cursor, which fails if the archive is closed already.
            for row in self.connection.execute(query, values):  # noqa: UP028
                yield row

    def first(self, query: str, *values: Any) -> tuple[Any, ...] | None:
        """Return the first row of a query, or None if it has no rows."""
        with self.readable():
            row: tuple[Any, ...] | None = self.connection.execute(query, values).fetchone()
        return row

    def one(self, query: str, *values: Any) -> Any:
        """Return the first column of the first row of a query that always has a row."""
        row = self.first(query, *values)
        assert row is not None
        return row[0]

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit all writes of the block, or none of them if it raises.

        Inside another transaction the block becomes part of that one. Raises ArchiveError if the
        file cannot be written.
        """
        nested = self.connection.in_transaction
        if nested:
            yield
            return
        try:
            # IMMEDIATE waits for other writers; a deferred transaction would fail at once.
            self.connection.execute("BEGIN IMMEDIATE")
            yield
            crash_point("mid_transaction")
            crash_point("before_commit")
            self.connection.execute("COMMIT")
        except BaseException as error:
            if self.connection.in_transaction:  # on a full disk SQLite has rolled back already
                self.connection.execute("ROLLBACK")
            if isinstance(error, sqlite3.OperationalError):
                raise ArchiveError(
                    f"{self.path} cannot be written: {error}; all that finished before is in it"
                ) from error
            raise
        crash_point("after_commit")

    def close(self) -> None:
        """Close the file; closing twice does nothing."""
        self.connection.close()
