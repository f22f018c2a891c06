"""A pool that trains children in parallel on this machine, each in a process of its own."""

import heapq
import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from nasgym.errors import InvalidInput, NasgymError
from nasgym.evaluation.evaluation import Evaluation
from nasgym.execution.json_process import JsonProcess, ProcessLost
from nasgym.execution.scheduler import Scheduler, Task

START_WITHIN = 900.0
"""Seconds that a job may take for its imports and data."""

PING_AFTER = 1.0
"""Seconds of silence after which the fork server is sent a ping."""

ANSWER_WITHIN = 10.0
"""Seconds that it has to answer; after that it and all its children are considered lost."""


class WorkerError(NasgymError, RuntimeError):
    """The job cannot start at all; the message gives the reason in one line."""


class LocalBackend:
    """Children in forks of one fork server on this machine, each with limits (see `Pool`).

    The fork server starts with the first child, and again after it was lost.
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
        """See `Pool` for the arguments; no process starts yet."""
        if not hasattr(os, "fork"):
            raise OSError("children are trained in forked processes, which this system lacks")
        if ":" not in job:
            raise InvalidInput(f"a job is named 'package.module:function', not {job!r}")
        if workers < 1:
            raise InvalidInput(f"{workers} workers cannot train anything")
        limits = {"time_limit": time_limit, "memory_limit": memory_limit}
        for name, limit in limits.items():
            if limit is not None and not limit > 0:
                raise InvalidInput(f"{name} must be above 0, or None for no limit, not {limit}")
        self.workers = workers
        self._setup: dict[str, Any] = {"job": job, "settings": dict(settings), **limits}
        self._server: JsonProcess | None = None
        self._free_slots = list(range(workers))
        self._slots: dict[int, int] = {}

    def begin(self, ticket: int, task: Task) -> None:
        """Begin a child in the lowest free slot; raise WorkerError if the job cannot start."""
        server = self.start()
        slot = heapq.heappop(self._free_slots)
        self._slots[ticket] = slot
        server.send({"ticket": ticket, "task": {**task, "slot": slot}}, ANSWER_WITHIN)

    def ended(self) -> list[tuple[int, Evaluation]]:
        """Wait for children to end; those of a lost fork server have the status "killed"."""
        if self._server is None:
            return []
        try:
            ended = [
                (message["ticket"], Evaluation.from_plain(message["evaluation"]))
                for message in _receive(self._server)
                if "ticket" in message
            ]
        except ProcessLost as lost:
            error = f"the process that forked it was lost: {lost}"
            killed = Evaluation(status="killed", error=error)
            ended = [(ticket, killed) for ticket in self._slots]
            self.stop()
        for ticket, _ in ended:
            if ticket in self._slots:
                heapq.heappush(self._free_slots, self._slots.pop(ticket))
        return ended

    def stop(self) -> None:
        """End the fork server and its children, within a second."""
        self._free_slots = list(range(self.workers))
        self._slots.clear()
        if self._server is not None:
            self._server.close()
            self._server = None

    def start(self) -> JsonProcess:
        """Start the fork server unless it runs; raise WorkerError if the job cannot start."""
        if self._server is not None:
            return self._server
        server = JsonProcess("nasgym.execution.forkserver")
        server.send({**self._setup, "parent": os.getpid()}, START_WITHIN)
        try:
            server.receive(START_WITHIN)  # {"ready": true}
        except ProcessLost as lost:
            reason = str(lost)
        except TimeoutError:
            reason = f"was not ready within {START_WITHIN:g} s"
        else:
            self._server = server
            return server
        server.close()
        raise WorkerError(f"the job {self._setup['job']} cannot start: {reason}")

    def fileno(self) -> int | None:
        """Return the file descriptor that is readable when `ended` would not block.

        None if no fork server runs.
        """
        return None if self._server is None else self._server.fileno()


def _receive(server: JsonProcess) -> list[dict[str, Any]]:
    """Wait for messages, possibly none; raise ProcessLost if the fork server does not answer."""
    with suppress(TimeoutError):
        return server.receive(PING_AFTER)
    server.send({"ping": True}, ANSWER_WITHIN)
    try:
        return server.receive(ANSWER_WITHIN)
    except TimeoutError:
        raise ProcessLost(f"gave no answer for {ANSWER_WITHIN:g} s") from None


class Pool(Scheduler):
    """Worker processes on this machine that train one child each, with limits.

    `job` names a function, "package.module:function". A fork server calls it once with
    `settings`; heavy imports, data and warm-up belong there. The function that it returns runs in
    a fresh fork for each task. It takes the task, a mapping of plain JSON data, and returns the
    plain form of an `Evaluation`. Any failure of a child becomes its `Evaluation`, with a `status`
    and an `error` whose last line gives the reason.

    `time_limit` is wall time in seconds. `memory_limit` is GiB beyond the memory of the fork
    server, enforced on Linux only. The fork server and its children end with this process, however
    that ends. The job must leave no thread running and use no GPU before its first task, because
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
        """Prepare a pool that runs up to `workers` children at a time; no process starts yet."""
        limits: dict[str, Any] = {"time_limit": time_limit, "memory_limit": memory_limit}
        super().__init__(LocalBackend(job, settings, workers=workers, **limits), retries=retries)
