"""Children, really trained: the evaluators that put data, recipe and workers together."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from nasgym.execution import machine
from nasgym.execution.in_process import ThisProcess
from nasgym.execution.local import Pool
from nasgym.execution.machine import cores
from nasgym.execution.scheduler import Scheduled, Scheduler
from nasgym.spaces.plain import plain
from nasgym.training.recipes import Recipe, check_whole_numbers


class Children(Scheduled):
    """An evaluator that trains each child and validates it.

    Every child is trained in a process of its own, on one thread, `workers` at a time, the largest
    first. Its evaluation depends on the architecture and on `context`, and on nothing else: not on
    the number of workers, the order, or what was trained before.
    """

    def __init__(
        self,
        job: str,
        recipe: Recipe,
        data: Mapping[str, Any],
        data_digest: str,
        *,
        seed: int,
        device: str,
        workers: int | str | None,
        time_limit: float | None,
        memory_limit: float | None,
        cpus: float = 1.0,
        gpus: float = 0.0,
        latency: bool = False,
        packed: Callable[[], bytes] | None = None,
    ) -> None:
        """Prepare the pool; no process is started before the first child.

        `job` names the function that trains, `data` tells it what on, and `data_digest` stands for
        that in `context`. `device` is "cpu", "cuda" or "auto". `workers` is by default the number
        of cores; 0 trains in this process, with torch on one thread and without limits, for
        debugging; "ray", "auto" or "ray://host:port" trains on the nodes of that
        `nasgym.execution.ray_cluster.Cluster`, where each child takes `cpus` and `gpus` and the data are what
        `packed` returns. `time_limit` is in seconds a child and `memory_limit` in GiB a child. With
        `latency` each trained child is timed as well: its metric "latency", the seconds of one
        pass, is all that comes out differently when a child is trained again.
        """
        cluster = None
        if isinstance(workers, str):
            from nasgym.execution.ray_backend import RayBackend
            from nasgym.execution.ray_cluster import Cluster

            cluster, workers = Cluster(workers, cpus=cpus, gpus=gpus), None
        check_whole_numbers(0, seed=seed, workers=workers)
        kind = (cluster or machine).survey(device)
        how: dict[str, Any] = {
            "recipe": plain(recipe),
            "seed": seed,
            "device": kind["device"],
            "precision": kind["precision"],
        }
        if latency:
            how["latency"] = True
        known = {"data": data_digest, "threads": 1, "machine": kind["machine"]}
        self.context = json.dumps(how | known, sort_keys=True)
        """All that decides an evaluation besides the architecture: where both are equal, the
        evaluations are, bit by bit."""
        settings = how | dict(data)
        limits: dict[str, Any] = {"time_limit": time_limit, "memory_limit": memory_limit}
        self.allowance = json.dumps(limits)
        """What a child may take: with more, one that failed for want of it is trained again."""
        if cluster:
            files = {"packed": packed()} if packed else {}
            backend = RayBackend(cluster, job, settings, kind=kind, files=files, **limits)
            self._scheduler = Scheduler(backend)
        elif workers == 0:
            self._scheduler = Scheduler(ThisProcess(job, settings))
        else:
            self._scheduler = Pool(job, settings, workers=workers or cores(), **limits)
