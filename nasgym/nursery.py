"""The nursery: a process that pays for imports and data once, then forks a fresh child a task.

`nasgym.workers.Pool` starts it and speaks JSON lines with it over the socket that is its standard
input. It stays single-threaded, because a fork copies no thread but the one that calls it: torch
in a fork of a process that has used several threads hangs. Whatever a child does to itself, leak,
crash, hang, fill the memory, ends with the child; the nursery kills what overstays its limits.
"""

import ctypes
import errno
import faulthandler
import fcntl
import gc
import json
import math
import os
import pkgutil
import resource
import selectors
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, NoReturn

from nasgym.evaluation import LONGEST_ERROR, Evaluation

Job = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""What trains one child: a task in, the plain form of an `Evaluation` out."""

LONGEST_MESSAGE = 16 * 2**20
"""Bytes; a longer result is refused where it is made."""

HEARTBEAT = 0.5
"""Seconds after which the nursery looks whether its parent is still there, at the latest."""


def encode(message: Mapping[str, Any]) -> bytes:
    """Return `message` as one line of JSON; raise ValueError or TypeError if it cannot be one."""
    line = json.dumps(message, allow_nan=False).encode() + b"\n"
    if len(line) > LONGEST_MESSAGE:
        raise ValueError(f"{len(line):,} bytes are more than a message of {LONGEST_MESSAGE:,} holds")
    return line


class Channel:
    """One end of a socket over which the pool and the nursery exchange messages."""

    def __init__(self, end: socket.socket) -> None:
        """Speak over `end`, whose time-out holds for both directions."""
        self.socket = end
        self._rest = b""

    def send(self, message: Mapping[str, Any]) -> None:
        """Send one message; raise OSError if the other end is gone."""
        self.socket.sendall(encode(message))

    def receive(self) -> list[dict[str, Any]]:
        """Wait for data and return the messages that are complete; raise EOFError at the end."""
        data = self.socket.recv(2**16)
        if not data:
            raise EOFError("the other end of the channel is closed")
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [json.loads(line) for line in lines]


class Outlet:
    """The reading end of a child's pipe; it keeps the last `limit` bytes that came through."""

    def __init__(self, selector: selectors.BaseSelector, limit: int) -> None:
        """Open the pipe and have `selector` call `read` when there is something."""
        self.selector = selector
        self.limit = limit
        self.content = b""
        self.end, self.entrance = os.pipe()
        os.set_blocking(self.end, False)
        selector.register(self.end, selectors.EVENT_READ, self.read)

    def read(self) -> bool:
        """Take in what is there; return whether more may come."""
        try:
            data = os.read(self.end, 2**16)
        except BlockingIOError:
            return False
        if data:
            self.content = (self.content + data)[-self.limit :]
        else:
            self._detach()
        return bool(data)

    def close(self) -> bytes:
        """Take in the rest and return what was kept."""
        while self.read():
            pass
        self._detach()
        os.close(self.end)
        return self.content

    def _detach(self) -> None:
        with suppress(KeyError):
            self.selector.unregister(self.end)


@dataclass
class Child:
    """A running child, as the nursery sees it."""

    ticket: int
    """The pool's number for this attempt."""
    pid: int
    """Its process, and the process group of all that it starts."""
    result: Outlet
    """The line with its evaluation."""
    errors: Outlet
    """Its standard error output, the last of it."""
    started: float = field(default_factory=time.monotonic)
    """When it was forked, on the clock that nobody can set."""
    overdue: bool = False
    """Whether it was killed for taking too long."""

    def kill(self) -> None:
        """Kill the child and whatever it has started."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)


class Nursery:
    """The loop of the nursery: fork, watch, kill, report. It ends with its parent."""

    def __init__(self, channel: Channel, job: Job, limits: Mapping[str, Any]) -> None:
        """Serve `channel` with `job`; `limits` has "time_limit" (s) and "memory_limit" (GiB)."""
        self.channel = channel
        self.job = job
        self.time_limit: float = limits["time_limit"] or math.inf
        self.memory_limit: float | None = limits["memory_limit"]
        self.children: dict[int, Child] = {}
        self.selector = selectors.PollSelector()  # epoll would be shared with the forked children
        self.selector.register(channel.socket, selectors.EVENT_READ, self.listen)
        self._wake_at_death_of_children()

    def _wake_at_death_of_children(self) -> None:
        awake, alarm = socket.socketpair()
        for end in (awake, alarm):
            end.setblocking(False)
        self._alarm = alarm
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(alarm.fileno(), warn_on_full_buffer=False)
        self.selector.register(awake, selectors.EVENT_READ, lambda: awake.recv(2**12))

    def serve(self, parent: int) -> None:
        """Work until the channel closes or the process `parent` is gone; leave no child behind."""
        try:
            self.channel.send({"ready": True})
            # A fork of the parent may hold the channel open: the end of file alone says too little.
            while os.getppid() == parent:
                for key, _ in self.selector.select(self._patience()):
                    key.data()
                self._kill_overdue()
                self._bury_dead()
        except (EOFError, OSError):
            pass
        finally:
            for child in self.children.values():
                child.kill()
            for child in self.children.values():
                os.waitpid(child.pid, 0)

    def _patience(self) -> float:
        on_time = (child.started for child in self.children.values() if not child.overdue)
        first = min(on_time, default=math.inf)
        return min(HEARTBEAT, max(0.0, first + self.time_limit - time.monotonic()))

    def listen(self) -> None:
        """Do what the pool asks for."""
        for message in self.channel.receive():
            if "task" in message:
                self._fork(message["ticket"], message["task"])
            else:
                self.channel.send({"pong": True})

    def _fork(self, ticket: int, task: Mapping[str, Any]) -> None:
        result = Outlet(self.selector, LONGEST_MESSAGE)
        errors = Outlet(self.selector, 4 * LONGEST_ERROR)
        nursery = os.getpid()
        pid = os.fork()
        if pid == 0:
            self._be_child(task, nursery, result.entrance, errors.entrance)
        with suppress(OSError):  # whichever of the two processes comes first
            os.setpgid(pid, pid)
        os.close(result.entrance)
        os.close(errors.entrance)
        self.children[pid] = Child(ticket, pid, result, errors)

    def _be_child(
        self, task: Mapping[str, Any], nursery: int, result: int, errors: int
    ) -> NoReturn:
        try:
            with suppress(OSError):
                os.setpgid(0, 0)
            die_with(nursery)
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self.channel.socket.close()
            os.dup2(errors, sys.stderr.fileno())
            line = encode(evaluation_of(self.job, task, self.memory_limit).to_plain())
            while line:
                line = line[os.write(result, line) :]
        finally:
            # Nothing of the nursery's is flushed or torn down twice.
            os._exit(0)

    def _kill_overdue(self) -> None:
        now = time.monotonic()
        for child in self.children.values():
            if now >= child.started + self.time_limit and not child.overdue:
                child.overdue = True
                child.kill()

    def _bury_dead(self) -> None:
        for child in list(self.children.values()):
            pid, status = os.waitpid(child.pid, os.WNOHANG)
            if pid:
                child.kill()  # what it has started
                del self.children[pid]
                plain = self._outcome(child, os.waitstatus_to_exitcode(status))
                self.channel.send({"ticket": child.ticket, "evaluation": plain})

    def _outcome(self, child: Child, code: int) -> dict[str, Any]:
        result, errors = child.result.close(), child.errors.close()
        if result.endswith(b"\n"):
            plain: dict[str, Any] = json.loads(result)
            return plain
        seconds = time.monotonic() - child.started
        if child.overdue:
            reason = f"took longer than the time limit of {self.time_limit:g} s"
            return Evaluation(status="timeout", error=reason, seconds=seconds).to_plain()
        # faulthandler's list of all extension modules would push the rest out.
        lines = errors.decode(errors="replace").splitlines()
        last_words = [line for line in lines if not line.startswith("Extension modules:")]
        error = "\n".join([*last_words, how_it_ended(code)])
        status = "killed" if code < 0 else "exception"
        return Evaluation(status=status, error=error, seconds=seconds).to_plain()


def how_it_ended(code: int) -> str:
    """Return in words what the exit code of a process without a result means."""
    if code < 0:
        return f"killed by signal {-code} ({signal.strsignal(-code)})"
    return f"ended by itself with exit code {code} and without a result"


def evaluation_of(job: Job, task: Mapping[str, Any], memory_limit: float | None) -> Evaluation:
    """Return the evaluation of `task`, whatever `job` does with it short of a crash."""
    started = time.monotonic()
    try:
        with at_most(memory_limit):
            evaluation = Evaluation.from_plain(job(task))
            encode(evaluation.to_plain())
            return evaluation
    except BaseException as error:
        text, status = traceback.format_exc(), "exception"
        if lacks_memory(error):
            limit = f"the memory limit of {memory_limit:g} GiB" if memory_limit else "there is"
            text, status = f"{text}needs more memory than {limit}", "oom"
        return Evaluation(status=status, error=text, seconds=time.monotonic() - started)


def lacks_memory(error: BaseException) -> bool:
    """Return whether `error` says that memory ran out, in any library's words."""
    words = ("allocate memory", "out of memory", "bad_alloc")
    return (
        isinstance(error, MemoryError)
        or getattr(error, "errno", None) == errno.ENOMEM
        or any(word in str(error).lower() for word in words)
    )


@contextmanager
def at_most(memory_limit: float | None) -> Iterator[None]:
    """Let this process allocate `memory_limit` GiB more than it has; None: as much as it likes.

    The limit is on private writable memory (RLIMIT_DATA): unlike the address space it leaves out
    mapped files, libraries and what a GPU's driver reserves. Only Linux enforces it.
    """
    if memory_limit is None or not sys.platform.startswith("linux"):
        yield
        return
    with open("/proc/self/statm") as file:
        used = int(file.read().split()[5]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    wanted = used + int(memory_limit * 2**30)
    lowest = min((limit for limit in (wanted, soft) if limit != resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_DATA, (lowest, hard))
    try:
        yield
    finally:
        # The report of a failure needs memory too.
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def die_with(parent: int) -> None:
    """Have this process killed as soon as its parent, the process `parent`, is dead."""
    try:
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    except AttributeError:  # not Linux
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    if os.getppid() != parent:
        os._exit(1)


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(HEARTBEAT)
    os._exit(1)


@contextmanager
def killed_by_end_of(channel: Channel) -> Iterator[None]:
    """Have the kernel kill this process if the channel closes meanwhile, also amid an import.

    The signal of a socket on which something happens kills by default; nothing else is sent
    meanwhile. It works on Linux; elsewhere the process notices later.
    """
    fd = channel.socket.fileno()
    flags = fcntl.fcntl(fd, fcntl.F_GETFL)
    fcntl.fcntl(fd, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(fd, fcntl.F_SETFL, flags | os.O_ASYNC)
    try:
        yield
    finally:
        fcntl.fcntl(fd, fcntl.F_SETFL, flags)


def main() -> None:
    """Set up the job that the first message names, and serve."""
    parent = os.getppid()
    channel = Channel(socket.socket(fileno=os.dup(0)))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    faulthandler.enable()
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    messages: list[dict[str, Any]] = []
    while not messages:
        messages = channel.receive()
    setup = messages[0]
    with killed_by_end_of(channel):
        job = pkgutil.resolve_name(setup["job"])(setup["settings"])
    # A collection in a child would touch, so copy, all that was made here.
    gc.collect()
    gc.freeze()
    Nursery(channel, job, setup).serve(parent)
