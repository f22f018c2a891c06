"""Simulated children, which train nothing and end at random times on a virtual clock.

The scheduler, environment, archive and agents around them are real, so one core can measure a
driver's work for thousands of workers.
"""

import heapq
import json
import math
import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasgym.errors import InvalidInput
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
"""Distributions of the children's durations, with a mean of 1."""


class VirtualBackend:
    """A backend (see `nasgym.execution.scheduler.Backend`) whose children end on a virtual clock.

    It encodes tasks and evaluations as for a process, because that is part of a driver's work.
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
        """Provide `workers` workers for children that take `seconds` on average.

        `durations` is a name in DURATIONS. A share `failures` of the children ends with an
        exception and a share `kills` is killed, each after its full duration. `driver` is a clock,
        such as `time.process_time`, whose time passes on the virtual clock too. Raises ValueError
        for impossible values.
        """
        if durations not in DURATIONS:
            raise InvalidInput(f"no durations {durations!r}; choose from {', '.join(DURATIONS)}")
        if workers < 1 or not seconds > 0 or not 0 <= failures + kills <= 1:
            raise InvalidInput(
                f"workers must be at least 1, seconds above 0, failures + kills from 0 to 1; not "
                f"{workers}, {seconds}, {failures} + {kills}"
            )
        self.workers = workers
        self.now = 0.0
        """Virtual seconds since the start."""
        self.begun = 0
        """Children started, including restarts."""
        self._rng = np.random.default_rng(seed)
        self._draw = DURATIONS[durations]
        self._mean = seconds
        self._bad = failures, failures + kills
        self._driver = driver
        self._seen = driver()
        self._fates = self._drawn()
        self._running: list[tuple[float, int, float, float, bytes]] = []  # a heap by end
        self._busy = 0.0
        self._newest = -1
        self._fed_until = 0.0
        self._busy_after_that = 0.0

    def begin(self, ticket: int, task: Task) -> None:
        """Start a child."""
        if len(self._running) >= self.workers:
            raise RuntimeError(f"all {self.workers} workers are busy")
        self._count_driver()
        duration, fate = next(self._fates)
        packed = json.dumps(task).encode()
        heapq.heappush(self._running, (self.now + duration, ticket, duration, fate, packed))
        self.begun += 1
        if ticket > self._newest:
            self._newest, self._fed_until, self._busy_after_that = ticket, self.now, 0.0

    def ended(self) -> list[tuple[int, Evaluation]]:
        """Advance the clock to the next end and return all children that ended by then."""
        if not self._running:
            return []
        self._count_driver()
        self.now = max(self.now, self._running[0][0])
        ended = []
        while self._running and self._running[0][0] <= self.now:
            end, ticket, duration, fate, packed = heapq.heappop(self._running)
            self._busy += duration
            self._busy_after_that += min(duration, max(0.0, end - self._fed_until))
            ended.append((ticket, self._evaluation(fate, duration, packed)))
        return ended

    def stop(self) -> None:
        """Stop all children."""
        self._running.clear()

    @property
    def utilisation(self) -> float:
        """The share of the workers' time that went into the children that have ended."""
        return self._busy / (self.workers * self.now) if self.now else 0.0

    @property
    def utilisation_while_fed(self) -> float:
        """The same, until the last first start of a child; after it, a search only waits."""
        busy, until = self._busy - self._busy_after_that, self._fed_until
        return busy / (self.workers * until) if until else self.utilisation

    def _count_driver(self) -> None:
        """Advance the clock by the driver's time since the last call."""
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
        """Yield (duration, fate) of each child."""
        while True:
            durations = self._mean * self._draw(self._rng, DRAWN_AT_ONCE)
            yield from zip(
                durations.tolist(), self._rng.random(DRAWN_AT_ONCE).tolist(), strict=True
            )


class SimulatedEvaluator(SchedulerEvaluator):
    """An evaluator whose children run in a backend; see `TrainingEvaluator`."""

    context = "simulated"

    def __init__(self, backend: VirtualBackend) -> None:
        """Run children in `backend`, scheduled like real ones."""
        self.scheduler = Scheduler(backend)

    def work(self, architecture: Any) -> float:
        """Return the same for all, so that they start in order."""
        return 0.0
