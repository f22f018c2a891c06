"""The database below an archive: opened, made or refused, and written in whole transactions."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nasgym.archive import version_1
from nasgym.archive.schema import APPLICATION, VERSION, make
from nasgym.crash_points import crash_point

PATIENCE = 30.0
"""Seconds to wait for other processes that write."""


class ArchiveError(Exception):
    """An archive that cannot be used; the message is one line for the user."""


class Database:
    """A file with the tables of an archive, or tables in memory if `path` is None."""

    def __init__(self, path: Path | None, *, read_only: bool = False) -> None:
        """Open the file at `path`, making it if there is none, unless it is only to be read.

        What version 1 wrote is migrated if it is to be written, and else read as it is. Raises
        ArchiveError if the file is something else, damaged, or written by a newer version.
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
        connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=PATIENCE)
        connection.execute("PRAGMA trusted_schema = OFF")  # a file from elsewhere may bring views
        return connection

    def _prepare(self, read_only: bool) -> None:
        self.version = self._version()
        if read_only:
            if not self.version:
                raise ArchiveError(f"{self.path} is empty: nothing was recorded in it yet")
            if self.version == 1:
                version_1.show_as_version_2(self.connection)
            return
        self._write_ahead()
        if self.version == 1:
            assert self.path is not None
            version_1.back_up(self.connection, self.path)
        if self.version < VERSION:
            with self.transaction():
                self.version = self._version()  # another process may have been as quick
                if self.version == 1:
                    version_1.migrate(self.connection)
                elif not self.version:
                    make(self.connection)
        self.version = VERSION

    def _version(self) -> int:
        """Return the version of the tables, 0 if there are none yet."""
        if not self.one("SELECT COUNT(*) FROM sqlite_master"):  # first: another may make them now
            return 0
        version, application = self.one("PRAGMA user_version"), self.one("PRAGMA application_id")
        if application != APPLICATION or version < 1:
            raise ArchiveError(f"{self.path} is a database, but not an archive of nasgym")
        if version > VERSION:
            raise ArchiveError(
                f"{self.path} was written by a newer nasgym (archive version {version}, this one "
                f"knows {VERSION}): upgrade nasgym"
            )
        return int(version)

    def _write_ahead(self) -> None:
        """Have commits written ahead and to the disk."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                self.connection.execute("PRAGMA journal_mode = WAL")
                break
            except sqlite3.OperationalError as error:  # SQLite does not wait for others here
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
        self.connection.execute("PRAGMA synchronous = FULL")

    @contextmanager
    def readable(self) -> Iterator[None]:
        """Turn what cannot be read inside, by SQLite or as what it should be, into ArchiveError."""
        try:
            yield
        except (sqlite3.DatabaseError, ValueError, TypeError, RecursionError) as error:
            raise ArchiveError(f"{self.path} is no archive that can be read: {error}") from None

    def rows(self, query: str, *values: Any) -> Iterator[tuple[Any, ...]]:
        """Yield the rows that answer a query."""
        with self.readable():
            # `yield from` would close a cursor whose archive may have been closed by then.
            for row in self.connection.execute(query, values):  # noqa: UP028
                yield row

    def first(self, query: str, *values: Any) -> tuple[Any, ...] | None:
        """Return the first row, None if there is none."""
        with self.readable():
            row: tuple[Any, ...] | None = self.connection.execute(query, values).fetchone()
        return row

    def one(self, query: str, *values: Any) -> Any:
        """Return the first column of the first row, of which there is one."""
        row = self.first(query, *values)
        assert row is not None
        return row[0]

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit what happens inside, or nothing of it; ArchiveError if it cannot be written.

        Inside another one it is a part of that.
        """
        inside = self.connection.in_transaction
        if inside:
            yield
            return
        try:
            # A deferred one fails at once when another process writes.
            self.connection.execute("BEGIN IMMEDIATE")
            yield
            crash_point("mid_transaction")
            crash_point("before_commit")
            self.connection.execute("COMMIT")
        except BaseException as error:
            if self.connection.in_transaction:  # SQLite has gone back by itself if the disk is full
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
