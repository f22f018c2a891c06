"""The scheduler: which child begins when, wherever children run, and which is begun again."""

import heapq
import itertools
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

from nasgym.evaluation.evaluation import Evaluation
from nasgym.spaces.plain import plain

Task = Mapping[str, Any]
"""What tells a job which child to train: plain JSON data."""


class Backend(Protocol):
    """Where children run: it begins them and tells how they ended."""

    @property
    def workers(self) -> int:
        """How many children it has room for, which may change as machines come and go."""
        ...

    def begin(self, ticket: int, task: Task) -> None:
        """Begin a child, never more than `workers` at a time; its end comes under `ticket`.

        The job finds in its task a "slot", a number that no other child on that machine has.
        """
        ...

    def ended(self) -> list[tuple[int, Evaluation]]:
        """Wait for news, a second or so, and return children that ended, perhaps none.

        A child that was lost has the status "killed".
        """
        ...

    def stop(self) -> None:
        """Kill all children and free what they hold; `begin` may be called again."""
        ...


@dataclass
class Entry:
    """A child that has not ended for good."""

    task: Task
    """What it is to train."""
    cost: float
    """The largest begins first."""
    attempts: int = 0
    """How often it was begun."""


class Scheduler:
    """Children in the order of their costs, as many at a time as the backend has room for.

    Whatever goes wrong with a child is its `Evaluation`. One that was killed, from outside or by a
    crash of its own, is begun again up to `retries` times (metrics then tell the "attempts");
    every other failure is final. A scheduler is for one thread of the process that made it.
    """

    def __init__(self, backend: Backend, *, retries: int = 2) -> None:
        """Have `backend` run children."""
        if retries < 0:
            raise ValueError(f"retries must be from 0, not {retries}")
        self.backend = backend
        self.retries = retries
        self._owner = os.getpid()
        self._closed = False
        self._tickets = itertools.count()
        self._unfinished: dict[int, Entry] = {}
        self._waiting: list[tuple[float, int]] = []
        self._runs = 0

    @property
    def workers(self) -> int:
        """How many children run at a time."""
        return self.backend.workers

    def submit(self, tasks: Sequence[Task], costs: Sequence[float] | None = None) -> list[int]:
        """Take in `tasks` and return a ticket for each; `finished` tells what became of them.

        Those of largest cost begin first; equals, and all if there are no costs, in order.
        """
        self._check_usable()
        if costs is None:
            costs = [0.0] * len(tasks)
        if len(costs) != len(tasks):
            raise ValueError(f"{len(tasks)} tasks need as many costs, not {len(costs)}")
        tickets = list(itertools.islice(self._tickets, len(tasks)))
        for ticket, task, cost in zip(tickets, tasks, costs, strict=True):
            self._unfinished[ticket] = Entry(task, cost)
            heapq.heappush(self._waiting, (-cost, ticket))
        self._begin()
        return tickets

    def finished(self) -> list[tuple[int, Evaluation]]:
        """Wait for children and return (ticket, evaluation) of those that ended for good.

        That is at least one, or none if none is under way.
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
        """Yield (index, evaluation) of each task, in the order of finishing.

        Costs are those of `submit`. Whatever was submitted before is ended, as are these tasks if
        the iteration is. Raises WorkerError if the job cannot start.
        """
        self._check_usable()
        if costs is not None and len(costs) != len(tasks):
            raise ValueError(f"{len(tasks)} tasks need as many costs, not {len(costs)}")
        self.cancel()
        return self._results(self._runs, tasks, costs)

    def cancel(self) -> None:
        """End all children that were submitted."""
        self._runs += 1
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
            raise RuntimeError(f"this pool is that of process {self._owner}: make one here")

    def _results(
        self, run: int, tasks: Sequence[Task], costs: Sequence[float] | None
    ) -> Iterator[tuple[int, Evaluation]]:
        try:
            tickets = self.submit(tasks, costs)
            first = tickets[0] if tickets else 0
            while final := self.finished():
                for ticket, evaluation in final:
                    yield ticket - first, evaluation
                    if self._runs != run:
                        raise RuntimeError("a new run, or closing the pool, has ended this run")
        finally:
            if self._runs == run:
                self.cancel()

    def _begin(self) -> None:
        """Begin as many of the waiting children as there is room for."""
        running = len(self._unfinished) - len(self._waiting)
        for _ in range(min(len(self._waiting), self.backend.workers - running)):
            _, ticket = heapq.heappop(self._waiting)
            entry = self._unfinished[ticket]
            entry.attempts += 1
            self.backend.begin(ticket, entry.task)

    def _settled(self, ticket: int, evaluation: Evaluation) -> Iterator[tuple[int, Evaluation]]:
        """Yield the evaluation if it is final; else the child waits again."""
        entry = self._unfinished[ticket]
        if evaluation.status == "killed" and entry.attempts <= self.retries:
            heapq.heappush(self._waiting, (-entry.cost, ticket))
            return
        del self._unfinished[ticket]
        if entry.attempts > 1:
            metrics = {**evaluation.metrics, "attempts": entry.attempts}
            evaluation = replace(evaluation, metrics=metrics)
        yield ticket, evaluation


class Scheduled(ABC):
    """An evaluator whose children a scheduler begins, in batches or one by one."""

    _scheduler: Scheduler

    def evaluate(self, architectures: Sequence[Any]) -> list[Evaluation]:
        """Return one evaluation for each of `architectures`, in order."""
        evaluations = dict(self.stream(architectures))
        return [evaluations[index] for index in range(len(architectures))]

    def stream(self, architectures: Sequence[Any]) -> Iterator[tuple[int, Evaluation]]:
        """Yield (index, evaluation) in the order of finishing."""
        costs = [self._cost(child) for child in architectures]
        yield from self._scheduler.run(_tasks(architectures), costs)

    @property
    def workers(self) -> int:
        """How many children are trained at the same time."""
        return self._scheduler.workers

    def submit(self, architectures: Sequence[Any]) -> list[int]:
        """Begin with `architectures`, in order, as workers are free; return a ticket for each."""
        return self._scheduler.submit(_tasks(architectures))

    def finished(self) -> list[tuple[int, Evaluation]]:
        """Wait for children and return (ticket, evaluation) of those that are finished."""
        return self._scheduler.finished()

    def close(self) -> None:
        """End the worker processes; a closed evaluator trains nothing more."""
        self._scheduler.close()

    @abstractmethod
    def _cost(self, architecture: Any) -> float:
        """Return what training `architecture` costs, in no particular unit."""


def _tasks(architectures: Sequence[Any]) -> list[Task]:
    return [{"architecture": plain(architecture)} for architecture in architectures]
