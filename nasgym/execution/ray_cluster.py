"""The connection to a Ray cluster, its nodes, and the resources a child takes of them.

Ray places processes and carries messages, and knows nothing of the search. When a process dies,
Ray restores nothing; the driver repeats the lost work.
"""

import importlib
import math
import os
import signal
import socket
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from nasgym.errors import InvalidInput
from nasgym.execution import machine
from nasgym.execution.local import WorkerError

SURVEY_WITHIN = 120.0
"""Seconds that the nodes have to describe their machines."""

CONNECT_WITHIN = 10.0
"""Seconds that the head of a cluster has to accept a connection."""

RAY_ENVIRONMENT = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DEDUP_LOGS_SKIP_REGEX": "."}
"""Defaults of environment variables: send no usage statistics, print no logs of lost nodes."""


def ray() -> Any:
    """Return the module `ray`; raise ValueError, in one line, if it is not installed."""
    for name, value in RAY_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        return importlib.import_module("ray")
    except ImportError:
        raise InvalidInput("a cluster needs Ray: pip install 'nasgym[ray]'") from None


@dataclass(frozen=True)
class ChildResources:
    """The resources that Ray reserves for one child."""

    cpus: float = 1.0
    """Number of CPUs."""
    gpus: float = 0.0
    """Number of GPUs: a fraction of one, or a whole number."""

    def __post_init__(self) -> None:
        if not self.cpus > 0:
            raise InvalidInput(f"cpus must be above 0, not {self.cpus!r}")
        if not self.gpus >= 0 or (self.gpus > 1 and self.gpus % 1):
            raise InvalidInput(f"gpus must be from 0 to 1, or a whole number, not {self.gpus!r}")

    def capacity(self, resources: Mapping[str, float]) -> int:
        """Return how many children fit a node with these free resources, "CPU" and "GPU"."""
        by_cpu = _floor(resources.get("CPU", 0) / self.cpus)
        if not self.gpus:
            return by_cpu
        gpus = math.floor(resources.get("GPU", 0))
        by_gpu = gpus * self._per_gpu if self.gpus <= 1 else _floor(gpus / self.gpus)
        return min(by_cpu, by_gpu)

    def reservation(self, children: int) -> dict[str, float]:
        """Return Ray's options for an actor that hosts `children`; it takes whole GPUs."""
        gpus = math.ceil(children / self._per_gpu) if 0 < self.gpus <= 1 else children * self.gpus
        return {"num_cpus": children * self.cpus, "num_gpus": gpus}

    @property
    def _per_gpu(self) -> int:
        """Number of children that share a GPU."""
        return _floor(1 / self.gpus)


def _floor(ratio: float) -> int:
    return math.floor(ratio + 1e-6)  # 0.3 / 0.1 is slightly less than 3


class Cluster:
    """A connection to a Ray cluster, and the resources a child takes there."""

    def __init__(self, address: str, *, cpus: float = 1.0, gpus: float = 0.0) -> None:
        """Connect this process, unless it is already connected to a cluster.

        `address` is "ray" (start Ray on this machine; it ends with this process), "auto" (use the
        cluster that RAY_ADDRESS names, else the one that runs on this machine) or
        "ray://host:port" (use Ray's client). `cpus` and `gpus` are those of `ChildResources`.
        Raises ValueError or WorkerError, in one line.
        """
        self.resources = ChildResources(cpus, gpus)
        if address not in ("ray", "auto") and not address.startswith("ray://"):
            raise InvalidInput(
                f"workers must be a number, 'ray', 'auto' or 'ray://host:port', not {address!r}"
            )
        if not ray().is_initialized():
            with _sigterm_handler_kept():
                _connect(address)

    def free_capacity(self) -> dict[str, int]:
        """Return for each node id how many more children fit the node now."""
        free: dict[str, dict[str, float]] = _run_on_cluster(_free_resources)
        return {node: self.resources.capacity(resources) for node, resources in free.items()}

    def survey(self, device: str) -> dict[str, Any]:
        """Return the kind of machine that has room for the most children.

        The kind is the result of `nasgym.execution.machine.survey(device)` on each node that can
        train a child. Raises WorkerError if there is no such node or none answers, ValueError if
        the device is "cuda" but children reserve no GPU.
        """
        if device == "cuda" and not self.resources.gpus:
            raise InvalidInput(
                "device 'cuda' on a cluster needs gpus=..., such as 1 or 0.25 a child"
            )
        total = {node["NodeID"]: node["Resources"] for node in ray().nodes() if node["Alive"]}
        capacity = {node: self.resources.capacity(total[node]) for node in total}
        survey = _survey_all_gpus if self.resources.gpus else machine.survey
        calls = {
            _task(survey, node, num_cpus=0).remote(device): children
            for node, children in capacity.items()
            if children
        }
        if not calls:
            needs = f"{self.resources.cpus:g} CPUs and {self.resources.gpus:g} GPUs"
            raise WorkerError(f"no node of the cluster has the {needs} of a child")
        answered, late = ray().wait(list(calls), num_returns=len(calls), timeout=SURVEY_WITHIN)
        votes: Counter[str] = Counter()
        kinds, reason = {}, f"no node of the cluster answered within {SURVEY_WITHIN:g} s"
        for call in answered:
            try:
                kind = ray().get(call)
            except ray().exceptions.RayError as error:
                reason = f"no node of the cluster can train: {last_line(error)}"
            else:
                kinds[repr(kind)] = kind
                votes[repr(kind)] += calls[call]
        for call in late:
            ray().cancel(call, force=True)
        if not votes:
            raise WorkerError(reason)
        return dict(kinds[max(votes, key=lambda kind: (votes[kind], kind))])


@contextmanager
def _sigterm_handler_kept() -> Iterator[None]:
    """Restore this process's handler of SIGTERM, which Ray replaces."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _connect(address: str) -> None:
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    named = os.environ.get("RAY_ADDRESS")
    if address == "ray" and not named:
        address, options["include_dashboard"] = "local", False
    elif address in ("ray", "auto"):
        address = named or "auto"
    try:
        _check_reachable(address)
        ray().init(address=address, **options)
    except ImportError:
        raise InvalidInput(f"{address} needs Ray's client: pip install 'ray[client]'") from None
    except (OSError, RuntimeError, ValueError, ray().exceptions.RayError) as error:
        raise WorkerError(
            f"no Ray cluster answers at {address!r} ({last_line(error)}): start one with `ray "
            f"start --head` or name it in RAY_ADDRESS; set RAY_AUTH_MODE=token if it needs a token"
        ) from None


def _check_reachable(address: str) -> None:
    """Raise OSError if nothing listens at "host:port"; Ray itself would wait for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and port.isdecimal():
        socket.create_connection((host, int(port)), CONNECT_WITHIN).close()


def _task(function: Any, node: str, **options: Any) -> Any:
    """Return `function` as a Ray task for one node."""
    return ray().remote(function).options(**options, max_retries=0, **only_on(node))


def only_on(node: str) -> dict[str, Any]:
    """Return Ray's options for a task or actor that must run on that node."""
    strategies = importlib.import_module("ray.util.scheduling_strategies")
    return {"scheduling_strategy": strategies.NodeAffinitySchedulingStrategy(node, soft=False)}


def _run_on_cluster(function: Any) -> Any:
    """Call `function` in this process, or on the cluster if Ray's client is the connection."""
    if ray().util.client.ray.is_connected():
        return ray().get(ray().remote(function).options(num_cpus=0).remote())
    return function()


def _free_resources() -> dict[str, dict[str, float]]:
    # Ray has no public function for this: `ray.available_resources` sums over all nodes.
    state = importlib.import_module("ray._private.state")
    return dict(state.available_resources_per_node())


def _survey_all_gpus(device: str) -> dict[str, Any]:
    """Return `machine.survey` with all GPUs, which Ray hides from tasks that reserve none."""
    os.environ.pop("CUDA_VISIBLE_DEVICES", None)
    return machine.survey(device)


def extend_import_path(path: list[str]) -> None:
    """Add the driver's search path for modules, for nodes that share its disk."""
    sys.path.extend(entry for entry in path if entry not in sys.path)


def last_line(error: BaseException) -> str:
    """Return the last line of an error message; those of Ray contain whole tracebacks."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
