"""The archive: every child ever trained and every episode ever finished, in one SQLite file.

Write-ahead logging with `synchronous=FULL`: what is handed over to be written is on disk when the
call returns, and a process killed at any moment leaves whole transactions only. Children are kept
once (`results`), however many episodes (`trials`) of however many runs ended in them. An agent's
state lies in the same file, so that it can never disagree with the trials.
"""

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from nasgym.evaluation import Evaluation
from nasgym.faults import crash_point
from nasgym.space import Tokens

VERSION = 2
"""`PRAGMA user_version` of the schema below."""

APPLICATION = 0x6E617367
"""`PRAGMA application_id`: the bytes of "nasg"."""

STATES_KEPT = 2
"""Agent states kept: the last one, and the one before in case the last is damaged."""

MAIN = "main"
"""The run that an archive holds if no other is named."""

SCHEMA = """
CREATE TABLE runs (
    run INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
);
CREATE TABLE results (
    key TEXT PRIMARY KEY,          -- what decides the outcome: see nasgym.evaluation.Cached
    accuracy REAL NOT NULL,
    status TEXT NOT NULL,
    error TEXT NOT NULL,
    seconds REAL NOT NULL,
    metrics TEXT NOT NULL          -- JSON
) WITHOUT ROWID;
CREATE TABLE trials (
    run INTEGER NOT NULL REFERENCES runs (run),
    number INTEGER NOT NULL,       -- from 0 in each run, in the order of finishing
    tokens TEXT NOT NULL,          -- JSON list
    architecture TEXT NOT NULL,    -- JSON, as decoded
    reward REAL NOT NULL,
    cached INTEGER NOT NULL,       -- whether an earlier trial of the run was the same child
    key TEXT NOT NULL REFERENCES results (key),
    proposal INTEGER,              -- these four: see Origin; NULL where strings come in waves
    proposed_at INTEGER,
    replica INTEGER,
    version INTEGER,
    UNIQUE (run, number)
);
CREATE INDEX trials_of_a_child ON trials (key, run);
CREATE UNIQUE INDEX trial_of_a_proposal ON trials (run, proposal) WHERE proposal IS NOT NULL;
CREATE TABLE proposals (           -- strings whose children are being trained
    run INTEGER NOT NULL REFERENCES runs (run),
    proposal INTEGER NOT NULL,
    proposed_at INTEGER NOT NULL,
    replica INTEGER,
    version INTEGER,
    tokens TEXT NOT NULL,
    PRIMARY KEY (run, proposal)
) WITHOUT ROWID;
CREATE TABLE updates (             -- what a parameter server applied, in order: see Update
    run INTEGER NOT NULL REFERENCES runs (run),
    number INTEGER NOT NULL,
    replica INTEGER NOT NULL,
    read INTEGER NOT NULL,
    made INTEGER NOT NULL,
    reward REAL NOT NULL,
    proposals TEXT NOT NULL,       -- JSON list
    PRIMARY KEY (run, number)
) WITHOUT ROWID;
CREATE TABLE agent (
    number INTEGER PRIMARY KEY,
    run INTEGER NOT NULL REFERENCES runs (run),
    trials INTEGER NOT NULL,       -- finished when the state was saved
    proposals INTEGER NOT NULL,    -- made when it was saved
    sha256 TEXT NOT NULL,
    state BLOB NOT NULL
);
"""

TRIALS = """
SELECT number, tokens, architecture, reward, accuracy, metrics, status, error, seconds, cached,
    proposal, proposed_at, replica, version
FROM trials JOIN results USING (key)
"""


@dataclass(frozen=True)
class Origin:
    """When and by whom a string was proposed, in a search that does not wait for waves."""

    proposal: int
    """Its place among all proposals of the run, from 0."""
    trials: int
    """Trials that were finished when it was made: what the agent could know, and the ceiling."""
    replica: int | None = None
    """Which replica of a controller sampled it."""
    version: int | None = None
    """Which version of the parameters it was sampled with."""


@dataclass(frozen=True)
class Proposal:
    """A string whose child is, or was, to be trained."""

    tokens: Tokens
    """The string."""
    origin: Origin
    """When and by whom it was proposed."""
    finished: bool = False
    """Whether there is a trial of it."""


@dataclass(frozen=True)
class Update:
    """A gradient that a parameter server applied (Zoph & Le 2017, section 3.2)."""

    replica: int
    """Whose gradient it was."""
    read: int
    """The version of the parameters it was computed with."""
    made: int
    """The version of the parameters it became part of."""
    reward: float
    """Mean reward of its children."""
    proposals: tuple[int, ...]
    """Its children."""


class Saved(NamedTuple):
    """An agent's state, and when it was saved."""

    trials: int
    """Trials finished by then."""
    proposals: int
    """Proposals made by then; 0 where strings come in waves."""
    state: bytes
    """What the agent made of itself."""


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
    origin: Origin | None = None
    """Where it came from, in a search that does not wait for waves."""


class ArchiveError(Exception):
    """An archive that cannot be used; the message is one line for the user."""


class Archive:
    """One run in an archive file, or in one that is in memory if `path` is None.

    Each run is written by one process; any number may read it, and write other runs, meanwhile.
    Children are shared by all. Iterating gives every `Trial` of the run in order.
    """

    def __init__(
        self, path: str | Path | None = None, *, run: str = MAIN, read_only: bool = False
    ) -> None:
        """Open `run` in the archive at `path`, making what there is not yet.

        Raises ArchiveError if the file is something else, damaged, or written by a newer version.
        """
        self.path = None if path is None else Path(path)
        self.run = run
        if read_only and not (self.path and self.path.is_file()):
            raise ArchiveError(f"there is no archive at {self.path}")
        try:
            self._db = self._connect(read_only)
            self._prepare(read_only)
            self._run = self._run_number(read_only)
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

    def _run_number(self, read_only: bool) -> int:
        """Return the number of the run; 0, which no run has, if there is none to read."""
        query = "SELECT run FROM runs WHERE name = ?"
        row = self._db.execute(query, (self.run,)).fetchone()
        if row is None and not read_only:
            with self._transaction():
                self._db.execute("INSERT OR IGNORE INTO runs (name) VALUES (?)", (self.run,))
            row = self._db.execute(query, (self.run,)).fetchone()
        return 0 if row is None else int(row[0])

    def runs(self) -> list[str]:
        """Return the names of all runs, in the order of their beginnings."""
        return [name for (name,) in self._db.execute("SELECT name FROM runs ORDER BY run")]

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

    def record(
        self,
        episodes: Sequence[tuple[Tokens, Any, float, str]],
        origins: Sequence[Origin] | None = None,
    ) -> list[Trial]:
        """Append finished episodes in one transaction and return them as trials.

        An episode is (tokens, plain architecture, reward, key of its stored child). Those with
        origins were proposed (see `propose`) and are so no longer.
        """
        first = len(self)
        with self._transaction():
            for place, (tokens, architecture, reward, key) in enumerate(episodes):
                origin = (None,) * 4 if origins is None else astuple(origins[place])
                plain = _json(tokens), _json(architecture), reward
                self._db.execute(
                    "INSERT INTO trials VALUES (?1, ?2, ?3, ?4, ?5,"
                    " EXISTS (SELECT 1 FROM trials WHERE key = ?6 AND run = ?1), ?6,"
                    " ?7, ?8, ?9, ?10)",
                    (self._run, first + place, *plain, key, *origin),
                )
            self._db.executemany(
                "DELETE FROM proposals WHERE run = ? AND proposal = ?",
                [(self._run, origin.proposal) for origin in origins or ()],
            )
        return self[first : first + len(episodes)]

    def __len__(self) -> int:
        """Return the number of trials."""
        query = "SELECT COALESCE(MAX(number) + 1, 0) FROM trials WHERE run = ?"
        return int(self._one(query, self._run))

    def __iter__(self) -> Iterator[Trial]:
        """Yield the trials in the order of finishing."""
        for row in self._db.execute(f"{TRIALS} WHERE run = ? ORDER BY number", (self._run,)):
            yield _trial(row)

    def __getitem__(self, numbers: slice) -> list[Trial]:
        """Return the trials with numbers in a slice, such as `archive[:100]`."""
        start, stop, step = numbers.indices(len(self))
        rows = self._db.execute(
            f"{TRIALS} WHERE run = ? AND number >= ? AND number < ? ORDER BY number",
            (self._run, start, stop),
        )
        return [_trial(row) for row in rows][::step]

    def seconds(self, start: int, stop: int) -> list[float]:
        """Return what the trials from `start` to `stop` took, each as if it had been trained."""
        rows = self._db.execute(
            "SELECT seconds FROM trials JOIN results USING (key)"
            " WHERE run = ? AND number >= ? AND number < ? ORDER BY number",
            (self._run, start, stop),
        )
        return [seconds for (seconds,) in rows]

    def best(self) -> Trial | None:
        """Return the trial with the highest reward, the first of equals; None if none trained."""
        row = self._db.execute(
            f"{TRIALS} WHERE run = ? AND status = 'ok' ORDER BY reward DESC, number LIMIT 1",
            (self._run,),
        ).fetchone()
        return None if row is None else _trial(row)

    # Searches that do not wait for waves ------------------------------------------------------

    def propose(self, proposals: Sequence[Proposal]) -> None:
        """Note strings whose children are about to be trained; on disk when this returns."""
        rows = [(self._run, *astuple(one.origin), _json(one.tokens)) for one in proposals]
        with self._transaction():
            self._db.executemany("INSERT INTO proposals VALUES (?, ?, ?, ?, ?, ?)", rows)

    def proposed(self) -> int:
        """Return the number of proposals ever made."""
        query = "SELECT COALESCE(MAX(proposal) + 1, 0) FROM"
        return max(
            int(self._one(f"{query} proposals WHERE run = ?", self._run)),
            int(self._one(f"{query} trials WHERE run = ? AND proposal IS NOT NULL", self._run)),
        )

    def proposals(self, trials: int) -> list[Proposal]:
        """Return, in order, what had no trial when there were so many trials of the run."""
        columns = "proposal, proposed_at, replica, version, tokens"
        rows = self._db.execute(
            f"SELECT {columns}, 1 FROM trials "
            f"WHERE run = ?1 AND number >= ?2 AND proposal IS NOT NULL "
            f"UNION ALL SELECT {columns}, 0 FROM proposals WHERE run = ?1 ORDER BY proposal",
            (self._run, trials),
        )
        return [
            Proposal(tuple(json.loads(tokens)), Origin(*origin), bool(finished))
            for *origin, tokens, finished in rows
        ]

    def log(self, updates: Sequence[Update]) -> None:
        """Append what a parameter server is about to apply; on disk when this returns."""
        with self._transaction():
            query = "SELECT COALESCE(MAX(number) + 1, 0) FROM updates WHERE run = ?"
            first = self._one(query, self._run)
            for number, update in enumerate(updates, first):
                row = (update.replica, update.read, update.made, update.reward)
                self._db.execute(
                    "INSERT INTO updates VALUES (?, ?, ?, ?, ?, ?, ?)",
                    (self._run, number, *row, _json(update.proposals)),
                )

    def updates(self, after: int = 0) -> list[Update]:
        """Return the updates that made versions after version `after`, in order."""
        rows = self._db.execute(
            "SELECT replica, read, made, reward, proposals FROM updates "
            "WHERE run = ? AND made > ? ORDER BY number",
            (self._run, after),
        )
        return [
            Update(replica, read, made, reward, tuple(json.loads(proposals)))
            for replica, read, made, reward, proposals in rows
        ]

    # The agent --------------------------------------------------------------------------------

    def save_agent(self, trials: int, state: bytes, proposals: int = 0) -> None:
        """Keep the agent's state as of so many trials and proposals; on disk when this returns."""
        with self._transaction():
            self._db.execute(
                "INSERT INTO agent (run, trials, proposals, sha256, state) VALUES (?, ?, ?, ?, ?)",
                (self._run, trials, proposals, hashlib.sha256(state).hexdigest(), state),
            )
            crash_point("mid_checkpoint")
            self._db.execute(
                "DELETE FROM agent WHERE run = ?1 AND number NOT IN "
                "(SELECT number FROM agent WHERE run = ?1 ORDER BY number DESC LIMIT ?2)",
                (self._run, STATES_KEPT),
            )

    def agent_states(self) -> Iterator[Saved]:
        """Yield the undamaged states of the agent, the latest first."""
        rows = self._db.execute(
            "SELECT trials, proposals, sha256, state FROM agent WHERE run = ? ORDER BY number DESC",
            (self._run,),
        )
        for trials, proposals, sha256, state in rows.fetchall():
            if hashlib.sha256(state).hexdigest() == sha256:
                yield Saved(trials, proposals, state)

    # ------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Close the file; closing twice does nothing."""
        self._db.close()

    def _one(self, query: str, *values: Any) -> Any:
        return self._db.execute(query, values).fetchone()[0]

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
    *columns, proposal, proposed_at, replica, version = row
    number, tokens, architecture, reward, accuracy, metrics, status, error, seconds, cached = (
        columns
    )
    known = proposal is not None
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
        origin=Origin(proposal, proposed_at, replica, version) if known else None,
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
