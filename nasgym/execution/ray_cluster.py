"""A cluster: the connection to Ray, the nodes and what a child takes of them, and actors there.

Ray places processes and carries messages. It knows nothing of the search: what a process has not
handed over is lost with it, and the driver begins that again.
"""

import importlib
import math
import os
import signal
import socket
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from nasgym.execution.local import WorkerError

SURVEY_WITHIN = 120.0
"""Seconds the nodes have to say what machines they are."""

KNOCK_FOR = 10.0
"""Seconds that the head of a cluster has to answer at all."""

QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DEDUP_LOGS_SKIP_REGEX": "."}
"""Environment of Ray, unless it is set: it reports to nobody, and prints no logs of lost nodes."""


def ray() -> Any:
    """Return the module `ray`; raise ValueError, in one line, if it is not installed."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    try:
        return importlib.import_module("ray")
    except ImportError:
        raise ValueError("a cluster needs Ray: pip install 'nasgym[ray]'") from None


@dataclass(frozen=True)
class Share:
    """What a child takes of a node."""

    cpus: float = 1.0
    """Processors."""
    gpus: float = 0.0
    """GPUs: a fraction of one, or whole ones."""

    def __post_init__(self) -> None:
        if not self.cpus > 0:
            raise ValueError(f"cpus must be above 0, not {self.cpus!r}")
        if not self.gpus >= 0 or (self.gpus > 1 and self.gpus % 1):
            raise ValueError(f"gpus must be from 0 to 1, or a whole number, not {self.gpus!r}")

    def children(self, resources: Mapping[str, float]) -> int:
        """Return how many children a node with these free "CPU" and "GPU" has room for."""
        by_cpu = _whole(resources.get("CPU", 0) / self.cpus)
        if not self.gpus:
            return by_cpu
        gpus = math.floor(resources.get("GPU", 0))
        by_gpu = gpus * self._a_gpu if self.gpus <= 1 else _whole(gpus / self.gpus)
        return min(by_cpu, by_gpu)

    def reserved(self, children: int) -> dict[str, float]:
        """Return Ray's options for an actor with so many children; its GPUs are whole ones."""
        gpus = math.ceil(children / self._a_gpu) if 0 < self.gpus <= 1 else children * self.gpus
        return {"num_cpus": children * self.cpus, "num_gpus": gpus}

    @property
    def _a_gpu(self) -> int:
        """How many children share a GPU."""
        return _whole(1 / self.gpus)


def _whole(ratio: float) -> int:
    return math.floor(ratio + 1e-6)  # 0.3 / 0.1 is a little less than 3


class Cluster:
    """A connection to a Ray cluster, and what a child takes of it."""

    def __init__(self, address: str, *, cpus: float = 1.0, gpus: float = 0.0) -> None:
        """Connect this process, unless it is connected to a cluster already.

        `address` is "ray" (start a Ray of one's own on this machine; it ends with this process),
        "auto" (the cluster that RAY_ADDRESS names, else the one that runs on this machine) or
        "ray://host:port" (Ray's client). `cpus` and `gpus` are those of `Share`. Raises ValueError
        or WorkerError, in one line.
        """
        self.share = Share(cpus, gpus)
        if address not in ("ray", "auto") and not address.startswith("ray://"):
            raise ValueError(
                f"workers must be a number, 'ray', 'auto' or 'ray://host:port', not {address!r}"
            )
        if not ray().is_initialized():
            with _signals_kept():
                _connect(address)

    def room(self) -> dict[str, int]:
        """Return for each node, by its id, how many more children it has room for now."""
        free: dict[str, dict[str, float]] = _on_the_cluster(_free_resources)
        return {node: self.share.children(resources) for node, resources in free.items()}

    def survey(self, device: str) -> dict[str, Any]:
        """Return what kind of machine the nodes are, that of the most children if there are more.

        `device` is that of `nasgym.execution.machine.survey`, which is asked on every node that can
        have a child at all. Raises WorkerError if there is none or none answers, ValueError for
        children on GPUs that take none.
        """
        if device == "cuda" and not self.share.gpus:
            raise ValueError("device 'cuda' on a cluster needs gpus=..., such as 1 or 0.25 a child")
        total = {node["NodeID"]: node["Resources"] for node in ray().nodes() if node["Alive"]}
        able = {node: self.share.children(resources) for node, resources in total.items()}
        look = _survey_all_gpus if self.share.gpus else survey_here
        asked = {
            _task(look, node, num_cpus=0).remote(device): children
            for node, children in able.items()
            if children
        }
        if not asked:
            needs = f"{self.share.cpus:g} CPUs and {self.share.gpus:g} GPUs"
            raise WorkerError(f"no node of the cluster has the {needs} of a child")
        answered, late = ray().wait(list(asked), num_returns=len(asked), timeout=SURVEY_WITHIN)
        kinds: Counter[str] = Counter()
        known, why = {}, f"no node of the cluster answered within {SURVEY_WITHIN:g} s"
        for answer in answered:
            try:
                kind = ray().get(answer)
            except ray().exceptions.RayError as error:
                why = f"no node of the cluster can train: {last_line(error)}"
            else:
                known[repr(kind)] = kind
                kinds[repr(kind)] += asked[answer]
        for call in late:
            ray().cancel(call, force=True)
        if not kinds:
            raise WorkerError(why)
        most = max(kinds, key=lambda kind: (kinds[kind], kind))
        return dict(known[most])


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Undo what Ray does to this process's handling of SIGTERM."""
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
        _knock(address)
        ray().init(address=address, **options)
    except ImportError:
        raise ValueError(f"{address} needs Ray's client: pip install 'ray[client]'") from None
    except (OSError, RuntimeError, ValueError, ray().exceptions.RayError) as error:
        raise WorkerError(
            f"no Ray cluster answers at {address!r} ({last_line(error)}): start one with `ray "
            f"start --head` or name it in RAY_ADDRESS; one with a token wants RAY_AUTH_MODE=token"
        ) from None


def _knock(address: str) -> None:
    """Raise OSError if nobody is at "host:port": Ray itself would wait for minutes."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if colon and port.isdecimal():
        socket.create_connection((host, int(port)), KNOCK_FOR).close()


def _task(function: Any, node: str, **options: Any) -> Any:
    """Return `function` as a task for one node."""
    return ray().remote(function).options(**options, max_retries=0, **only_on(node))


def only_on(node: str) -> dict[str, Any]:
    """Return Ray's options for what runs on that node or nowhere."""
    strategies = importlib.import_module("ray.util.scheduling_strategies")
    return {"scheduling_strategy": strategies.NodeAffinitySchedulingStrategy(node, soft=False)}


def _on_the_cluster(function: Any) -> Any:
    """Call `function`, through Ray's client on a node of the cluster."""
    if ray().util.client.ray.is_connected():
        return ray().get(ray().remote(function).options(num_cpus=0).remote())
    return function()


def _free_resources() -> dict[str, dict[str, float]]:
    state = importlib.import_module("ray._private.state")
    return dict(state.available_resources_per_node())


def survey_here(device: str) -> dict[str, Any]:
    """Return what `nasgym.execution.machine.survey` says of this node."""
    from nasgym.execution import machine

    return machine.survey(device)


def _survey_all_gpus(device: str) -> dict[str, Any]:
    """Return the same from a task that has asked for no GPU, from which Ray hides them all."""
    os.environ.pop("CUDA_VISIBLE_DEVICES", None)
    return survey_here(device)


def last_line(error: BaseException) -> str:
    """Return the last line of the message; Ray's begin with whole tracebacks."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
