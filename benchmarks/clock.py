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
    """Turns of each contender, at the least, unless patience ends first."""
    seconds: float = 2.0
    """Wall-clock seconds of all turns together, at the least."""
    patience: float = 60.0
    """Wall-clock seconds after which no new round begins: on a busy machine some never end."""
    share: float = 1.0
    """The share of the usual images, children or steps that make a turn."""

    def part(self, count: int, least: int = 1) -> int:
        """Return the share of `count`, but no fewer than `least`."""
        return max(least, round(self.share * count))

    def asks_for_more(self, rounds: int, seconds: float) -> bool:
        """Return whether another round is due after so many, and so many seconds."""
        enough = rounds >= self.rounds and seconds >= self.seconds
        return rounds == 0 or not (enough or seconds >= self.patience)


def least_times(
    *contenders: Work,
    effort: Effort,
    clock: Callable[[], float] = time.process_time,
) -> list[float]:
    """Return, for each contender, the least seconds by `clock` that it took in one of its turns."""
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
    """Return the CPU seconds of this process and of all below it whose end it has seen."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime
