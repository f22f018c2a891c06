"""The nursery: a process that pays for imports and data once, then forks a fresh child a task.

`nasgym.execution.local.Pool` starts it and speaks with it over the socket that is its standard input. It
stays single-threaded: a fork copies only the thread that calls it, and torch in the fork of a
process that has used several hangs. Whatever a child does to itself, crash, hang, leak, fill the
memory, ends with the child; the nursery kills what overstays its limits, and ends with its parent.
"""

import ctypes
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

from nasgym.evaluation.evaluation import LONGEST_ERROR, Evaluation
from nasgym.execution.json_lines import LONGEST_MESSAGE, Channel, encode

Job = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""What trains one child: a task in, the plain form of an `Evaluation` out."""

HEARTBEAT = 0.4
"""Seconds after which a process looks whether its parent is still there, at the latest."""


def main() -> None:
    """Set up the job that the first message names, then serve."""
    channel = Channel(socket.socket(fileno=os.dup(0)))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    faulthandler.enable()
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    messages: list[dict[str, Any]] = []
    while not messages:
        messages = channel.receive()
    setup = messages[0]
    with killed_by_closing(channel):
        if os.getppid() != setup["parent"]:
            return  # it died before that could be noticed
        job = pkgutil.resolve_name(setup["job"])(setup["settings"])
    # A collection in a child would touch, and so copy, all that was made up to here.
    gc.collect()
    gc.freeze()
    Nursery(channel, job, setup["time_limit"], setup["memory_limit"]).serve(setup["parent"])


class Outlet:
    """A pipe out of a child, of whose content the last `limit` bytes are kept."""

    def __init__(self, selector: selectors.BaseSelector, limit: int) -> None:
        """Open the pipe and have `selector` call `read` when there is something."""
        self.content = b""
        self.end, self.entrance = os.pipe()
        os.set_blocking(self.end, False)
        self._selector = selector
        self._limit = limit
        selector.register(self.end, selectors.EVENT_READ, self.read)

    def read(self) -> bool:
        """Take in what is there; return whether more may come."""
        try:
            data = os.read(self.end, 2**16)
        except BlockingIOError:
            return False
        if not data:
            self._detach()
        self.content = (self.content + data)[-self._limit :]
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
            self._selector.unregister(self.end)


@dataclass
class Child:
    """A running child, as the nursery sees it."""

    ticket: int
    """The pool's number for this attempt at a task."""
    pid: int
    """Its process, and the process group of all that it starts."""
    result: Outlet
    """One line, its evaluation, at the end."""
    errors: Outlet
    """The last of its standard error output."""
    started: float = field(default_factory=time.monotonic)
    """When it was forked, by the clock that nobody can set."""
    overdue: bool = False
    """Whether it was killed for taking too long."""

    def kill(self) -> None:
        """Kill it and whatever it has started."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def outcome(self, code: int, time_limit: float) -> dict[str, Any]:
        """Return its evaluation, now that it is dead with exit code `code`."""
        seconds = time.monotonic() - self.started
        result, errors = self.result.close(), self.errors.close().decode(errors="replace")
        if result.endswith(b"\n"):
            plain: dict[str, Any] = json.loads(result)
            return plain
        if self.overdue:
            status, error = "timeout", f"took longer than the time limit of {time_limit:g} s"
        else:
            status = "oom" if lacks_memory(errors) else "killed" if code < 0 else "exception"
            # The list of all extension modules, faulthandler's, would push the rest out.
            lines = [line for line in errors.splitlines() if "Extension modules:" not in line]
            error = "\n".join([*lines, how_it_ended(code)])
        return Evaluation(status=status, error=error, seconds=seconds).to_plain()


class Nursery:
    """The loop of the nursery: fork, watch, kill, report."""

    def __init__(
        self, channel: Channel, job: Job, time_limit: float | None, memory_limit: float | None
    ) -> None:
        """Serve `channel` with `job`, whose children have so many seconds and GiB."""
        self.channel = channel
        self.job = job
        self.time_limit = math.inf if time_limit is None else time_limit
        self.memory_limit = memory_limit
        self.children: dict[int, Child] = {}
        # Not epoll, which the children would share after the fork.
        self.selector = selectors.PollSelector()
        self.selector.register(channel.socket, selectors.EVENT_READ, self._listen)

    def serve(self, parent: int) -> None:
        """Work until the channel closes or the process `parent` is gone; leave no child behind."""
        self._wake_when_children_die()
        try:
            self.channel.send({"ready": True})
            # Another fork of the parent may hold the channel open, so its end says too little.
            while os.getppid() == parent:
                for key, _ in self.selector.select(self._patience()):
                    key.data()
                self._kill_overdue()
                self._bury_dead()
        except (EOFError, ConnectionError):
            pass
        finally:
            for child in self.children.values():
                child.kill()
                os.waitpid(child.pid, 0)

    def _wake_when_children_die(self) -> None:
        self._alarm, ear = socket.socketpair()
        self._alarm.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._alarm.fileno(), warn_on_full_buffer=False)
        self.selector.register(ear, selectors.EVENT_READ, lambda: ear.recv(2**12))

    def _patience(self) -> float:
        on_time = (child.started for child in self.children.values() if not child.overdue)
        deadline = min(on_time, default=math.inf) + self.time_limit
        return min(HEARTBEAT, max(0.0, deadline - time.monotonic()))

    def _listen(self) -> None:
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
            self._live(task, nursery, result.entrance, errors.entrance)
        with suppress(OSError):  # both processes do it: neither can know who comes first
            os.setpgid(pid, pid)
        os.close(result.entrance)
        os.close(errors.entrance)
        self.children[pid] = Child(ticket, pid, result, errors)

    def _live(self, task: Mapping[str, Any], nursery: int, result: int, errors: int) -> NoReturn:
        """Be the child, to the end of its process."""
        try:
            with suppress(OSError):
                os.setpgid(0, 0)
            die_with(nursery)
            os.dup2(errors, 2)
            self.channel.socket.close()
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            line = train(self.job, task, self.memory_limit)
            while line:
                line = line[os.write(result, line) :]
        finally:
            # Nothing of the nursery's may be flushed or torn down twice, and it is faster.
            os._exit(0)

    def _kill_overdue(self) -> None:
        late = time.monotonic() - self.time_limit
        for child in self.children.values():
            if child.started <= late and not child.overdue:
                child.overdue = True
                child.kill()

    def _bury_dead(self) -> None:
        for child in list(self.children.values()):
            pid, status = os.waitpid(child.pid, os.WNOHANG)
            if pid:
                del self.children[pid]
                child.kill()  # what it has started lives on
                plain = child.outcome(os.waitstatus_to_exitcode(status), self.time_limit)
                self.channel.send({"ticket": child.ticket, "evaluation": plain})


def train(job: Job, task: Mapping[str, Any], memory_limit: float | None) -> bytes:
    """Return the line with the evaluation of `task`, whatever `job` does short of a crash."""
    started = time.monotonic()
    try:
        with at_most(memory_limit):
            return encode(Evaluation.from_plain(job(task)).to_plain())
    except BaseException as error:
        status, text = "exception", traceback.format_exc()
        if lacks_memory("".join(traceback.format_exception_only(error))):
            limit = f"the memory limit of {memory_limit:g} GiB" if memory_limit else "there is"
            status, text = "oom", f"{text}needs more memory than {limit}"
        seconds = time.monotonic() - started
        return encode(Evaluation(status=status, error=text, seconds=seconds).to_plain())


def lacks_memory(text: str) -> bool:
    """Return whether an error message means that memory ran out, in the words of any library."""
    words = ("memoryerror", "allocate memory", "out of memory", "bad_alloc")
    onednn = ("could not create a primitive", "could not execute a primitive")
    return any(phrase in text.lower() for phrase in words + onednn)


def how_it_ended(code: int) -> str:
    """Return in words what the exit code of a process without a result means."""
    if code >= 0:
        return f"ended by itself with exit code {code} and without a result"
    name = next((known.name for known in signal.Signals if known == -code), f"signal {-code}")
    return f"killed by {name} ({signal.strsignal(-code)})"


@contextmanager
def at_most(memory_limit: float | None) -> Iterator[None]:
    """Let this process allocate `memory_limit` GiB more than it has; None: as much as there is.

    The limit is on private writable memory (RLIMIT_DATA), which unlike the address space leaves
    out mapped files and what the driver of a GPU reserves. Only Linux enforces it.
    """
    if memory_limit is None or not sys.platform.startswith("linux"):
        yield
        return
    with open("/proc/self/statm") as file:
        used = int(file.read().split()[5]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    allowed = used + int(memory_limit * 2**30)
    if hard != resource.RLIM_INFINITY:
        allowed = min(allowed, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (allowed, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))  # a report needs memory too


def die_with(parent: int) -> None:
    """Have this process killed as soon as its parent, the process `parent`, is dead."""
    try:
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    except AttributeError:  # only Linux has it
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    if os.getppid() != parent:
        os._exit(1)


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(HEARTBEAT)
    os._exit(1)


@contextmanager
def killed_by_closing(channel: Channel) -> Iterator[None]:
    """Have the kernel kill this process if the channel closes meanwhile, even amid an import.

    A socket can send a signal when something happens to it, which kills by default; and while the
    job is set up nothing else happens to this one. Elsewhere than on Linux it has no effect.
    """
    fd = channel.socket.fileno()
    flags = fcntl.fcntl(fd, fcntl.F_GETFL)
    fcntl.fcntl(fd, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(fd, fcntl.F_SETFL, flags | os.O_ASYNC)
    try:
        yield
    finally:
        fcntl.fcntl(fd, fcntl.F_SETFL, flags)
