"""Worker processes that play the entries of the leaderboard, one entry at a time each.

Importing torch and Stable-Baselines3 takes seconds, little less than a run on a table, so each
process plays many entries.
"""

import os
import selectors
import time
import traceback
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from nasgym.archive import Trial
from nasgym.benchmarks.leaderboard.entries import LeaderboardEntry, play
from nasgym.execution.json_lines import JsonLines
from nasgym.execution.json_process import (
    JsonProcess,
    ProcessLost,
    connect_to_parent,
    die_with_parent,
)

PROGRESS_INTERVAL = 0.5
"""Minimum seconds between two reports of a worker."""

TERMINATE_WITHIN = 5.0
"""Seconds that a worker has to exit after SIGTERM."""


@dataclass(frozen=True)
class RunProgress:
    """A worker's report on its entry."""

    entry: LeaderboardEntry
    """The entry."""
    done: int
    """Children finished so far."""
    over: bool = False
    """Whether the entry is finished or has failed."""
    failure: str = ""
    """Why it failed, in one line; empty if it did not."""


class RunWorker(JsonProcess):
    """A worker process, as its parent sees it."""

    def __init__(self, out: Path) -> None:
        """Start a process that plays entries in the folder `out`."""
        super().__init__("nasgym.benchmarks.leaderboard.run_pool")
        self.send({"parent": os.getpid(), "out": str(out)})
        self._entry: LeaderboardEntry | None = None

    def begin(self, entry: LeaderboardEntry) -> None:
        """Play `entry`; do not wait for it."""
        self._entry = entry
        self.send({"entry": asdict(entry)})

    def progress(self) -> list[RunProgress]:
        """Wait for reports and return them; if the process died, its entry has failed."""
        assert self._entry is not None
        try:
            return [RunProgress(self._entry, **message) for message in self.receive()]
        except ProcessLost as lost:
            return [RunProgress(self._entry, 0, over=True, failure=str(lost))]

    def stop(self) -> None:
        """End the process; the finished children of its entry are kept."""
        self.terminate(TERMINATE_WITHIN)
        self.close()


def play_all(entries: Sequence[LeaderboardEntry], out: Path, workers: int) -> Iterator[RunProgress]:
    """Play `entries` in order, `workers` at a time, and yield reports as they arrive.

    A failed entry does not stop the others; a dead worker is replaced.
    """
    waiting = deque(entries)
    with ExitStack() as stack, selectors.DefaultSelector() as selector:

        def begin_next(worker: RunWorker) -> None:
            if waiting and worker.alive:
                worker.begin(waiting.popleft())
                return
            selector.unregister(worker)
            if waiting:
                start()

        def start() -> None:
            worker = RunWorker(out)
            stack.callback(worker.stop)
            selector.register(worker, selectors.EVENT_READ, worker)
            worker.begin(waiting.popleft())

        for _ in range(min(workers, len(entries))):
            start()
        while selector.get_map():
            for key, _ in selector.select():
                for progress in key.data.progress():
                    yield progress
                    if progress.over:
                        begin_next(key.data)


def main() -> None:
    """Serve as a worker: play the entries that the parent sends."""
    connection = connect_to_parent()
    messages = iter(connection)
    setup = next(messages)
    die_with_parent(setup["parent"])
    out = Path(setup["out"])
    for message in messages:
        entry = LeaderboardEntry(**message["entry"])
        failure = _play(connection, entry, out)
        connection.send({"done": entry.children, "over": True, "failure": failure})


def _play(connection: JsonLines, entry: LeaderboardEntry, out: Path) -> str:
    """Play `entry`; return the reason of its failure in one line, empty if it did not fail."""
    reported = 0.0

    def report(trial: Trial) -> None:
        nonlocal reported
        if time.monotonic() - reported > PROGRESS_INTERVAL:
            reported = time.monotonic()
            connection.send({"done": trial.number + 1})

    errors = entry.folder(out) / "error.txt"
    errors.unlink(missing_ok=True)
    try:
        play(entry, out, report)
    except Exception as error:  # an agent from elsewhere may raise anything
        errors.parent.mkdir(parents=True, exist_ok=True)
        errors.write_text(traceback.format_exc())
        return f"{type(error).__name__}: {error}".splitlines()[0]
    return ""
