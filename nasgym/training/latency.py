"""Latency: the time of one forward pass of a trained network, measured on its device."""

import time
from collections.abc import Callable
from statistics import median

import torch

WARM_UP_PASSES, TIMED_PASSES = 5, 50


@torch.inference_mode()
def measure_latency(forward: Callable[[], object], device: torch.device) -> float:
    """Return the median seconds of a call of `forward`, which makes one pass on `device`.

    The result varies between calls, and grows when other programs use the same cores.
    """
    seconds = []
    for _ in range(WARM_UP_PASSES + TIMED_PASSES):
        started = time.perf_counter()
        forward()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds.append(time.perf_counter() - started)
    return median(seconds[WARM_UP_PASSES:])
