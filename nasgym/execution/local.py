"""Worker processes: a pool that trains children in parallel, each in a process of its own."""

import heapq
import os
import signal
import socket
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Mapping
from typing import IO, Any

from nasgym.evaluation.evaluation import Evaluation
from nasgym.execution.forkserver import how_it_ended
from nasgym.execution.json_lines import Channel
from nasgym.execution.scheduler import Scheduler, Task

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
    """The parent's end of one running nursery (see `nasgym.execution.forkserver`)."""

    def __init__(self, setup: Mapping[str, Any]) -> None:
        """Start a nursery and have it set up its job."""
        here, there = socket.socketpair()
        self._channel = Channel(here)
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 (closed by `close`)
        with there:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-P",
                    "-c",
                    "from nasgym.execution.forkserver import main; main()",
                ],
                stdin=there.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=self._log,
                env=os.environ | ONE_THREAD | {"PYTHONPATH": search_path()},
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

    def fileno(self) -> int:
        """Return the file descriptor that becomes readable when there is news."""
        return self._channel.socket.fileno()

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


def search_path() -> str:
    """Return PYTHONPATH for a process that is to import what this one can."""
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


class LocalBackend:
    """Children in forks of one nursery on this machine, each with limits (see `Pool`).

    The nursery starts with the first child, and anew after it was lost.
    """

    def __init__(
        self,
        job: str,
        settings: Mapping[str, Any],
        *,
        workers: int = 1,
        time_limit: float | None = None,
        memory_limit: float | None = None,
    ) -> None:
        """See `Pool` for the arguments; nothing is started yet."""
        if not hasattr(os, "fork"):
            raise OSError("children are trained in forked processes, which this system lacks")
        if ":" not in job:
            raise ValueError(f"a job is named 'package.module:function', not {job!r}")
        if workers < 1:
            raise ValueError(f"{workers} workers cannot train anything")
        limits = {"time_limit": time_limit, "memory_limit": memory_limit}
        for name, limit in limits.items():
            if limit is not None and not limit > 0:
                raise ValueError(f"{name} must be above 0, or None for no limit, not {limit}")
        self.workers = workers
        self._setup: dict[str, Any] = {"job": job, "settings": dict(settings), **limits}
        self._nursery: NurseryProcess | None = None
        self._free = list(range(workers))
        self._slots: dict[int, int] = {}

    def begin(self, ticket: int, task: Task) -> None:
        """Begin a child in the lowest free slot; raise WorkerError if the job cannot start."""
        nursery = self.start()
        slot = heapq.heappop(self._free)
        self._slots[ticket] = slot
        nursery.begin(ticket, {**task, "slot": slot})

    def ended(self) -> list[tuple[int, Evaluation]]:
        """Wait for children to end; those of a lost nursery were killed."""
        if self._nursery is None:
            return []
        try:
            ended = self._nursery.ended()
        except NurseryLost as lost:
            error = f"the process that forked it was lost: {lost}"
            killed = Evaluation(status="killed", error=error)
            ended = [(ticket, killed) for ticket in self._slots]
            self.stop()
        for ticket, _ in ended:
            if ticket in self._slots:
                heapq.heappush(self._free, self._slots.pop(ticket))
        return ended

    def stop(self) -> None:
        """End the nursery and its children, within a second."""
        self._free = list(range(self.workers))
        self._slots.clear()
        if self._nursery is not None:
            self._nursery.close()
            self._nursery = None

    def start(self) -> NurseryProcess:
        """Start the nursery unless it is there; raise WorkerError if the job cannot start."""
        if self._nursery is None:
            nursery = NurseryProcess(self._setup | {"parent": os.getpid()})
            try:
                nursery.await_job()
            except NurseryLost as lost:
                nursery.close()
                raise WorkerError(f"the job {self._setup['job']} cannot start: {lost}") from None
            self._nursery = nursery
        return self._nursery

    def fileno(self) -> int | None:
        """Return what becomes readable when `ended` need not wait; None without a nursery."""
        return None if self._nursery is None else self._nursery.fileno()


class Pool(Scheduler):
    """Processes that train children, one each, with limits, on this machine.

    `job` names a function, "package.module:function". A nursery process calls it once with
    `settings`: heavy imports, data and warm-up belong there. What it returns is called in a fresh
    fork for each task, a mapping of plain JSON data, and returns the plain form of an
    `Evaluation`. Whatever goes wrong with a child is its `Evaluation`: a `status`, and an `error`
    whose last line says it in words.

    `time_limit` is in seconds of wall time, `memory_limit` in GiB beyond what the nursery holds
    (enforced on Linux only). The nursery and its children end with this process, however that
    ends. The job must leave no thread behind and touch no GPU before it is given a task, because
    neither survives a fork.
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
        limits: dict[str, Any] = {"time_limit": time_limit, "memory_limit": memory_limit}
        super().__init__(LocalBackend(job, settings, workers=workers, **limits), retries=retries)
