"""A backend that trains children on all nodes of a Ray cluster.

A host is a Ray actor on a node. It reserves the resources of the children there and trains them
with the same fork server as `nasgym.execution.local`, so time and memory limits are the same.
The driver places hosts on nodes as they join, and repeats the children of hosts that it loses.
"""

import asyncio
import hashlib
import logging
import os
import tempfile
import time
from collections import Counter, deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nasgym.evaluation.evaluation import Evaluation
from nasgym.execution import machine
from nasgym.execution.json_process import import_path
from nasgym.execution.local import ANSWER_WITHIN, START_WITHIN, LocalBackend, WorkerError
from nasgym.execution.ray_cluster import Cluster, extend_import_path, last_line, only_on, ray
from nasgym.execution.scheduler import Task
from nasgym.files import replacing

WAIT = 1.0
"""Maximum seconds that the driver waits for an answer of any host."""

NODE_CHECK_INTERVAL = 2.0
"""Seconds between two checks for nodes with free capacity."""

FIRST_NODE_CHECK_INTERVAL = 0.2
"""Seconds between two checks while there is no host."""

MAX_HOST_LOSSES = 2
"""How many hosts a child may lose before it counts as the cause."""

MAX_FAILED_STARTS = 3
"""After this many hosts in a row that died before they were ready, a node is excluded."""

LOG = logging.getLogger(__name__)

Files = Mapping[str, bytes]
"""Contents of files that each node needs, by the name of the job's setting for their path."""


# On a node ----------------------------------------------------------------------------------------


class NodeHost:
    """The Ray actor of a node; its children and their fork server end with its process.

    All methods run on one event loop, which watches the connection to the fork server.
    """

    def __init__(
        self,
        job: str,
        settings: Mapping[str, Any],
        files: Mapping[str, tuple[str, list[Any]]],
        limits: Mapping[str, Any],
        path: list[str],
    ) -> None:
        """Prepare a fork server.

        `files` maps settings to (SHA-256, [reference]); `path` is the driver's search path for
        modules.
        """
        extend_import_path(path)
        self._job, self._settings, self._files = job, settings, files
        self._limits = limits
        self._evaluations: list[tuple[int, dict[str, Any]]] = []
        self._available = asyncio.Event()

    async def ready(self, kind: Mapping[str, Any]) -> str:
        """Start the fork server if this machine is of that kind; return the error, or ""."""
        try:
            if _comparable(machine.survey(kind["device"])) != _comparable(kind):
                return "it is another kind of machine than most are"
            paths = {name: local_copy(*file) for name, file in self._files.items()}
            self._local = LocalBackend(self._job, {**self._settings, **paths}, **self._limits)
            self._local.start()
        except (WorkerError, OSError, ValueError) as error:
            return last_line(error)
        self._watch()
        return ""

    async def begin(self, ticket: int, task: Task) -> None:
        """Begin a child; end this process if the fork server cannot start."""
        restarted = self._local.fileno() is None
        try:
            self._local.begin(ticket, task)
        except WorkerError:
            os._exit(1)  # the driver starts another host, which reports the reason
        if restarted:
            self._watch()

    async def ended(self) -> list[tuple[int, dict[str, Any]]]:
        """Wait for children to end; return (ticket, plain evaluation) of each, possibly none."""
        try:
            await asyncio.wait_for(self._available.wait(), ANSWER_WITHIN)
        except TimeoutError:
            self._receive()  # this pings the silent fork server
        self._available.clear()
        evaluations, self._evaluations = self._evaluations, []
        return evaluations

    def _watch(self) -> None:
        fd = self._local.fileno()
        if fd is not None:
            asyncio.get_running_loop().add_reader(fd, self._receive)

    def _receive(self) -> None:
        fd = self._local.fileno()
        if fd is None:
            return
        asyncio.get_running_loop().remove_reader(fd)  # the next line may close it
        ended = self._local.ended()
        self._watch()
        if ended:
            self._evaluations += [(ticket, evaluation.to_plain()) for ticket, evaluation in ended]
            self._available.set()


def _comparable(kind: Mapping[str, Any]) -> dict[str, Any]:
    """Return the kind of a machine without the number of its GPUs, which changes no result."""
    return {**kind, "machine": {**kind["machine"], "gpus": set(kind["machine"]["gpus"])}}


def local_copy(digest: str, content: list[Any]) -> str:
    """Return the path of a file on this node, given its SHA-256 and a Ray reference in a list.

    Fetches the content unless the file is there and intact.
    """
    folder = Path(tempfile.gettempdir()) / f"nasgym-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise OSError(f"{folder} belongs to another user: set TMPDIR on that node")
    path = folder / digest
    if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != digest:
        with replacing(path) as part:
            part.write_bytes(ray().get(content[0]))
    return str(path)


# The driver ---------------------------------------------------------------------------------------


@dataclass(eq=False)
class HostState:
    """The driver's record of a host."""

    actor: Any
    """Ray's handle of the actor."""
    node: str
    """Id of the node."""
    capacity: int
    """How many children it can train at a time."""
    call: Any
    """Reference of the pending call; there is always one."""
    ready: bool = False
    """Whether its fork server has started."""
    running: dict[int, Task] = field(default_factory=dict)
    """Tasks of its children, by ticket."""

    @property
    def free(self) -> int:
        """How many more children it can take."""
        return self.capacity - len(self.running) if self.ready else 0


class RayBackend:
    """Children on all nodes of a cluster that are of one kind; nodes may join and leave."""

    def __init__(
        self,
        cluster: Cluster,
        job: str,
        settings: Mapping[str, Any],
        *,
        kind: Mapping[str, Any],
        files: Files | None = None,
        time_limit: float | None = None,
        memory_limit: float | None = None,
    ) -> None:
        """Prepare; no host starts yet.

        `job`, `settings` and the limits are those of `nasgym.execution.local.Pool`. `kind` is the
        result of `Cluster.survey`: nodes of another kind would give other evaluations, so they are
        excluded, and logged. `files` are written once on each node.
        """
        limits: dict[str, Any] = {"time_limit": time_limit, "memory_limit": memory_limit}
        LocalBackend(job, settings, **limits)  # raises ValueError for wrong arguments
        self._cluster, self._job, self._settings = cluster, job, settings
        self._kind, self._limits = dict(kind), limits
        self._files = {
            name: (hashlib.sha256(content).hexdigest(), [ray().put(content)])
            for name, content in (files or {}).items()
        }
        self._started = False
        self._hosts: list[HostState] = []
        self._waiting: deque[tuple[int, Task]] = deque()
        self._losses: Counter[int] = Counter()
        self._failed_starts: Counter[str] = Counter()
        self._excluded: set[str] = set()
        self._next_check = self._last_ready = 0.0

    @property
    def workers(self) -> int:
        """Capacity of all hosts; the first access waits for a host.

        Raises WorkerError, as all methods do, if no node can train.
        """
        if not self._started:
            self._last_ready, self._next_check = time.monotonic(), 0.0
            while not any(host.ready for host in self._hosts):
                self.ended()
            self._started = True
        return sum(host.capacity for host in self._hosts if host.ready)

    def begin(self, ticket: int, task: Task) -> None:
        """Begin a child on the host with most free capacity, or as soon as there is one."""
        self._waiting.append((ticket, task))
        self._assign()

    def ended(self) -> list[tuple[int, Evaluation]]:
        """Wait for an answer of any host and return children that ended.

        Children of a lost host begin again on another host, up to `MAX_HOST_LOSSES` times.
        """
        self._start_hosts()
        calls = {host.call: host for host in self._hosts}
        if not calls:
            time.sleep(FIRST_NODE_CHECK_INTERVAL)
            return []
        answered, rest = ray().wait(list(calls), timeout=WAIT)
        if answered and rest:
            answered += ray().wait(rest, num_returns=len(rest), timeout=0)[0]
        ended = [one for call in answered for one in self._handle_answer(calls[call], call)]
        self._assign()
        return ended

    def stop(self) -> None:
        """Kill all hosts, and with them their children."""
        if ray().is_initialized():
            for host in self._hosts:
                ray().kill(host.actor)
        self._hosts.clear()
        self._waiting.clear()
        self._losses.clear()
        self._started = False

    def _start_hosts(self) -> None:
        """Start hosts on nodes with free capacity, once per interval."""
        now = time.monotonic()
        if any(host.ready for host in self._hosts):
            self._last_ready = now
        elif now > self._last_ready + START_WITHIN:
            raise WorkerError(f"no node of the cluster had room within {START_WITHIN:g} s")
        if now < self._next_check:
            return
        starting = {host.node for host in self._hosts if not host.ready}
        for node, capacity in self._cluster.free_capacity().items():
            if capacity and node not in starting and node not in self._excluded:
                self._hosts.append(self._start_host(node, capacity))
        self._next_check = now + (NODE_CHECK_INTERVAL if self._hosts else FIRST_NODE_CHECK_INTERVAL)

    def _start_host(self, node: str, capacity: int) -> HostState:
        reservation = self._cluster.resources.reservation(capacity)
        limits = {**self._limits, "workers": capacity}
        actor = (
            ray()
            .remote(NodeHost)
            .options(**reservation, **only_on(node), max_restarts=0, max_task_retries=0)
            .remote(self._job, self._settings, self._files, limits, import_path())
        )
        return HostState(actor, node, capacity, actor.ready.remote(self._kind))

    def _handle_answer(self, host: HostState, call: Any) -> list[tuple[int, Evaluation]]:
        """Take the answer of a host's pending call and return the children that ended."""
        try:
            answer = ray().get(call)
        except ray().exceptions.RayError as error:
            return self._handle_loss(host, error)
        if host.ready:
            host.call = host.actor.ended.remote()
            ended = [(ticket, Evaluation.from_plain(plain)) for ticket, plain in answer]
            for ticket, _ in ended:
                del host.running[ticket]
                self._losses.pop(ticket, None)
            return ended
        if answer:
            self._drop(host)
            self._exclude(host.node, answer)
        else:
            host.ready = True
            host.call = host.actor.ended.remote()
            self._failed_starts.pop(host.node, None)
        return []

    def _handle_loss(self, host: HostState, error: Exception) -> list[tuple[int, Evaluation]]:
        """Queue the children of a lost host; return those that have lost too many hosts."""
        self._drop(host)
        if not host.ready:
            self._failed_starts[host.node] += 1
            if self._failed_starts[host.node] == MAX_FAILED_STARTS:
                self._exclude(host.node, last_line(error))
            return []
        self._next_check = 0.0
        LOG.warning("a node was lost; %d children start again", len(host.running))
        self._losses.update(list(host.running))
        failed = [ticket for ticket in host.running if self._losses[ticket] > MAX_HOST_LOSSES]
        for ticket, task in host.running.items():
            if ticket not in failed:
                self._waiting.appendleft((ticket, task))
        reason = f"the process on a node that had it forked was lost: {last_line(error)}"
        return [(ticket, Evaluation(status="killed", error=reason)) for ticket in failed]

    def _drop(self, host: HostState) -> None:
        with suppress(Exception):  # the host may be dead or out of reach
            ray().kill(host.actor)
        self._hosts.remove(host)

    def _exclude(self, node: str, reason: str) -> None:
        """Use a node no longer; raise WorkerError if there is no other."""
        self._excluded.add(node)
        others = {node for node, capacity in self._cluster.free_capacity().items() if capacity}
        if not self._hosts and others <= self._excluded:
            raise WorkerError(f"the job {self._job} cannot start on any node: {reason}")
        LOG.warning("a node of the cluster is left out: %s", reason)

    def _assign(self) -> None:
        """Begin waiting children on the hosts with most free capacity."""
        while self._waiting:
            host = max(self._hosts, key=lambda host: host.free, default=None)
            if host is None or not host.free:
                return
            ticket, task = self._waiting.popleft()
            host.running[ticket] = task
            host.actor.begin.remote(ticket, task)
