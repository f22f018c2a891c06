"""Measurements: nasgym's time or speed beside that of a baseline, and the target.

Contenders take turns, and the least time of each counts. Other programs only ever make a program
slower, so its least time says most about the program itself; and in turns, all contenders meet the
same neighbours. (pytest-benchmark would time one contender after the other.)
"""

import platform
import resource
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import date
from importlib.metadata import version
from typing import Any, Literal

import torch

from nasgym.execution.machine import cores, precision, processor

Work = Callable[[], object]


@dataclass(frozen=True)
class Effort:
    """How much work goes into a measurement."""

    rounds: int = 5
    """Minimum turns of each contender."""
    seconds: float = 2.0
    """Minimum wall-clock seconds of all turns together."""
    patience: float = 60.0
    """Wall-clock seconds after which no new round begins, even if the minimums are not reached."""
    share: float = 1.0
    """Share of the usual images, children or steps in a turn."""

    def part(self, count: int, least: int = 1) -> int:
        """Return the share of `count`, but no fewer than `least`."""
        return max(least, round(self.share * count))

    def asks_for_more(self, rounds: int, seconds: float) -> bool:
        """Return whether to begin another round after `rounds` rounds that took `seconds`."""
        enough = rounds >= self.rounds and seconds >= self.seconds
        return rounds == 0 or not (enough or seconds >= self.patience)


def least_times(
    *contenders: Work,
    effort: Effort,
    clock: Callable[[], float] = time.process_time,
) -> list[float]:
    """Return the least seconds by `clock` that each contender took in one of its turns."""
    least = [float("inf")] * len(contenders)
    rounds, started = 0, time.monotonic()
    while effort.asks_for_more(rounds, time.monotonic() - started):
        for index, work in enumerate(contenders):
            before = clock()
            work()
            least[index] = min(least[index], clock() - before)
        rounds += 1
    return least


def time_with_children() -> float:
    """Return the CPU seconds of this process and of all its descendants that it has waited for."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


@dataclass(frozen=True)
class Measurement:
    """The result of one comparison."""

    what: str
    """The compared operation, in a few words."""
    ours: float
    """Nasgym's value, in `unit`."""
    baseline: float
    """The baseline's value, in `unit`."""
    unit: str
    """Unit of `ours` and `baseline`: a rate with a "/", where more is better, or a time, where less
    is better."""
    target: float
    """Target for the ratio or for `ours`, as `aim` says."""
    aim: Literal["ratio", "ours"] = "ratio"
    """The value that `target` is for."""
    note: str = ""
    """Further results and conditions."""

    @property
    def is_time(self) -> bool:
        """Return whether the values are times."""
        return "/" not in self.unit

    @property
    def ratio(self) -> float:
        """Return how many times as fast ours is as the baseline."""
        return self.baseline / self.ours if self.is_time else self.ours / self.baseline

    @property
    def reached(self) -> bool:
        """Return whether the target is reached."""
        if self.aim == "ratio":
            return self.ratio >= self.target
        return self.ours <= self.target if self.is_time else self.ours >= self.target

    def to_plain(self) -> dict[str, Any]:
        """Return the measurement as JSON-able data."""
        return {**asdict(self), "ratio": self.ratio, "reached": self.reached}


LIBRARIES = ("torch", "numpy", "gymnasium", "stable-baselines3")
"""Libraries whose versions `machine` returns."""


def machine() -> dict[str, Any]:
    """Return the hardware, system and library versions that results depend on, as plain data."""
    return {
        "processor": processor()[0],
        "cores": cores(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "bfloat16": precision("cpu") == "bfloat16",
        "system": platform.platform(),
        "python": platform.python_version(),
        **{name: version(name) for name in LIBRARIES},
        "date": date.today().isoformat(),
    }
