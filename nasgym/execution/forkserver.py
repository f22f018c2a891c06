"""The fork server: a process that pays for imports and data once, then forks a child per task.

`nasgym.execution.local.Pool` starts it and sends it tasks. It stays single-threaded, because a
fork copies only the thread that calls it, and torch hangs in the fork of a process that has used
several. A child may crash, hang, leak or fill the memory: the damage ends with its process. The
fork server kills children that exceed their limits, and ends with its parent.
"""

import faulthandler
import fcntl
import gc
import math
import os
import pkgutil
import resource
import selectors
import signal
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

from nasgym.evaluation.evaluation import LONGEST_ERROR
from nasgym.execution.child import Child, Job, OutputPipe, train
from nasgym.execution.json_lines import MAX_MESSAGE, JsonLines
from nasgym.execution.json_process import (
    PARENT_CHECK_INTERVAL,
    connect_to_parent,
    die_with_parent,
)


def main() -> None:
    """Set up the job that the first message names, then serve."""
    connection = connect_to_parent()
    faulthandler.enable()
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    setup = next(iter(connection))
    with killed_on_close(connection):
        if os.getppid() != setup["parent"]:
            return  # the parent died before the signal was set up
        job = pkgutil.resolve_name(setup["job"])(setup["settings"])
    # Garbage collection in a child would touch, and so copy, every object allocated so far.
    gc.collect()
    gc.freeze()
    ForkServer(connection, job, setup["time_limit"], setup["memory_limit"]).serve(setup["parent"])


class ForkServer:
    """The event loop: fork children, enforce the time limit, report evaluations."""

    def __init__(
        self,
        connection: JsonLines,
        job: Job,
        time_limit: float | None,
        memory_limit: float | None,
    ) -> None:
        """Run `job` in children limited to `time_limit` seconds and `memory_limit` GiB."""
        self.connection = connection
        self.job = job
        self.time_limit = math.inf if time_limit is None else time_limit
        self.memory_limit = memory_limit
        self.children: dict[int, Child] = {}
        # Not epoll: the children would share it after the fork.
        self.selector = selectors.PollSelector()
        self.selector.register(connection.socket, selectors.EVENT_READ, self._receive)

    def serve(self, parent: int) -> None:
        """Serve until the connection closes or the process `parent` dies; then kill all children.

        The parent is checked too because a fork of it may hold the connection open when it dies.
        """
        self._wake_on_sigchld()
        try:
            self.connection.send({"ready": True})
            while os.getppid() == parent:
                for key, _ in self.selector.select(self._timeout()):
                    key.data()
                self._kill_overdue()
                self._reap()
        except (EOFError, ConnectionError):
            pass
        finally:
            for child in self.children.values():
                child.kill()
                os.waitpid(child.pid, 0)

    def _wake_on_sigchld(self) -> None:
        self._wakeup, awake = socket.socketpair()
        self._wakeup.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wakeup.fileno(), warn_on_full_buffer=False)
        self.selector.register(awake, selectors.EVENT_READ, lambda: awake.recv(2**12))

    def _timeout(self) -> float:
        """Return the seconds until a child exceeds its limit or the parent must be checked."""
        on_time = (child.started for child in self.children.values() if not child.overdue)
        deadline = min(on_time, default=math.inf) + self.time_limit
        return min(PARENT_CHECK_INTERVAL, max(0.0, deadline - time.monotonic()))

    def _receive(self) -> None:
        for message in self.connection.receive():
            if "task" in message:
                self._fork(message["ticket"], message["task"])
            else:
                self.connection.send({"pong": True})

    def _fork(self, ticket: int, task: Mapping[str, Any]) -> None:
        result = OutputPipe(self.selector, MAX_MESSAGE)
        errors = OutputPipe(self.selector, 4 * LONGEST_ERROR)
        server = os.getpid()
        pid = os.fork()
        if pid == 0:
            self._run_child(task, server, result.write_end, errors.write_end)
        with suppress(OSError):  # both processes call it, because either may run first
            os.setpgid(pid, pid)
        os.close(result.write_end)
        os.close(errors.write_end)
        self.children[pid] = Child(ticket, pid, result, errors)

    def _run_child(
        self, task: Mapping[str, Any], server: int, result: int, errors: int
    ) -> NoReturn:
        """Run the job in the child's process, write the evaluation to `result`, and exit."""
        try:
            with suppress(OSError):
                os.setpgid(0, 0)
            die_with_parent(server)
            os.dup2(errors, 2)
            self.connection.socket.close()
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            line = train(self.job, task, self.memory_limit)
            while line:
                line = line[os.write(result, line) :]
        finally:
            # Skip the interpreter's shutdown: it is slow, and would flush the server's buffers.
            os._exit(0)

    def _kill_overdue(self) -> None:
        latest = time.monotonic() - self.time_limit
        for child in self.children.values():
            if child.started <= latest and not child.overdue:
                child.overdue = True
                child.kill()

    def _reap(self) -> None:
        for child in list(self.children.values()):
            pid, status = os.waitpid(child.pid, os.WNOHANG)
            if pid:
                del self.children[pid]
                child.kill()  # processes that it started may still be running
                plain = child.outcome(os.waitstatus_to_exitcode(status), self.time_limit)
                self.connection.send({"ticket": child.ticket, "evaluation": plain})


@contextmanager
def killed_on_close(connection: JsonLines) -> Iterator[None]:
    """Have the kernel kill this process if the connection closes meanwhile, even during an import.

    With O_ASYNC, activity on the socket raises SIGIO, whose default action kills the process.
    The parent sends nothing before the job is set up. This works on Linux only.
    """
    fd = connection.socket.fileno()
    flags = fcntl.fcntl(fd, fcntl.F_GETFL)
    fcntl.fcntl(fd, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(fd, fcntl.F_SETFL, flags | os.O_ASYNC)
    try:
        yield
    finally:
        fcntl.fcntl(fd, fcntl.F_SETFL, flags)
