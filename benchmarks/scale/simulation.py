"""Simulated children: they end in virtual time, drawn by seed, and train nothing.

The scheduler, the environment, the archive and the agents around them are the real ones, so that
what a driver does for thousands of workers is measured on one core.
"""

import heapq
import json
import math
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasgym.evaluation.evaluation import Evaluation
from nasgym.execution.scheduler import Scheduler, SchedulerEvaluator, Task

SPREAD = 0.5
"""Standard deviation of the logarithm of a log-normal duration."""

DRAWN_AT_ONCE = 4096

Draw = Callable[[np.random.Generator, int], NDArray[np.float64]]

DURATIONS: Mapping[str, Draw] = {
    "constant": lambda _, count: np.ones(count),
    "exponential": lambda rng, count: rng.exponential(size=count),
    "log-normal": lambda rng, count: rng.lognormal(-(SPREAD**2) / 2, SPREAD, count),
}
"""How long children take, with a mean of 1."""


class VirtualBackend:
    """A backend (see `nasgym.execution.scheduler.Backend`) whose children end on a virtual clock.

    Tasks and evaluations are packed as for a channel to a process: that is a driver's work too.
    """

    def __init__(
        self,
        workers: int,
        *,
        durations: str = "exponential",
        seconds: float = 60.0,
        failures: float = 0.0,
        kills: float = 0.0,
        seed: int = 0,
        driver: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """Have room for `workers` children, which take `seconds` on average.

        `durations` is a name in DURATIONS. A share `failures` of the children ends with an
        exception, and a share `kills` is killed, each after the time it was to take. What `driver`
        says passes on the virtual clock too, such as `time.process_time`.
        """
        if durations not in DURATIONS:
            raise ValueError(f"durations {durations!r} are none of {', '.join(DURATIONS)}")
        if workers < 1 or not seconds > 0 or not 0 <= failures + kills <= 1:
            raise ValueError(
                f"workers must be from 1, seconds above 0, failures and kills shares of 1: not "
                f"{workers}, {seconds}, {failures} and {kills}"
            )
        self.workers = workers
        self.now = 0.0
        """Virtual seconds since the beginning."""
        self.begun = 0
        """Children that were begun, those begun again too."""
        self._rng = np.random.default_rng(seed)
        self._draw = DURATIONS[durations]
        self._mean = seconds
        self._bad = failures, failures + kills
        self._driver = driver
        self._seen = driver()
        self._fates = self._drawn()
        self._running: list[tuple[float, int, float, float, bytes]] = []  # the next to end first
        self._busy = 0.0
        self._newest = -1
        self._fed_until = 0.0
        self._busy_after_that = 0.0

    def begin(self, ticket: int, task: Task) -> None:
        """Begin a child."""
        if len(self._running) >= self.workers:
            raise RuntimeError(f"all {self.workers} workers are busy")
        self._count_the_driver()
        duration, fate = next(self._fates)
        packed = json.dumps(task).encode()
        heapq.heappush(self._running, (self.now + duration, ticket, duration, fate, packed))
        self.begun += 1
        if ticket > self._newest:
            self._newest, self._fed_until, self._busy_after_that = ticket, self.now, 0.0

    def ended(self) -> list[tuple[int, Evaluation]]:
        """Pass the time to the next end and return all children that ended by then."""
        if not self._running:
            return []
        self._count_the_driver()
        self.now = max(self.now, self._running[0][0])
        ended = []
        while self._running and self._running[0][0] <= self.now:
            end, ticket, duration, fate, packed = heapq.heappop(self._running)
            self._busy += duration
            self._busy_after_that += min(duration, max(0.0, end - self._fed_until))
            ended.append((ticket, self._evaluation(fate, duration, packed)))
        return ended

    def stop(self) -> None:
        """End all children."""
        self._running.clear()

    @property
    def utilisation(self) -> float:
        """The share of all workers' time in which they trained what has ended."""
        return self._busy / (self.workers * self.now) if self.now else 0.0

    @property
    def utilisation_while_fed(self) -> float:
        """The same until the last child was begun for the first time.

        After that a search only waits for its end.
        """
        busy, until = self._busy - self._busy_after_that, self._fed_until
        return busy / (self.workers * until) if until else self.utilisation

    def _count_the_driver(self) -> None:
        """Pass the time that the driver has taken since it was looked at last."""
        seen = self._driver()
        self.now += seen - self._seen
        self._seen = seen

    def _evaluation(self, fate: float, seconds: float, packed: bytes) -> Evaluation:
        failed, killed = self._bad
        if fate < killed:
            status = "exception" if fate < failed else "killed"
            return Evaluation(status=status, error=f"simulated: {status}", seconds=seconds)
        accuracy = zlib.crc32(packed) / 2**32
        metrics = {"nll": -math.log(max(accuracy, 1e-9)), "parameters": len(packed)}
        reply = json.dumps(Evaluation(accuracy, seconds=seconds, metrics=metrics).to_plain())
        return Evaluation.from_plain(json.loads(reply))

    def _drawn(self) -> Iterator[tuple[float, float]]:
        """Yield (duration, fate) of one child after the other."""
        while True:
            durations = self._mean * self._draw(self._rng, DRAWN_AT_ONCE)
            yield from zip(
                durations.tolist(), self._rng.random(DRAWN_AT_ONCE).tolist(), strict=True
            )


class SimulatedEvaluator(SchedulerEvaluator):
    """An evaluator whose children run in a backend; see `nasgym.training.evaluator.TrainingEvaluator`."""

    context = "simulated"

    def __init__(self, backend: VirtualBackend) -> None:
        """Have `backend` run children, scheduled as real ones are."""
        self.scheduler = Scheduler(backend)

    def work(self, architecture: Any) -> float:
        """Return the same for all: they begin in order."""
        return 0.0
