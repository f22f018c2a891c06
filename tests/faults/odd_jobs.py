"""Jobs in odd surroundings: the clock of the wall is set, threads are asked for."""

import itertools
import os
import time
from collections.abc import Mapping
from typing import Any

from nasgym.execution.child import Job

JUMPS = itertools.cycle((0.0, 1e7, -1e7))


def jumping(now: float = time.time()) -> float:
    """What `time.time` says while somebody sets the clock again and again, months on and back."""
    return now + next(JUMPS)


def under_a_jumping_clock(settings: Mapping[str, Any]) -> Job:
    """Sleep, or hang, in a process whose clock is set all the time, and its parent's too."""
    time.time = jumping

    def run(task: Mapping[str, Any]) -> dict[str, Any]:
        before = time.time(), time.time()
        time.sleep(task["seconds"])
        return {"accuracy": 0.5, "metrics": {"jumped": before[0] != before[1]}}

    return run


def with_threads(settings: Mapping[str, Any]) -> Job:
    """Tell with how many threads a child computes."""
    import torch

    from nasgym.training.determinism import configure_process

    configure_process()
    names = "OMP_NUM_THREADS", "MKL_NUM_THREADS"

    def run(task: Mapping[str, Any]) -> dict[str, Any]:
        asked = {name: os.environ.get(name) for name in names}
        return {"accuracy": 0.5, "metrics": {"torch": torch.get_num_threads(), **asked}}

    return run
