"""Worker processes: a pool that trains children in parallel, each in a process of its own."""

import itertools
import os
import signal
import socket
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import IO, Any

from nasgym.channel import Channel
from nasgym.evaluation import Evaluation
from nasgym.nursery import how_it_ended

START_WITHIN = 900.0
"""Seconds a job may take for its imports and data."""

QUIET = 1.0
"""Seconds of silence after which the nursery is asked whether it is well."""

ANSWER_WITHIN = 10.0
"""Seconds it has for the answer; after that it is taken for dead, with all its children."""

END_WITHIN = 0.5
"""Seconds a nursery has to end by itself when its channel closes."""

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
"""Environment of a nursery: threads do not survive a fork, and children share the cores."""


class WorkerError(RuntimeError):
    """The job cannot start at all; the message is one line and says why."""


class NurseryLost(Exception):
    """The nursery is dead or answers nothing; the message says what became of it."""


class NurseryProcess:
    """The parent's end of one running nursery (see `nasgym.nursery`)."""

    def __init__(self, setup: Mapping[str, Any]) -> None:
        """Start a nursery and have it set up its job."""
        here, there = socket.socketpair()
        self._channel = Channel(here)
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (closed by `close`)
        with there:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", "from nasgym.nursery import main; main()"],
                stdin=there.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=self._log,
                env=os.environ | ONE_THREAD | {"PYTHONPATH": _search_path()},
                start_new_session=True,  # Ctrl-C in the terminal is for the parent to deal with
            )
        # Called at the latest when the owner is dropped or the interpreter ends.
        self.close = weakref.finalize(self, _end, os.getpid(), self._process, here, self._log)
        self._send(setup, START_WITHIN)

    def await_job(self) -> None:
        """Wait until the job is set up; raise NurseryLost if that fails."""
        try:
            self._receive(START_WITHIN)
        except TimeoutError:
            raise NurseryLost(f"was not ready within {START_WITHIN:g} s") from None

    def begin(self, ticket: int, task: Mapping[str, Any]) -> None:
        """Have a child forked for `task`; what becomes of it comes back under `ticket`."""
        self._send({"ticket": ticket, "task": task})

    def ended(self) -> list[tuple[int, Evaluation]]:
        """Wait for news and return (ticket, evaluation) of children that ended, perhaps of none.

        Raises NurseryLost if the nursery is dead or, as when it is stopped, does not answer.
        """
        try:
            messages = self._receive(QUIET)
        except TimeoutError:
            self._send({"ping": True})
            try:
                messages = self._receive(ANSWER_WITHIN)
            except TimeoutError:
                raise NurseryLost(f"gave no answer for {ANSWER_WITHIN:g} s") from None
        return [
            (message["ticket"], Evaluation.from_plain(message["evaluation"]))
            for message in messages
            if "ticket" in message
        ]

    def _send(self, message: Mapping[str, Any], patience: float = ANSWER_WITHIN) -> None:
        self._channel.socket.settimeout(patience)
        try:
            self._channel.send(message)
        except OSError:
            # What takes nothing in is as good as dead, and that is found out by listening to it.
            self._process.kill()

    def _receive(self, patience: float) -> list[dict[str, Any]]:
        self._channel.socket.settimeout(patience)
        try:
            return self._channel.receive()
        except (EOFError, ConnectionError):
            raise NurseryLost(self._last_words()) from None

    def _last_words(self) -> str:
        code = self._process.wait()
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().split("\n")
        return lines[-1] if code > 0 and lines[-1] else how_it_ended(code)


def _search_path() -> str:
    return os.pathsep.join(entry or os.getcwd() for entry in sys.path)


def _end(
    owner: int, process: subprocess.Popen[bytes], channel: socket.socket, log: IO[bytes]
) -> None:
    """End a nursery and its children, unless this process is only a fork of its owner."""
    channel.close()
    log.close()
    if os.getpid() != owner:
        return
    try:
        process.wait(END_WITHIN)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@dataclass
class Run:
    """How far the tasks of one `Pool.run` are."""

    tasks: Sequence[Mapping[str, Any]] = ()
    """All of them."""
    waiting: list[int] = field(default_factory=list)
    """Indices of the tasks to begin, the next one last."""
    attempts: list[int] = field(default_factory=list)
    """How often each task was begun."""
    running: dict[int, tuple[int, int]] = field(default_factory=dict)
    """(index, slot) of each ticket whose child has not ended."""

    def free_slots(self, workers: int) -> list[int]:
        """Return the slots below `workers` that no running task has."""
        return sorted(set(range(workers)) - {slot for _, slot in self.running.values()})

    def settle(
        self, ticket: int, evaluation: Evaluation, retries: int
    ) -> Iterator[tuple[int, Evaluation]]:
        """Take the ticket back; yield (index, evaluation) if that is final, else queue the task."""
        index, _ = self.running.pop(ticket)
        attempts = self.attempts[index]
        if evaluation.status == "killed" and attempts <= retries:
            self.waiting.append(index)
        elif attempts == 1:
            yield index, evaluation
        else:
            metrics = {**evaluation.metrics, "attempts": attempts}
            yield index, replace(evaluation, metrics=metrics)


class Pool:
    """Processes that train children, one each, with limits.

    `job` names a function, "package.module:function". A nursery process calls it once with
    `settings`: heavy imports, data and warm-up belong there. What it returns is called in a fresh
    fork for each task, a mapping of plain JSON data, and returns the plain form of an
    `Evaluation`. Whatever goes wrong with a child is its `Evaluation`: a `status`, and an `error`
    whose last line says it in words. A child that was killed, from outside or by a crash of its
    own, is begun again up to `retries` times (metrics then tell the "attempts"); every other
    failure is final.

    `time_limit` is in seconds of wall time, `memory_limit` in GiB beyond what the nursery holds
    (enforced on Linux only). The nursery starts with the first task; it and its children end with
    this process, however that ends. The job must leave no thread behind and touch no GPU before it
    is given a task, because neither survives a fork. A pool is for one thread of the process that
    made it.
    """

    def __init__(
        self,
        job: str,
        settings: Mapping[str, Any],
        *,
        workers: int = 1,
        time_limit: float | None = None,
        memory_limit: float | None = None,
        retries: int = 2,
    ) -> None:
        """Prepare a pool of `workers` processes at a time; nothing is started yet."""
        if not hasattr(os, "fork"):
            raise OSError("children are trained in forked processes, which this system lacks")
        if ":" not in job:
            raise ValueError(f"a job is named 'package.module:function', not {job!r}")
        if workers < 1 or retries < 0:
            raise ValueError(f"{workers} workers with {retries} retries cannot train anything")
        limits = {"time_limit": time_limit, "memory_limit": memory_limit}
        for name, limit in limits.items():
            if limit is not None and not limit > 0:
                raise ValueError(f"{name} must be above 0, or None for no limit, not {limit}")
        self.workers = workers
        self.retries = retries
        self._owner = os.getpid()
        self._setup: dict[str, Any] = {"job": job, "settings": dict(settings), **limits}
        self._setup["parent"] = self._owner
        self._closed = False
        self._nursery: NurseryProcess | None = None
        self._tickets = itertools.count()
        self._current = Run()

    def run(
        self, tasks: Sequence[Mapping[str, Any]], costs: Sequence[float] | None = None
    ) -> Iterator[tuple[int, Evaluation]]:
        """Yield (index, evaluation) of each task, in the order of finishing.

        The tasks of largest cost begin first, so that no long one is left over at the end. Each
        is given its "slot", a number below `workers` that no other running task has. A new run
        ends an earlier one that was not exhausted. Raises WorkerError if the job cannot start.
        """
        if self._closed:
            raise RuntimeError("this pool is closed")
        if os.getpid() != self._owner:
            raise RuntimeError(f"this pool is that of process {self._owner}: make one here")
        if costs is None:
            costs = [0.0] * len(tasks)
        if len(costs) != len(tasks):
            raise ValueError(f"{len(tasks)} tasks need as many costs, not {len(costs)}")
        self._abandon()
        largest_last = sorted(range(len(tasks)), key=lambda index: (costs[index], -index))
        self._current = Run(tasks, largest_last, [0] * len(tasks))
        return self._results(self._current)

    def close(self) -> None:
        """End all processes, within a second; a closed pool runs nothing more."""
        self._closed = True
        self._current = Run()
        self._stop()

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _results(self, run: Run) -> Iterator[tuple[int, Evaluation]]:
        try:
            self._begin(run)
            while run.running:
                final = [
                    result
                    for ticket, evaluation in self._ended(run)
                    for result in run.settle(ticket, evaluation, self.retries)
                ]
                self._begin(run)
                for result in final:
                    yield result
                    if self._current is not run:
                        raise RuntimeError("a new run, or closing the pool, has ended this run")
        finally:
            if self._current is run:
                self._abandon()

    def _begin(self, run: Run) -> None:
        """Begin as many of the waiting tasks as there are free slots."""
        for slot in run.free_slots(self.workers)[: len(run.waiting)]:
            nursery = self._nursery or self._start()
            index, ticket = run.waiting.pop(), next(self._tickets)
            run.attempts[index] += 1
            run.running[ticket] = index, slot
            nursery.begin(ticket, {**run.tasks[index], "slot": slot})

    def _start(self) -> NurseryProcess:
        self._nursery = NurseryProcess(self._setup)
        try:
            self._nursery.await_job()
        except NurseryLost as lost:
            raise WorkerError(f"the job {self._setup['job']} cannot start: {lost}") from None
        return self._nursery

    def _ended(self, run: Run) -> list[tuple[int, Evaluation]]:
        """Wait for children of `run` to end; those of a lost nursery were killed."""
        assert self._nursery is not None
        try:
            return self._nursery.ended()
        except NurseryLost as lost:
            self._stop()
            killed = Evaluation(
                status="killed", error=f"the process that forked it was lost: {lost}"
            )
            return [(ticket, killed) for ticket in run.running]

    def _abandon(self) -> None:
        """Kill what the current run has not finished."""
        if self._current.waiting or self._current.running:
            self._stop()

    def _stop(self) -> None:
        if self._nursery is not None:
            self._nursery.close()
            self._nursery = None
