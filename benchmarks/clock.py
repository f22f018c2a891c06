"""The clock: contenders take turns, and the least time that each was seen to take counts.

Whatever else runs on a machine only ever makes a program slower, so the least of several times
says most about the program itself; and by turns all contenders meet the same neighbours.
"""

import resource
import time
from collections.abc import Callable
from dataclasses import dataclass

Work = Callable[[], object]


@dataclass(frozen=True)
class Effort:
    """How much is done for a measurement."""

    rounds: int = 5
    """Turns of each contender, at the least."""
    seconds: float = 4.0
    """Wall-clock seconds of all turns together, at the least."""
    share: float = 1.0
    """The share of the usual images, children or steps that make a turn."""

    def part(self, count: int, least: int = 1) -> int:
        """Return the share of `count`, but no fewer than `least`."""
        return max(least, round(self.share * count))


def least_times(
    *contenders: Work,
    effort: Effort,
    clock: Callable[[], float] = time.process_time,
    prepare: Work = lambda: None,
) -> list[float]:
    """Return, for each contender, the least seconds by `clock` that it took in one of its turns.

    `prepare` is called before every turn, off the clock.
    """
    least = [float("inf")] * len(contenders)
    done, started = 0, time.monotonic()
    while done < effort.rounds or time.monotonic() - started < effort.seconds:
        for index, work in enumerate(contenders):
            prepare()
            before = clock()
            work()
            least[index] = min(least[index], clock() - before)
        done += 1
    return least


def time_with_children() -> float:
    """Return the CPU seconds of this process and of all below it whose end it has seen."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime
