"""Python processes that exchange JSON messages with the process that starts them.

A socket pair connects the two: the parent holds a `JsonProcess`, and the new process calls
`connect_to_parent`. Fork servers, actors and the workers of the leaderboard are such processes.
They are fresh interpreters, because torch hangs in the fork of a process that has used it.
"""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections.abc import Mapping
from contextlib import suppress
from typing import IO, Any

from nasgym.errors import NasgymError
from nasgym.execution.json_lines import JsonLines

CLOSE_WITHIN = 0.5
"""Seconds that a process has to exit after its connection closes; then it is killed."""

PARENT_CHECK_INTERVAL = 0.4
"""Maximum seconds between two checks that the parent is alive."""

ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
"""Environment of a process: threads do not survive a fork, and all processes share the cores."""


# In the parent ------------------------------------------------------------------------------------


class ProcessLost(NasgymError):
    """A process died or does not answer; the message says why."""


class JsonProcess:
    """A Python process in a session of its own that receives and sends JSON messages.

    The process ends when `close` is called, when this object is garbage-collected, or when the
    interpreter exits. In a fork of the owner, all of these leave the process alone.
    """

    def __init__(self, module: str, *, log: bool = True) -> None:
        """Start a process that calls `main()` of `module`; it can import all this one can.

        With `log`, standard error is kept to explain a ProcessLost; otherwise it is inherited.
        """
        here, there = socket.socketpair()
        self._connection = JsonLines(here)
        self._log = tempfile.TemporaryFile() if log else None  # noqa: SIM115 (`close` closes it)
        with there:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", f"from {module} import main; main()"],
                stdin=there.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=self._log,
                env=os.environ | ONE_THREAD | {"PYTHONPATH": os.pathsep.join(import_path())},
                start_new_session=True,  # only the parent handles Ctrl-C in the terminal
            )
        self.close = weakref.finalize(self, _close, os.getpid(), self._process, here, self._log)

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the process is running."""
        return self._process.poll() is None

    def fileno(self) -> int:
        """Return the file descriptor that becomes readable when a message arrives."""
        return self._connection.socket.fileno()

    def send(self, message: Mapping[str, Any], timeout: float | None = None) -> None:
        """Send one message; if that fails, kill the process: the next `receive` reports it."""
        self._connection.socket.settimeout(timeout)
        try:
            self._connection.send(message)
        except OSError:
            _kill(self._process)

    def receive(self, timeout: float | None = None) -> list[dict[str, Any]]:
        """Wait for data and return all complete messages, possibly none.

        Raises ProcessLost if the process is dead, TimeoutError after `timeout` seconds of silence.
        """
        self._connection.socket.settimeout(timeout)
        try:
            return self._connection.receive()
        except (EOFError, ConnectionError):
            raise ProcessLost(self._reason()) from None

    def terminate(self, timeout: float) -> None:
        """Send SIGTERM and wait up to `timeout` seconds for the process to exit."""
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout)

    def _reason(self) -> str:
        """Return the last line the process logged if it failed by itself, else its exit code."""
        code = self._process.wait()
        if code > 0 and self._log is not None:
            self._log.seek(0)
            if log := self._log.read().decode(errors="replace").strip():
                return log.split("\n")[-1]
        return describe_exit(code)


def import_path() -> list[str]:
    """Return the search path for modules, with absolute entries, for another process."""
    return [entry or os.getcwd() for entry in sys.path]


def describe_exit(code: int) -> str:
    """Describe the exit code of a process that left no result."""
    if code >= 0:
        return f"ended by itself with exit code {code} and without a result"
    name = next((known.name for known in signal.Signals if known == -code), f"signal {-code}")
    return f"killed by {name} ({signal.strsignal(-code)})"


def _close(
    owner: int, process: subprocess.Popen[bytes], connection: socket.socket, log: IO[bytes] | None
) -> None:
    """Close the connection so that the process exits; kill it if it does not.

    In a fork of the owner, only close the files.
    """
    connection.close()
    if log is not None:
        log.close()
    if os.getpid() != owner:
        return
    try:
        process.wait(CLOSE_WITHIN)
    except subprocess.TimeoutExpired:
        _kill(process)
        process.wait()


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and what it started in its process group, unless it has exited."""
    if process.poll() is None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)


# In the process -----------------------------------------------------------------------------------


def connect_to_parent() -> JsonLines:
    """Return the connection to the `JsonProcess`; standard input is empty from now on."""
    connection = JsonLines(socket.socket(fileno=os.dup(0)))
    with open(os.devnull) as empty:
        os.dup2(empty.fileno(), 0)
    return connection


def die_with_parent(parent: int) -> None:
    """Have this process killed as soon as its parent, whose process id is given, dies."""
    try:
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    except AttributeError:  # only Linux has it
        threading.Thread(target=_watch_parent, args=(parent,), daemon=True).start()
    if os.getppid() != parent:
        os._exit(1)


def _watch_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(PARENT_CHECK_INTERVAL)
    os._exit(1)
