"""Placement: the one place that turns `workers=` into a scheduler on a backend."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from nasgym.execution import machine
from nasgym.execution.in_process import InProcessBackend
from nasgym.execution.local import LocalBackend
from nasgym.execution.ray_backend import RayBackend
from nasgym.execution.ray_cluster import Cluster
from nasgym.execution.scheduler import Scheduler


class Placement:
    """Where children run, on which kind of machine, and with which limits."""

    def __init__(
        self,
        workers: int | str | None = None,
        *,
        device: str = "auto",
        cpus: float = 1.0,
        gpus: float = 0.0,
        time_limit: float | None = None,
        memory_limit: float | None = None,
    ) -> None:
        """Connect to the cluster if `workers` names one.

        `workers` is the number of children trained at the same time on this machine, by default the
        number of cores; 0 trains in this process, without limits, for debugging; "ray", "auto" or
        "ray://host:port" trains on a `Cluster`, where each child takes `cpus` and `gpus`. `device`
        is "cpu", "cuda" or "auto". `time_limit` is in seconds and `memory_limit` in GiB a child.

        Raises ValueError or WorkerError, in one line.
        """
        self._cluster = Cluster(workers, cpus=cpus, gpus=gpus) if isinstance(workers, str) else None
        self._workers = None if isinstance(workers, str) else workers
        self._kind = (self._cluster or machine).survey(device)
        self._limits: dict[str, Any] = {"time_limit": time_limit, "memory_limit": memory_limit}

    @property
    def device(self) -> str:
        """Return "cpu" or "cuda"."""
        return str(self._kind["device"])

    @property
    def precision(self) -> str:
        """Return the dtype, by torch's name, that children are trained in."""
        return str(self._kind["precision"])

    @property
    def machine(self) -> Mapping[str, Any]:
        """Return everything about the machine that the bits of a training depend on."""
        described: Mapping[str, Any] = self._kind["machine"]
        return described

    @property
    def resource_limits(self) -> str:
        """Return the limits of time and memory as text."""
        return json.dumps(self._limits)

    def scheduler(
        self, job: str, settings: Mapping[str, Any], packed: Callable[[], bytes]
    ) -> Scheduler:
        """Return a scheduler whose children run `job`; no process is started yet.

        `job` names a function, "package.module:function", that gets `settings`. `packed` returns
        the data for nodes of a cluster.
        """
        if self._cluster is not None:
            files = {"packed": packed()}
            return Scheduler(
                RayBackend(
                    self._cluster, job, settings, kind=self._kind, files=files, **self._limits
                )
            )
        if self._workers == 0:
            return Scheduler(InProcessBackend(job, settings))
        workers = self._workers or machine.cores()
        return Scheduler(LocalBackend(job, settings, workers=workers, **self._limits))
