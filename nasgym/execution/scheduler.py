"""The scheduler: the order in which children begin, on any backend, and their retries."""

import heapq
import itertools
import os
from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

from nasgym.errors import InvalidInput
from nasgym.evaluation.evaluation import Evaluation
from nasgym.evaluation.evaluator import Evaluator
from nasgym.spaces.plain import plain

Task = Mapping[str, Any]
"""Tells a job which child to train: plain JSON data."""


class Backend(Protocol):
    """A place where children run."""

    @property
    def workers(self) -> int:
        """How many children it can run at a time; changes as machines come and go."""
        ...

    def begin(self, ticket: int, task: Task) -> None:
        """Begin a child, never more than `workers` at a time; `ended` reports it by `ticket`.

        The task that the job receives has a "slot", a number that no other running child on that
        machine has.
        """
        ...

    def ended(self) -> list[tuple[int, Evaluation]]:
        """Wait for about a second and return the children that ended, perhaps none.

        A child whose process was lost has the status "killed".
        """
        ...

    def stop(self) -> None:
        """Kill all children and free their resources; `begin` may be called again."""
        ...


@dataclass
class Entry:
    """A child that has not ended for good."""

    task: Task
    """The child to train."""
    priority: tuple[int, float, int]
    """Submission, minus cost, ticket: the smallest begins first."""
    attempts: int = 0
    """How often it was begun."""


class Scheduler:
    """Runs children on a backend, as many at a time as it has workers.

    Submissions begin in their order; within one, the child of the largest cost begins first. A
    child that was killed, from outside or by its own crash, is begun again up to `retries` times
    (its metrics then hold "attempts"); every other failure is final.

    Not thread-safe; use it only in the process that created it.
    """

    def __init__(self, backend: Backend, *, retries: int = 2) -> None:
        """Run children on `backend`."""
        if retries < 0:
            raise InvalidInput(f"retries must be 0 or more, not {retries}")
        self.backend = backend
        self.retries = retries
        self._owner = os.getpid()
        self._closed = False
        self._tickets = itertools.count()
        self._submissions = itertools.count()
        self._unfinished: dict[int, Entry] = {}
        self._waiting: list[tuple[int, float, int]] = []

    @property
    def workers(self) -> int:
        """How many children run at a time."""
        return self.backend.workers

    def submit(self, tasks: Sequence[Task], costs: Sequence[float] | None = None) -> list[int]:
        """Queue `tasks`, which belong together, and return a ticket for each.

        `costs` decide their order, in any unit; without costs they begin in the order given.
        """
        self._check_usable()
        if costs is None:
            costs = [0.0] * len(tasks)
        if len(costs) != len(tasks):
            raise InvalidInput(f"{len(tasks)} tasks need as many costs, not {len(costs)}")
        tickets = list(itertools.islice(self._tickets, len(tasks)))
        submission = next(self._submissions)
        for ticket, task, cost in zip(tickets, tasks, costs, strict=True):
            entry = Entry(task, (submission, -cost, ticket))
            self._unfinished[ticket] = entry
            heapq.heappush(self._waiting, entry.priority)
        self._begin()
        return tickets

    def finished(self) -> list[tuple[int, Evaluation]]:
        """Wait for children and return (ticket, evaluation) of those that ended for good.

        Returns at least one, or none if none is queued or running. Raises WorkerError if the job
        cannot start.
        """
        final: list[tuple[int, Evaluation]] = []
        while self._unfinished and not final:
            for ticket, evaluation in self.backend.ended():
                final += self._settled(ticket, evaluation)
            self._begin()
        return final

    def run(
        self, tasks: Sequence[Task], costs: Sequence[float] | None = None
    ) -> Iterator[tuple[int, Evaluation]]:
        """Submit `tasks`; yield (index, evaluation) of each in the order of finishing.

        Everything submitted before is ended, and so are these tasks if the iteration ends early.
        """
        self._check_usable()
        self.cancel()
        return self._results(self.submit(tasks, costs))

    def _results(self, tickets: Sequence[int]) -> Iterator[tuple[int, Evaluation]]:
        places = {ticket: place for place, ticket in enumerate(tickets)}
        try:
            while places:
                if not places.keys() <= self._unfinished.keys():
                    raise RuntimeError("another run, or closing the pool, has ended this run")
                for ticket, evaluation in self.finished():
                    yield places.pop(ticket), evaluation
        finally:
            if places.keys() & self._unfinished.keys():
                self.cancel()

    def cancel(self) -> None:
        """End all children that were submitted."""
        if self._unfinished:
            self._unfinished.clear()
            self._waiting.clear()
            self.backend.stop()

    def close(self) -> None:
        """End all children and processes; nothing more can be submitted."""
        self._closed = True
        self.cancel()
        self.backend.stop()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check_usable(self) -> None:
        if self._closed:
            raise RuntimeError("this pool is closed")
        if os.getpid() != self._owner:
            raise RuntimeError(f"this pool belongs to process {self._owner}: make one here")

    def _begin(self) -> None:
        """Begin as many of the waiting children as there are free workers."""
        running = len(self._unfinished) - len(self._waiting)
        for _ in range(min(len(self._waiting), self.backend.workers - running)):
            *_, ticket = self._waiting[0]
            entry = self._unfinished[ticket]
            self.backend.begin(ticket, entry.task)
            entry.attempts += 1
            heapq.heappop(self._waiting)  # only now: a child that cannot begin still waits

    def _settled(self, ticket: int, evaluation: Evaluation) -> Iterator[tuple[int, Evaluation]]:
        """Yield the evaluation if it is final; else queue the child again."""
        entry = self._unfinished[ticket]
        if evaluation.status == "killed" and entry.attempts <= self.retries:
            heapq.heappush(self._waiting, entry.priority)
            return
        del self._unfinished[ticket]
        if entry.attempts > 1:
            metrics = {**evaluation.metrics, "attempts": entry.attempts}
            evaluation = replace(evaluation, metrics=metrics)
        yield ticket, evaluation


class SchedulerEvaluator(Evaluator):
    """An evaluator that runs each child as a task of a scheduler."""

    scheduler: Scheduler

    @property
    def workers(self) -> int:
        """The number of children trained at the same time."""
        return self.scheduler.workers

    def evaluate(self, architectures: Sequence[Any]) -> list[Evaluation]:
        """Return one evaluation for each of `architectures`, in order."""
        evaluations = dict(self.scheduler.run(*self._tasks(architectures)))
        return [evaluations[index] for index in range(len(architectures))]

    def submit(self, architectures: Sequence[Any]) -> list[int]:
        """Queue `architectures`, the most costly first; return a ticket for each."""
        return self.scheduler.submit(*self._tasks(architectures))

    def finished(self) -> list[tuple[int, Evaluation]]:
        """Wait for children and return (ticket, evaluation) of those that finished."""
        return self.scheduler.finished()

    def cancel(self) -> None:
        """End all children that were submitted."""
        self.scheduler.cancel()

    def close(self) -> None:
        """End the worker processes; a closed evaluator trains nothing more."""
        self.scheduler.close()

    def _tasks(self, architectures: Sequence[Any]) -> tuple[list[Task], list[float]]:
        tasks: list[Task] = [{"architecture": plain(one)} for one in architectures]
        return tasks, [self.work(one) for one in architectures]

    @abstractmethod
    def work(self, architecture: Any) -> float:
        """Return how much work it is to train `architecture`, in any unit."""
