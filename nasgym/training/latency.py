"""Latency: how long a trained network takes for one input, on one thread of this machine."""

import time
from collections.abc import Callable
from statistics import median

import torch

UNTIMED, TIMED = 5, 50
"""Passes before the first that counts, and passes that count."""


@torch.inference_mode()
def latency(forward: Callable[[], object], device: torch.device) -> float:
    """Return the seconds of a call of `forward`, one pass on `device`, in the median.

    It is a measurement: it differs from time to time, and grows on cores that others use too.
    """
    seconds = []
    for _ in range(UNTIMED + TIMED):
        started = time.perf_counter()
        forward()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - started)
    return median(seconds[UNTIMED:])
