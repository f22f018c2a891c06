"""The speed of scheduling: how busy workers are, locally and on a cluster, and the cost of a child.

Children that only compute stand for real ones: each takes a given number of CPU seconds, whatever
else runs on the machine.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from nasgym.benchmarks.measurement import Effort, Measurement, least_times
from nasgym.benchmarks.scale.driver import Scenario, simulate
from nasgym.benchmarks.speed.training import check
from nasgym.execution import machine
from nasgym.execution.local import Pool
from nasgym.execution.scheduler import Scheduler

WORKERS = 2
"""Children at the same time, locally and on the cluster."""

JOB = "nasgym.benchmarks.speed.scheduling:computing"

ON_RAY = ("P10", "feeding")
"""Names of the measurements that need Ray."""


def utilisation(effort: Effort) -> Measurement:
    """Measure how busy two workers are with children of 0.3 s."""
    seconds = 0.3
    tasks = [{"seconds": seconds}] * effort.part(20, least=WORKERS)
    with Pool(JOB, {}, workers=WORKERS) as pool:
        _run(pool, tasks[:1])  # start it
        [wall] = least_times(lambda: _run(pool, tasks), effort=effort, clock=time.perf_counter)
    return Measurement(
        f"{WORKERS} workers with children of {seconds} s, against workers that never wait",
        len(tasks) * seconds / wall,
        float(WORKERS),
        "CPU s/s",
        0.94,
        note="wall time, so other programs on the machine show",
    )


def ray_against_pool(effort: Effort) -> Measurement:
    """Train the same children of 0.3 to 1 s through Ray and in the local pool."""
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
    """Measure the driver's work for children of 0 s, through Ray and in the local pool."""
    tasks = [{"seconds": 0.0}] * effort.part(500, least=WORKERS)
    with Pool(JOB, {}, workers=WORKERS) as local, on_ray() as cluster:
        for pool in (local, cluster):
            _run(pool, tasks[:1])
        contenders = (lambda: _run(cluster, tasks)), (lambda: _run(local, tasks))
        ours, baseline = least_times(*contenders, effort=effort)
        walls = least_times(*contenders, effort=effort, clock=time.perf_counter)
    through_ray, through_pool = (len(tasks) / wall for wall in walls)
    return Measurement(
        "the driver's CPU time per child, through Ray against the local pool",
        1000 * ours / len(tasks),
        1000 * baseline / len(tasks),
        "ms",
        2.0,
        aim="ours",
        note=f"children of 0 s: {through_ray:,.0f} per second through Ray and {through_pool:,.0f} "
        f"through the local pool, which both fork on this machine",
    )


def keeping_busy(effort: Effort) -> Measurement:
    """Keep 8 workers busy with a parameter server, against synchronous batches of 8."""
    workers, children = 8, effort.part(1_600, least=16)
    server = Scenario("reinforce_async", workers, children, {"replicas": 8}, driver_counts=False)
    batches = replace(server, agent="reinforce", options={})
    ours, theirs = (simulate(one, None) for one in (server, batches))
    return Measurement(
        "8 workers, children of exponential durations, reinforce_async with 8 replicas of 8",
        ours.utilisation,
        theirs.utilisation,
        "busy s/s",
        0.95,
        aim="ours",
        note="on a virtual clock, against reinforce with batches of 8, for which theory predicts "
        f"{1 / sum(1 / n for n in range(1, workers + 1)):.2f}",
    )


def computing(settings: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """Return a job that computes for the CPU seconds that its task gives."""

    def run(task: Mapping[str, Any]) -> dict[str, Any]:
        begun = time.process_time()
        while time.process_time() - begun < task["seconds"]:
            pass
        return {"accuracy": 0.5, "seconds": task["seconds"]}

    return run


@contextmanager
def on_ray() -> Iterator[Scheduler]:
    """Yield a scheduler on the connected Ray cluster, or on a temporary one."""
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
