"""A backend that trains children in the calling process, for debugging."""

import traceback
from collections.abc import Callable, Mapping
from functools import partial
from pkgutil import resolve_name
from typing import Any

from nasgym.evaluation.evaluation import Evaluation
from nasgym.execution.memory_limit import lacks_memory
from nasgym.execution.scheduler import Task


class InProcessBackend:
    """A backend that trains in this process, one child after the other, without limits."""

    workers = 1

    def __init__(self, job: str, settings: Mapping[str, Any]) -> None:
        """Have `job` set up with `settings` when the first child is trained."""
        self._set_up = partial(resolve_name(job), settings)
        self._run: Callable[[Task], Mapping[str, Any]] | None = None
        self._begun: list[tuple[int, Task]] = []

    def begin(self, ticket: int, task: Task) -> None:
        """Keep a task for `ended`."""
        self._begun.append((ticket, task))

    def ended(self) -> list[tuple[int, Evaluation]]:
        """Train the children that were begun; if that is interrupted, the next call repeats it."""
        ended = [(ticket, self._trained(task)) for ticket, task in self._begun]
        self._begun = []
        return ended

    def stop(self) -> None:
        """Drop the children that were begun."""
        self._begun = []

    def _trained(self, task: Task) -> Evaluation:
        self._run = self._run or self._set_up()
        try:
            return Evaluation.from_plain(self._run(task))
        except Exception:
            status = "oom" if lacks_memory(traceback.format_exc()) else "exception"
            return Evaluation(status=status, error=traceback.format_exc())
