"""Facts about processes, read from /proc: descendants, state, memory and open files."""

import os
import time
from collections.abc import Callable, Iterable
from pathlib import Path


def stat(pid: int) -> tuple[str, int]:
    """Return the (state, parent) of a process; the state is "-" if there is no such process."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return "-", 0
    return fields[0], int(fields[1])


def children_of(pid: int) -> set[int]:
    """Return the processes whose parent is `pid`, including dead ones not yet reaped."""
    pids = [int(entry) for entry in os.listdir("/proc") if entry.isdigit()]
    return {child for child in pids if stat(child)[1] == pid}


def grandchildren_of(pid: int) -> set[int]:
    """Return the children of the children of `pid`."""
    return set().union(*map(children_of, children_of(pid)))


def descendants_of(pid: int) -> set[int]:
    children = children_of(pid)
    return children.union(*(descendants_of(child) for child in children))


def gone(pids: Iterable[int]) -> bool:
    return all(stat(pid)[0] in "-ZX" for pid in pids)


def until(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait for `condition`; return whether it became true in time."""
    deadline = time.monotonic() + seconds
    while not (true := condition()) and time.monotonic() < deadline:
        time.sleep(0.01)
    return true


def memory_of(pid: int) -> float:
    """Return the resident memory of a process in MB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def files_of(pid: int) -> int:
    """Return how many files a process has open."""
    return len(os.listdir(f"/proc/{pid}/fd"))
