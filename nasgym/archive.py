"""The archive: every child ever trained and every episode ever finished, in one SQLite file.

Write-ahead logging with `synchronous=FULL`: what `store`, `record` and `save_agent` were given is
on disk when they return, and a process killed at any moment leaves whole transactions only.
Children are kept once (`results`), however many episodes (`trials`) ended in them. The agent's
state lies in the same file, so that it can never disagree with the trials.
"""

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nasgym.evaluation import Evaluation
from nasgym.faults import crash_point
from nasgym.space import Tokens

VERSION = 1
"""`PRAGMA user_version` of the schema below."""

APPLICATION = 0x6E617367
"""`PRAGMA application_id`: the bytes of "nasg"."""

STATES_KEPT = 2
"""Agent states kept: the last one, and the one before in case the last is damaged."""

SCHEMA = """
CREATE TABLE results (
    key TEXT PRIMARY KEY,          -- what decides the outcome: see nasgym.evaluation.Cached
    accuracy REAL NOT NULL,
    status TEXT NOT NULL,
    error TEXT NOT NULL,
    seconds REAL NOT NULL,
    metrics TEXT NOT NULL          -- JSON
) WITHOUT ROWID;
CREATE TABLE trials (
    number INTEGER PRIMARY KEY,    -- from 0, in the order of finishing
    tokens TEXT NOT NULL,          -- JSON list
    architecture TEXT NOT NULL,    -- JSON, as decoded
    reward REAL NOT NULL,
    cached INTEGER NOT NULL,       -- whether an earlier trial was the same child
    key TEXT NOT NULL REFERENCES results (key)
);
CREATE INDEX trials_of_a_child ON trials (key);
CREATE TABLE agent (
    number INTEGER PRIMARY KEY,
    trials INTEGER NOT NULL,       -- finished when the state was saved
    sha256 TEXT NOT NULL,
    state BLOB NOT NULL
);
"""

TRIALS = """
SELECT number, tokens, architecture, reward, accuracy, metrics, status, error, seconds, cached
FROM trials JOIN results USING (key)
"""


@dataclass(frozen=True)
class Trial:
    """One finished episode as recorded."""

    number: int
    """Its place in the archive, from 0."""
    tokens: Tokens
    """The string the agent wrote."""
    architecture: Any
    """What the string means, as plain data."""
    reward: float
    """What the agent was paid."""
    accuracy: float
    """Validation accuracy, a fraction of 1."""
    metrics: Mapping[str, Any]
    """Whatever else was measured of the child."""
    status: str
    """How the child's training ended: "ok" or the kind of failure."""
    error: str
    """Why it failed; empty if it did not."""
    seconds: float
    """Wall-clock seconds of the child's training."""
    cached: bool
    """True if an earlier trial was the same child, so that nothing was trained."""


class ArchiveError(Exception):
    """An archive that cannot be used; the message is one line for the user."""


class Archive:
    """An archive file, or one in memory if `path` is None.

    One process writes; any number may read meanwhile. Iterating gives every `Trial` in order.
    """

    def __init__(self, path: str | Path | None = None, *, read_only: bool = False) -> None:
        """Open the archive at `path`, making it if there is none.

        Raises ArchiveError if the file is something else, damaged, or written by a newer version.
        """
        self.path = None if path is None else Path(path)
        if read_only and not (self.path and self.path.is_file()):
            raise ArchiveError(f"there is no archive at {self.path}")
        try:
            self._db = self._connect(read_only)
            self._prepare(read_only)
        except sqlite3.DatabaseError as error:
            raise ArchiveError(f"{self.path} is no archive that can be read: {error}") from None

    def _connect(self, read_only: bool) -> sqlite3.Connection:
        if self.path is None:
            return sqlite3.connect(":memory:", isolation_level=None)
        uri = f"{self.path.absolute().as_uri()}?mode={'ro' if read_only else 'rwc'}"
        return sqlite3.connect(uri, uri=True, isolation_level=None, timeout=30)

    def _prepare(self, read_only: bool) -> None:
        version, application = self._one("PRAGMA user_version"), self._one("PRAGMA application_id")
        empty = not self._one("SELECT COUNT(*) FROM sqlite_master")
        if application != APPLICATION and not empty:
            raise ArchiveError(f"{self.path} is a database, but not an archive of nasgym")
        if version > VERSION:
            raise ArchiveError(
                f"{self.path} was written by a newer nasgym (archive version {version}, this one "
                f"knows {VERSION}): upgrade nasgym"
            )
        if read_only:
            return
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        if empty:
            with self._transaction():
                if not self._one("SELECT COUNT(*) FROM sqlite_master"):
                    for statement in SCHEMA.split(";\n"):
                        self._db.execute(statement)
                    self._db.execute(f"PRAGMA application_id = {APPLICATION}")
                    self._db.execute(f"PRAGMA user_version = {VERSION}")

    # Children ---------------------------------------------------------------------------------

    def result(self, key: str) -> Evaluation | None:
        """Return the finished child stored under `key`, or None."""
        row = self._db.execute(
            "SELECT accuracy, status, error, seconds, metrics FROM results WHERE key = ?", (key,)
        ).fetchone()
        if row is None:
            return None
        accuracy, status, error, seconds, metrics = row
        return Evaluation(accuracy, status, error, seconds, json.loads(metrics))

    def store(self, key: str, evaluation: Evaluation) -> None:
        """Keep a finished child under `key`; it is on disk when this returns."""
        with self._transaction():
            self._db.execute(
                "INSERT OR IGNORE INTO results VALUES (?, ?, ?, ?, ?, ?)",
                (
                    key,
                    evaluation.accuracy,
                    evaluation.status,
                    evaluation.error,
                    evaluation.seconds,
                    _json(evaluation.metrics),
                ),
            )

    # Episodes ---------------------------------------------------------------------------------

    def record(self, episodes: Sequence[tuple[Tokens, Any, float, str]]) -> list[Trial]:
        """Append finished episodes in one transaction and return them as trials.

        An episode is (tokens, plain architecture, reward, key of its stored child).
        """
        with self._transaction():
            first = self._one("SELECT COALESCE(MAX(number) + 1, 0) FROM trials")
            for number, (tokens, architecture, reward, key) in enumerate(episodes, first):
                self._db.execute(
                    "INSERT INTO trials VALUES"
                    " (?, ?, ?, ?, EXISTS (SELECT 1 FROM trials WHERE key = ?), ?)",
                    (number, _json(tokens), _json(architecture), reward, key, key),
                )
        return self[first : first + len(episodes)]

    def __len__(self) -> int:
        """Return the number of trials."""
        return int(self._one("SELECT COALESCE(MAX(number) + 1, 0) FROM trials"))

    def __iter__(self) -> Iterator[Trial]:
        """Yield the trials in the order of finishing."""
        for row in self._db.execute(f"{TRIALS} ORDER BY number"):
            yield _trial(row)

    def __getitem__(self, numbers: slice) -> list[Trial]:
        """Return the trials with numbers in a slice, such as `archive[:100]`."""
        start, stop, step = numbers.indices(len(self))
        rows = self._db.execute(
            f"{TRIALS} WHERE number >= ? AND number < ? ORDER BY number", (start, stop)
        )
        return [_trial(row) for row in rows][::step]

    def seconds(self, trials: int) -> float:
        """Return what the first `trials` trials took, each as if it had been trained."""
        query = "SELECT TOTAL(seconds) FROM trials JOIN results USING (key) WHERE number < ?"
        return float(self._db.execute(query, (trials,)).fetchone()[0])

    def best(self) -> Trial | None:
        """Return the trial with the highest reward, the first of equals; None if none trained."""
        row = self._db.execute(
            f"{TRIALS} WHERE status = 'ok' ORDER BY reward DESC, number LIMIT 1"
        ).fetchone()
        return None if row is None else _trial(row)

    # The agent --------------------------------------------------------------------------------

    def save_agent(self, trials: int, state: bytes) -> None:
        """Keep the agent's state as of `trials` finished trials; on disk when this returns."""
        with self._transaction():
            self._db.execute(
                "INSERT INTO agent (trials, sha256, state) VALUES (?, ?, ?)",
                (trials, hashlib.sha256(state).hexdigest(), state),
            )
            crash_point("mid_checkpoint")
            self._db.execute(
                "DELETE FROM agent WHERE number <= (SELECT MAX(number) FROM agent) - ?",
                (STATES_KEPT,),
            )

    def agent_states(self) -> Iterator[tuple[int, bytes]]:
        """Yield (trials, state) of the undamaged states of the agent, the latest first."""
        rows = self._db.execute("SELECT trials, sha256, state FROM agent ORDER BY number DESC")
        for trials, sha256, state in rows.fetchall():
            if hashlib.sha256(state).hexdigest() == sha256:
                yield trials, state

    # ------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Close the file; closing twice does nothing."""
        self._db.close()

    def _one(self, query: str) -> Any:
        return self._db.execute(query).fetchone()[0]

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """Commit what happens inside, or nothing of it."""
        self._db.execute("BEGIN IMMEDIATE")  # a deferred one fails at once when another writes
        try:
            yield
            crash_point("mid_transaction")
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        crash_point("before_commit")
        self._db.execute("COMMIT")
        crash_point("after_commit")


def _trial(row: tuple[Any, ...]) -> Trial:
    number, tokens, architecture, reward, accuracy, metrics, status, error, seconds, cached = row
    return Trial(
        number=number,
        tokens=tuple(json.loads(tokens)),
        architecture=json.loads(architecture),
        reward=reward,
        accuracy=accuracy,
        metrics=json.loads(metrics),
        status=status,
        error=error,
        seconds=seconds,
        cached=bool(cached),
    )


def _json(data: Any) -> str:
    return json.dumps(data, separators=(",", ":"), allow_nan=False)


def ranked(trials: Iterable[Trial]) -> list[Trial]:
    """Return the best trial of each network, the best first; of equals the earliest."""
    in_order = sorted(trials, key=lambda trial: (-trial.reward, trial.number))
    networks: dict[str, Trial] = {}
    for trial in in_order:
        networks.setdefault(_json(trial.architecture), trial)
    return list(networks.values())
