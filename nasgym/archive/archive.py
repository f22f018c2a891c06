"""An archive as one of its runs sees it: trained children, recorded trials, agent states."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import astuple
from pathlib import Path
from typing import Any

from nasgym.archive.claim import MAIN, Claim
from nasgym.archive.database import Database
from nasgym.archive.records import AgentState, Counts, Origin, Proposal, Trial, Update
from nasgym.archive.schema import IS_FINAL, IS_RESOURCE_FAILURE, checksum, insert
from nasgym.crash_points import crash_point
from nasgym.evaluation.evaluation import RESOURCE_FAILURES, Evaluation
from nasgym.spaces.base import Tokens

STATES_KEPT = 2
"""Agent states kept for each run: the last, and the one before in case the last is damaged."""

RESULT = "SELECT result, accuracy, status, error, seconds, metrics FROM results WHERE key = ?"

TRIALS = """
SELECT number, tokens, architecture, reward, accuracy, metrics, status, error, seconds, cached,
    proposal, proposed_at, replica, version, results.run != trials.run
FROM trials JOIN results USING (result)
WHERE trials.run = ?
"""

OUTLINES = """
SELECT number, tokens, reward, accuracy, status, error, seconds, cached,
    results.run != trials.run {metrics}
FROM trials JOIN results USING (result)
"""


class Archive:
    """One run in an archive file, or in memory if `path` is None.

    One process writes a run; meanwhile any number of processes may read it and write other runs.
    All runs share their children. Iterating yields every `Trial` of the run in order.
    """

    def __init__(
        self,
        path: str | Path | None = None,
        *,
        run: str = MAIN,
        resource_limits: str = "",
        read_only: bool = False,
    ) -> None:
        """Open `run` in the archive at `path`; create both if they are missing.

        `resource_limits` names the limits of a child's time and memory: see `result`. Raises
        ArchiveError if the file is not an archive, is damaged, or has another version.
        """
        self.path = None if path is None else Path(path)
        self.run = run
        self.resource_limits = resource_limits
        self._claim: Claim | None = None
        self._database = Database(self.path, read_only=read_only)
        self._db = self._database.connection
        self._transaction = self._database.transaction
        self._run = self._run_number(read_only)

    @classmethod
    def claimed(
        cls, path: str | Path, run: str | None = None, *, resource_limits: str = ""
    ) -> "Archive":
        """Open a run and keep it from other processes that call this, until `close`.

        Without a name, the run is the first of "main", "main-2", "main-3", ... that is free. The
        kernel frees it if the process is killed. Raises ArchiveError if a living process has
        claimed `run`, or if the archive cannot be opened.
        """
        claim = Claim.first_free(Path(path)) if run is None else Claim(Path(path), run)
        try:
            archive = cls(path, run=claim.run, resource_limits=resource_limits)
        except BaseException:
            claim.withdraw()
            raise
        archive._claim = claim
        return archive

    def _run_number(self, read_only: bool) -> int:
        """Return the number of the run; 0, which no run has, if it is missing and `read_only`."""
        query = "SELECT run FROM runs WHERE name = ?"
        row = self._database.first(query, self.run)
        if row is None and not read_only:
            with self._transaction():
                insert(self._db, "runs", (self.run, ""), or_ignore=True)
            row = self._database.first(query, self.run)
        return 0 if row is None else int(row[0])

    def together(self) -> AbstractContextManager[None]:
        """Commit all writes of the block at its end, or none of them if it raises."""
        return self._transaction()

    # Runs -------------------------------------------------------------------------------------

    def runs(self) -> list[str]:
        """Return the names of all runs, the oldest first."""
        return [name for (name,) in self._database.rows("SELECT name FROM runs ORDER BY run")]

    def plan(self) -> str:
        """Return the plan of the run's search as JSON; empty if none was recorded."""
        row = self._database.first("SELECT plan FROM runs WHERE run = ?", self._run)
        return "" if row is None else str(row[0])

    def note_plan(self, plan: str) -> None:
        """Record the plan of the run's search, JSON; on disk when this returns."""
        row = self.run, plan
        with self._transaction():
            self._db.execute(
                "UPDATE runs SET plan = ?, checksum = ? WHERE run = ?",
                (plan, checksum(row), self._run),
            )

    # Children ---------------------------------------------------------------------------------

    def result(self, key: str) -> Evaluation | None:
        """Return the finished child stored under `key`, or None.

        A child that was killed, or ran out of time or memory, counts as finished only for the run
        that trained it, and only while its `resource_limits` are the same.
        """
        row = self._result(key)
        if row is None:
            return None
        _, accuracy, status, error, seconds, metrics = row
        with self._database.readable():
            return Evaluation(accuracy, status, error, seconds, json.loads(metrics))

    def _result(self, key: str) -> tuple[Any, ...] | None:
        failed = f"{RESULT} AND {IS_RESOURCE_FAILURE} AND run = ? AND allowance = ?"
        return self._database.first(f"{RESULT} AND {IS_FINAL}", key) or self._database.first(
            failed, key, self._run, self.resource_limits
        )

    def store(self, key: str, evaluation: Evaluation) -> Evaluation:
        """Store a finished child under `key`; return the stored one, which is on disk by then.

        If another run stored the same child first, returns that one.
        """
        by_resources = evaluation.status in RESOURCE_FAILURES
        row = (
            key,
            self._run,
            self.resource_limits if by_resources else "",
            float(evaluation.accuracy),
            evaluation.status,
            evaluation.error.encode(errors="replace").decode(),  # may hold surrogates
            float(evaluation.seconds),
            _json(evaluation.metrics),
        )
        with self._transaction():
            insert(self._db, "results", row, or_ignore=True)
        return self.result(key) or evaluation

    # Episodes ---------------------------------------------------------------------------------

    def record(
        self,
        episodes: Sequence[tuple[Tokens, Any, float, str]],
        origins: Sequence[Origin] | None = None,
    ) -> list[Trial]:
        """Append finished episodes in one transaction and return them as trials.

        An episode is (tokens, plain architecture, reward, key of its stored child). `origins`, one
        for each episode, end the proposals that they name (see `propose`).
        """
        first = len(self)
        with self._transaction():
            for index, (tokens, architecture, reward, key) in enumerate(episodes):
                origin = (None,) * 4 if origins is None else astuple(origins[index])
                result = self._result(key)
                if result is None:
                    raise KeyError(f"no child is stored under {key!r}")
                episode = _json(tokens), _json(architecture), float(reward)
                child = self._has_trial(result[0]), result[0]
                insert(self._db, "trials", (self._run, first + index, *episode, *child, *origin))
            self._db.executemany(
                "DELETE FROM proposals WHERE run = ? AND proposal = ?",
                [(self._run, origin.proposal) for origin in origins or ()],
            )
        return self[first : first + len(episodes)]

    def _has_trial(self, result: int) -> int:
        query = "SELECT EXISTS (SELECT 1 FROM trials WHERE result = ? AND run = ?)"
        return int(self._one(query, result, self._run))

    def __len__(self) -> int:
        """Return the number of trials."""
        query = "SELECT COALESCE(MAX(number) + 1, 0) FROM trials WHERE run = ?"
        return int(self._one(query, self._run))

    def __iter__(self) -> Iterator[Trial]:
        """Yield the trials in the order in which they finished."""
        return self._trials("ORDER BY number")

    def __getitem__(self, numbers: slice) -> list[Trial]:
        """Return the trials with numbers in a slice, such as `archive[:100]`."""
        start, stop, step = numbers.indices(len(self))
        in_range = "AND number >= ? AND number < ? ORDER BY number"
        return list(self._trials(in_range, start, stop))[::step]

    def _trials(self, query: str, *values: Any) -> Iterator[Trial]:
        with self._database.readable():
            for row in self._db.execute(f"{TRIALS} {query}", (self._run, *values)):
                yield _trial(row)

    def outlines(self, metrics: Sequence[str] = ()) -> Iterator[Trial]:
        """Yield the trials without architecture and origin, and with only the given metrics.

        For statistics over many trials: an outline takes a tenth of the memory of a whole trial.
        """
        columns = "".join(", json_extract(metrics, ?)" for _ in metrics)
        rows = self._database.rows(
            f"{OUTLINES.format(metrics=columns)} WHERE trials.run = ? ORDER BY number",
            *(f'$."{name}"' for name in metrics),
            self._run,
        )
        for number, tokens, reward, accuracy, status, error, seconds, cached, found, *known in rows:
            yield Trial(
                number=number,
                tokens=tuple(json.loads(tokens)),
                architecture=None,
                reward=float(reward),
                accuracy=float(accuracy),
                metrics={n: v for n, v in zip(metrics, known, strict=True) if v is not None},
                status=str(status),
                error=str(error),
                seconds=float(seconds),
                cached=bool(cached),
                found=bool(found),
            )

    def seconds(self, start: int, stop: int) -> list[float]:
        """Return the training seconds of the child of each trial from `start` to `stop`."""
        rows = self._database.rows(
            "SELECT seconds FROM trials JOIN results USING (result)"
            " WHERE trials.run = ? AND number >= ? AND number < ? ORDER BY number",
            self._run,
            start,
            stop,
        )
        return [seconds for (seconds,) in rows]

    def counts(self) -> Counts:
        """Return the number of trials by where their children came from."""
        row = self._database.first(
            "SELECT COUNT(*), TOTAL(NOT cached AND results.run = trials.run),"
            " TOTAL(NOT cached AND results.run != trials.run), TOTAL(status != 'ok')"
            " FROM trials JOIN results USING (result) WHERE trials.run = ?",
            self._run,
        )
        return Counts(*map(int, row or ()))

    def best(self) -> Trial | None:
        """Return the earliest trial with the highest reward; None if no child trained."""
        best = "AND status = 'ok' ORDER BY reward DESC, number LIMIT 1"
        return next(self._trials(best), None)

    def ranked(self) -> Iterator[Trial]:
        """Yield the best trial of each network, the best first; of equals the earliest.

        Reads trials one by one, so that the first ones come at once from a large archive.
        """
        children: set[Any] = set()
        networks: set[str] = set()
        rows = self._database.rows(
            "SELECT number, result FROM trials WHERE run = ? ORDER BY reward DESC, number",
            self._run,
        )
        for number, result in rows:
            if result in children:
                continue
            children.add(result)
            (trial,) = self[number : number + 1]
            network = _json(trial.architecture)
            if network not in networks:
                networks.add(network)
                yield trial

    # Asynchronous searches --------------------------------------------------------------------

    def propose(self, proposals: Sequence[Proposal]) -> None:
        """Record strings whose children are about to be trained; on disk when this returns."""
        with self._transaction():
            for one in proposals:
                insert(self._db, "proposals", (self._run, *astuple(one.origin), _json(one.tokens)))

    def proposed(self) -> int:
        """Return the number of all proposals of the run, finished or not."""
        query = "SELECT COALESCE(MAX(proposal) + 1, 0) FROM"
        return max(
            int(self._one(f"{query} proposals WHERE run = ?", self._run)),
            int(self._one(f"{query} trials WHERE run = ? AND proposal IS NOT NULL", self._run)),
        )

    def proposals(self, trials: int) -> list[Proposal]:
        """Return the proposals, in order, that were unfinished when the run had `trials` trials."""
        columns = "proposal, proposed_at, replica, version, tokens"
        rows = self._database.rows(
            f"SELECT {columns}, 1 FROM trials "
            f"WHERE run = ?1 AND number >= ?2 AND proposal IS NOT NULL "
            f"UNION ALL SELECT {columns}, 0 FROM proposals WHERE run = ?1 ORDER BY proposal",
            self._run,
            trials,
        )
        return [
            Proposal(tuple(json.loads(tokens)), Origin(*origin), bool(finished))
            for *origin, tokens, finished in rows
        ]

    def log(self, updates: Sequence[Update]) -> None:
        """Append updates that a parameter server is about to apply; on disk when this returns."""
        with self._transaction():
            query = "SELECT COALESCE(MAX(number) + 1, 0) FROM updates WHERE run = ?"
            first = self._one(query, self._run)
            for number, update in enumerate(updates, first):
                row = (update.replica, update.read, update.made, float(update.reward))
                insert(self._db, "updates", (self._run, number, *row, _json(update.proposals)))

    def updates(self, after: int = 0) -> list[Update]:
        """Return the updates that produced versions after version `after`, in order."""
        rows = self._database.rows(
            "SELECT replica, read, made, reward, proposals FROM updates "
            "WHERE run = ? AND made > ? ORDER BY number",
            self._run,
            after,
        )
        return [
            Update(replica, read, made, reward, tuple(json.loads(proposals)))
            for replica, read, made, reward, proposals in rows
        ]

    def ages(self) -> dict[int, int]:
        """Return the histogram of trial ages: {age: number of trials}, ages ascending.

        The age of a trial is the number of trials that finished between its proposal and its end.
        Trials of a search in waves do not count.
        """
        return self._histogram("number - proposed_at", "trials", "AND proposal IS NOT NULL")

    def lags(self) -> dict[int, int]:
        """Return the histogram of gradient staleness: {lag: number of updates}, lags ascending.

        The lag of an update is the number of versions that other updates produced between reading
        the parameters and applying the gradient (Zoph & Le 2017, section 3.2).
        """
        return self._histogram("made - read - 1", "updates")

    def _histogram(self, value: str, table: str, condition: str = "") -> dict[int, int]:
        rows = self._database.rows(
            f"SELECT {value} AS value, COUNT(*) FROM {table} WHERE run = ? {condition}"
            " GROUP BY value ORDER BY value",
            self._run,
        )
        return dict(rows)

    # The agent --------------------------------------------------------------------------------

    def save_agent(self, trials: int, state: bytes, proposals: int = 0) -> None:
        """Save the agent's state after `trials` and `proposals`; on disk when this returns."""
        with self._transaction():
            digest = hashlib.sha256(state).hexdigest()
            insert(self._db, "agent", (self._run, trials, proposals, digest, state))
            crash_point("mid_checkpoint")
            self._db.execute(
                "DELETE FROM agent WHERE run = ?1 AND number NOT IN "
                "(SELECT number FROM agent WHERE run = ?1 ORDER BY number DESC LIMIT ?2)",
                (self._run, STATES_KEPT),
            )

    def agent_states(self) -> Iterator[AgentState]:
        """Yield the undamaged saved states of the agent, the latest first."""
        rows = self._database.rows(
            "SELECT trials, proposals, sha256, state FROM agent WHERE run = ? ORDER BY number DESC",
            self._run,
        )
        for trials, proposals, sha256, state in list(rows):
            if hashlib.sha256(state).hexdigest() == sha256:
                yield AgentState(trials, proposals, state)

    # Closing ----------------------------------------------------------------------------------

    def close(self) -> None:
        """Close the file and release the claim on the run; closing twice does nothing."""
        self._database.close()
        if self._claim is not None:
            self._claim.release()

    def _one(self, query: str, *values: Any) -> Any:
        return self._database.one(query, *values)


def _trial(row: tuple[Any, ...]) -> Trial:
    *columns, proposal, proposed_at, replica, version, found = row
    number, tokens, architecture, reward, accuracy, metrics, status, error, seconds, cached = (
        columns
    )
    known = proposal is not None
    return Trial(
        number=number,
        tokens=tuple(json.loads(tokens)),
        architecture=json.loads(architecture),
        reward=float(reward),
        accuracy=float(accuracy),
        metrics=dict(json.loads(metrics)),
        status=str(status),
        error=str(error),
        seconds=float(seconds),
        cached=bool(cached),
        origin=Origin(proposal, proposed_at, replica, version) if known else None,
        found=bool(found),
    )


def _json(data: Any) -> str:
    return json.dumps(data, separators=(",", ":"), allow_nan=False)
