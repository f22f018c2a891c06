"""The speed of scheduling: how busy the workers are, here and on a cluster, and what a child costs.

Children that only compute stand for real ones: each takes so many CPU seconds, whatever else runs
on the machine.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from nasgym.benchmarks.clock import Effort, least_times
from nasgym.benchmarks.measurement import Measurement
from nasgym.benchmarks.speed.training import check
from nasgym.execution import machine
from nasgym.execution.local import Pool
from nasgym.execution.scheduler import Scheduler

WORKERS = 2
"""Children at a time, here and on the cluster."""

JOB = "nasgym.benchmarks.speed.scheduling:computing"

ON_RAY = ("P10", "feeding")
"""The measurements that need Ray."""


def utilisation(effort: Effort) -> Measurement:
    """Have two workers train children of 0.3 s."""
    seconds = 0.3
    tasks = [{"seconds": seconds}] * effort.part(20, least=WORKERS)
    with Pool(JOB, {}, workers=WORKERS) as pool:
        _run(pool, tasks[:1])  # start it
        [wall] = least_times(lambda: _run(pool, tasks), effort=effort, clock=time.perf_counter)
    return Measurement(
        f"{WORKERS} workers with children of {seconds} s, against none ever waiting",
        len(tasks) * seconds / wall,
        float(WORKERS),
        "CPU s/s",
        0.94,
        note="wall time, so other programs on the machine show",
    )


def ray_against_pool(effort: Effort) -> Measurement:
    """Have the same children of 0.3 to 1 s trained here through Ray, and by the local pool."""
    count = effort.part(12, least=WORKERS)
    lengths = [0.3 + 0.7 * number / (count - 1) for number in range(count)]
    tasks = [{"seconds": seconds} for seconds in lengths]
    with Pool(JOB, {}, workers=WORKERS) as local, on_ray() as cluster:
        for pool in (local, cluster):
            _run(pool, tasks[:1])
        ours, baseline = least_times(
            lambda: _run(cluster, tasks, lengths),
            lambda: _run(local, tasks, lengths),
            effort=effort,
            clock=time.perf_counter,
        )
    return Measurement(
        "children of 0.3 to 1 s through Ray, against the local pool",
        count / ours,
        count / baseline,
        "children/s",
        1 / 1.10,
        note="on this one machine; wall time, so other programs on it show",
    )


def feeding(effort: Effort) -> Measurement:
    """Have free children trained through Ray, and by the local pool: what the driver does."""
    tasks = [{"seconds": 0.0}] * effort.part(500, least=WORKERS)
    with Pool(JOB, {}, workers=WORKERS) as local, on_ray() as cluster:
        for pool in (local, cluster):
            _run(pool, tasks[:1])
        contenders = (lambda: _run(cluster, tasks)), (lambda: _run(local, tasks))
        ours, baseline = least_times(*contenders, effort=effort)
        walls = least_times(*contenders, effort=effort, clock=time.perf_counter)
    through_ray, through_pool = (len(tasks) / wall for wall in walls)
    return Measurement(
        "the driver's CPU for a child, through Ray against the local pool",
        1000 * ours / len(tasks),
        1000 * baseline / len(tasks),
        "ms",
        2.0,
        aim="ours",
        note=f"free children: {through_ray:,.0f} a second through Ray and {through_pool:,.0f} "
        f"through the local pool, which both fork on this machine",
    )


def computing(settings: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """Return what computes for as many CPU seconds as its task says."""

    def run(task: Mapping[str, Any]) -> dict[str, Any]:
        begun = time.process_time()
        while time.process_time() - begun < task["seconds"]:
            pass
        return {"accuracy": 0.5, "seconds": task["seconds"]}

    return run


@contextmanager
def on_ray() -> Iterator[Scheduler]:
    """Give a pool on the cluster this process is connected to, or on a Ray started for it."""
    from nasgym.execution.ray_backend import RayBackend
    from nasgym.execution.ray_cluster import Cluster, ray

    connected = ray().is_initialized()
    try:
        kind = machine.survey("cpu")
        with Scheduler(RayBackend(Cluster("ray"), JOB, {}, kind=kind)) as pool:
            yield pool
    finally:
        if not connected:
            ray().shutdown()


def _run(
    pool: Scheduler, tasks: Sequence[Mapping[str, Any]], costs: Sequence[float] | None = None
) -> None:
    check(evaluation for _, evaluation in pool.run(tasks, costs))
