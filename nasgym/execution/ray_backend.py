"""Hosts: children on all nodes of a cluster, forked there as they are on one machine.

A host is an actor on a node. It reserves what the children there need and has the very nursery of
`nasgym.execution.local` train them, so time and memory limits are the same as here.
"""

import asyncio
import hashlib
import logging
import os
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nasgym.evaluation.evaluation import Evaluation
from nasgym.execution.local import (
    ANSWER_WITHIN,
    START_WITHIN,
    LocalBackend,
    WorkerError,
    search_path,
)
from nasgym.execution.ray_cluster import Cluster, last_line, only_on, ray, survey_here
from nasgym.execution.scheduler import Task
from nasgym.files import replacing

PATIENCE = 1.0
"""Seconds that the driver waits for news of any host."""

LOOK_EVERY = 2.0
"""Seconds between two looks for nodes that have room."""

LOOK_AGAIN = 0.2
"""The same while there is no host at all."""

FORGIVEN = 2
"""How many hosts may be lost with a child before that is laid to the child."""

FAILED_STARTS = 3
"""After so many hosts in a row that ended before they were ready a node is given up."""

LOG = logging.getLogger(__name__)

Files = Mapping[str, bytes]
"""Contents of files that each node needs, by the setting of the job that is to be their path."""


# On a node ----------------------------------------------------------------------------------------


class Host:
    """The actor of a node: children in a nursery there, which ends with this process.

    All methods run on one event loop, and the nursery's end wakes it when there is news.
    """

    def __init__(
        self,
        job: str,
        settings: Mapping[str, Any],
        files: Mapping[str, tuple[str, list[Any]]],
        limits: Mapping[str, Any],
        path: list[str],
    ) -> None:
        """Prepare a nursery; `files` are (SHA-256, [reference]) by the setting of their path.

        `path` is the driver's search path for modules, of use where nodes share its disk.
        """
        sys.path.extend(entry for entry in path if entry not in sys.path)
        self._job, self._settings, self._files = job, settings, files
        self._limits = limits
        self._news: list[tuple[int, dict[str, Any]]] = []
        self._some = asyncio.Event()

    async def ready(self, kind: Mapping[str, Any]) -> str:
        """Start the nursery on a machine of that kind; return what prevents it, or nothing."""
        try:
            if _kind(survey_here(kind["device"])) != _kind(kind):
                return "it is another kind of machine than most are"
            paths = {name: laid_out(*file) for name, file in self._files.items()}
            self._local = LocalBackend(self._job, {**self._settings, **paths}, **self._limits)
            self._local.start()
        except (WorkerError, OSError, ValueError) as error:
            return last_line(error)
        self._listen()
        return ""

    async def begin(self, ticket: int, task: Task) -> None:
        """Begin a child; if that cannot be, this process ends."""
        deaf = self._local.fileno() is None
        try:
            self._local.begin(ticket, task)
        except WorkerError:
            os._exit(1)  # the driver then learns from a new host why
        if deaf:
            self._listen()

    async def ended(self) -> list[tuple[int, dict[str, Any]]]:
        """Wait for news, and return (ticket, plain evaluation) of children that ended."""
        try:
            await asyncio.wait_for(self._some.wait(), ANSWER_WITHIN)
        except TimeoutError:
            self._hear()  # in such a silence the nursery is asked whether it is well
        self._some.clear()
        news, self._news = self._news, []
        return news

    def _listen(self) -> None:
        fd = self._local.fileno()
        if fd is not None:
            asyncio.get_running_loop().add_reader(fd, self._hear)

    def _hear(self) -> None:
        fd = self._local.fileno()
        if fd is None:
            return
        asyncio.get_running_loop().remove_reader(fd)  # it may be closed in the next line
        ended = self._local.ended()
        self._listen()
        if ended:
            self._news += [(ticket, evaluation.to_plain()) for ticket, evaluation in ended]
            self._some.set()


def _kind(survey: Mapping[str, Any]) -> dict[str, Any]:
    """Return what must be equal for children to come out equal, not how many GPUs there are."""
    return {**survey, "machine": {**survey["machine"], "gpus": set(survey["machine"]["gpus"])}}


def laid_out(digest: str, content: list[Any]) -> str:
    """Return the path of the file of that SHA-256 on this node; fetch it if it is not here."""
    folder = Path(tempfile.gettempdir()) / f"nasgym-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise OSError(f"{folder} belongs to somebody else: set TMPDIR on that node")
    path = folder / digest
    if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != digest:
        with replacing(path) as part:
            part.write_bytes(ray().get(content[0]))
    return str(path)


# The driver ---------------------------------------------------------------------------------------


@dataclass(eq=False)
class Hosted:
    """A host, as the driver sees it."""

    actor: Any
    """Its handle."""
    node: str
    """The node's id."""
    children: int
    """How many it has room for."""
    call: Any
    """The call that it has not answered: one is always under way."""
    ready: bool = False
    """Whether it has answered the first."""
    running: dict[int, Task] = field(default_factory=dict)
    """Its children, by ticket."""

    @property
    def room(self) -> int:
        """How many more children it can take."""
        return self.children - len(self.running) if self.ready else 0


class RayBackend:
    """Children on all nodes of a cluster that are of one kind; nodes may come and go."""

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
        """Prepare; no host is started yet.

        `job`, `settings` and the limits are those of `nasgym.execution.local.Pool`. `kind` is what
        `Cluster.survey` returned: a node of another kind is left out, and logged, because its
        children would come out differently. `files` are written once on each node.
        """
        limits: dict[str, Any] = {"time_limit": time_limit, "memory_limit": memory_limit}
        LocalBackend(job, settings, **limits)  # which raises ValueError for what cannot be
        self._cluster, self._job, self._settings = cluster, job, settings
        self._kind, self._limits = dict(kind), limits
        self._files = {
            name: (hashlib.sha256(content).hexdigest(), [ray().put(content)])
            for name, content in (files or {}).items()
        }
        self._started = False
        self._hosts: list[Hosted] = []
        self._waiting: deque[tuple[int, Task]] = deque()
        self._losses: Counter[int] = Counter()
        self._failed_starts: Counter[str] = Counter()
        self._given_up: dict[str, str] = {}
        self._look_at = self._trained_at = 0.0

    @property
    def workers(self) -> int:
        """How many children the hosts have room for; the first time, wait for a host.

        Raises WorkerError, as all methods do, if no node can train.
        """
        if not self._started:
            self._trained_at, self._look_at = time.monotonic(), 0.0
            while not any(host.ready for host in self._hosts):
                self.ended()
            self._started = True
        return sum(host.children for host in self._hosts if host.ready)

    def begin(self, ticket: int, task: Task) -> None:
        """Begin a child on the host with most room; if a host was just lost, as soon as can be."""
        self._waiting.append((ticket, task))
        self._deal()

    def ended(self) -> list[tuple[int, Evaluation]]:
        """Wait for news of any host and return children that ended.

        Those of a lost host have not: they are begun on another, unless it was the third.
        """
        self._take_in()
        calls = {host.call: host for host in self._hosts}
        if not calls:
            time.sleep(LOOK_AGAIN)
            return []
        answered, rest = ray().wait(list(calls), timeout=PATIENCE)
        if answered and rest:
            answered += ray().wait(rest, num_returns=len(rest), timeout=0)[0]
        ended = [one for call in answered for one in self._heard(calls[call], call)]
        self._deal()
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

    def _take_in(self) -> None:
        """Put hosts on nodes that have room, every now and then."""
        now = time.monotonic()
        if any(host.ready for host in self._hosts):
            self._trained_at = now
        elif now > self._trained_at + START_WITHIN:
            raise WorkerError(f"no node of the cluster had room within {START_WITHIN:g} s")
        if now < self._look_at:
            return
        starting = {host.node for host in self._hosts if not host.ready}
        for node, children in self._cluster.room().items():
            if children and node not in starting and node not in self._given_up:
                self._hosts.append(self._host(node, children))
        self._look_at = now + (LOOK_EVERY if self._hosts else LOOK_AGAIN)

    def _host(self, node: str, children: int) -> Hosted:
        reserved = self._cluster.share.reserved(children)
        limits = {**self._limits, "workers": children}
        path = search_path().split(os.pathsep)
        actor = (
            ray()
            .remote(Host)
            .options(**reserved, **only_on(node), max_restarts=0, max_task_retries=0)
            .remote(self._job, self._settings, self._files, limits, path)
        )
        return Hosted(actor, node, children, actor.ready.remote(self._kind))

    def _heard(self, host: Hosted, call: Any) -> list[tuple[int, Evaluation]]:
        try:
            answer = ray().get(call)
        except ray().exceptions.RayError as error:
            return self._lost(host, error)
        if host.ready:
            host.call = host.actor.ended.remote()
            ended = [(ticket, Evaluation.from_plain(plain)) for ticket, plain in answer]
            for ticket, _ in ended:
                del host.running[ticket]
                self._losses.pop(ticket, None)
            return ended
        if answer:
            self._drop(host)
            self._give_up(host.node, answer)
        else:
            host.ready = True
            host.call = host.actor.ended.remote()
            self._failed_starts.pop(host.node, None)
        return []

    def _lost(self, host: Hosted, error: Exception) -> list[tuple[int, Evaluation]]:
        """Queue the children of a lost host; return those that were lost too often."""
        self._drop(host)
        if not host.ready:
            self._failed_starts[host.node] += 1
            if self._failed_starts[host.node] == FAILED_STARTS:
                self._give_up(host.node, last_line(error))
            return []
        self._look_at = 0.0
        LOG.warning("a node was lost, and %d children begin again", len(host.running))
        self._losses.update(list(host.running))
        blamed = [ticket for ticket in host.running if self._losses[ticket] > FORGIVEN]
        for ticket, task in host.running.items():
            if ticket not in blamed:
                self._waiting.appendleft((ticket, task))
        why = f"the process on a node that had it forked was lost: {last_line(error)}"
        return [(ticket, Evaluation(status="killed", error=why)) for ticket in blamed]

    def _drop(self, host: Hosted) -> None:
        with suppress(Exception):  # it is dead already or, for now, out of reach
            ray().kill(host.actor)
        self._hosts.remove(host)

    def _give_up(self, node: str, why: str) -> None:
        """Leave a node out; raise WorkerError if there is no other."""
        self._given_up[node] = why
        others = {node for node, room in self._cluster.room().items() if room}
        if not self._hosts and others <= self._given_up.keys():
            raise WorkerError(f"the job {self._job} cannot start on any node: {why}")
        LOG.warning("a node of the cluster is left out: %s", why)

    def _deal(self) -> None:
        """Begin what waits on the hosts that have most room."""
        while self._waiting:
            host = max(self._hosts, key=lambda host: host.room, default=None)
            if host is None or not host.room:
                return
            ticket, task = self._waiting.popleft()
            host.running[ticket] = task
            host.actor.begin.remote(ticket, task)
