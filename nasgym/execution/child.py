"""A child's process as the fork server sees it, and the call of its job inside."""

import json
import os
import selectors
import signal
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from nasgym.evaluation.evaluation import Evaluation
from nasgym.execution.json_lines import encode
from nasgym.execution.json_process import describe_exit
from nasgym.execution.memory_limit import lacks_memory, limited_memory

Job = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""Trains one child: takes a task and returns the plain form of an `Evaluation`."""


class OutputPipe:
    """A pipe from a child; keeps the last `limit` bytes."""

    def __init__(self, selector: selectors.BaseSelector, limit: int) -> None:
        """Open the pipe and register `read` with `selector`."""
        self.content = b""
        self.read_end, self.write_end = os.pipe()
        os.set_blocking(self.read_end, False)
        self._selector = selector
        self._limit = limit
        selector.register(self.read_end, selectors.EVENT_READ, self.read)

    def read(self) -> bool:
        """Read available data; return whether there may be more."""
        try:
            data = os.read(self.read_end, 2**16)
        except BlockingIOError:
            return False
        if not data:
            self._unregister()
        self.content = (self.content + data)[-self._limit :]
        return bool(data)

    def close(self) -> bytes:
        """Read the rest, close the pipe and return the content."""
        while self.read():
            pass
        self._unregister()
        os.close(self.read_end)
        return self.content

    def _unregister(self) -> None:
        with suppress(KeyError):
            self._selector.unregister(self.read_end)


@dataclass
class Child:
    """A running child."""

    ticket: int
    """The pool's number for this attempt at a task."""
    pid: int
    """Id of its process, and of its process group."""
    result: OutputPipe
    """Receives one line, the evaluation, at the end."""
    errors: OutputPipe
    """Receives its standard error output."""
    started: float = field(default_factory=time.monotonic)
    """Time of the fork, by the monotonic clock."""
    overdue: bool = False
    """Whether it was killed for exceeding the time limit."""

    def kill(self) -> None:
        """Kill it and the processes it has started."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    def outcome(self, code: int, time_limit: float) -> dict[str, Any]:
        """Return its evaluation after it exited with `code`."""
        seconds = time.monotonic() - self.started
        result, errors = self.result.close(), self.errors.close().decode(errors="replace")
        if result.endswith(b"\n"):
            plain: dict[str, Any] = json.loads(result)
            return plain
        if self.overdue:
            status, error = "timeout", f"took longer than the time limit of {time_limit:g} s"
        else:
            status = "oom" if lacks_memory(errors) else "killed" if code < 0 else "exception"
            # faulthandler's list of extension modules would displace the useful lines.
            lines = [line for line in errors.splitlines() if "Extension modules:" not in line]
            error = "\n".join([*lines, describe_exit(code)])
        return Evaluation(status=status, error=error, seconds=seconds).to_plain()


def train(job: Job, task: Mapping[str, Any], memory_limit: float | None) -> bytes:
    """Return the evaluation of `task` as one line of JSON, whatever `job` raises or returns."""
    started = time.monotonic()
    try:
        with limited_memory(memory_limit):
            return encode(Evaluation.from_plain(job(task)).to_plain())
    except BaseException as error:
        status, text = "exception", traceback.format_exc()
        if lacks_memory("".join(traceback.format_exception_only(error))):
            limit = f"the memory limit of {memory_limit:g} GiB" if memory_limit else "there is"
            status, text = "oom", f"{text}needs more memory than {limit}"
        seconds = time.monotonic() - started
        return encode(Evaluation(status=status, error=text, seconds=seconds).to_plain())
