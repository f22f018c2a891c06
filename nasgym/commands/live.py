"""What a search shows while it runs: a live panel in a terminal, plain lines elsewhere."""

import json
import sys
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import TracebackType
from typing import IO, Self

from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, DownloadColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.progress import Progress as Bars
from rich.table import Table

from nasgym.archive import Trial

RATE_OVER = 60.0
"""Seconds over which children a minute are counted."""


class Progress:
    """How far a search is: counts, the best so far, pace and the time left."""

    def __init__(self, done: int, budget: int, best: Trial | None) -> None:
        """Begin at `done` of `budget` children, the best of which was `best`."""
        self.done, self.budget, self.best = done, budget, best
        self.failed = 0
        self._finished: deque[float] = deque([time.monotonic()])

    def add(self, trial: Trial) -> None:
        """Count a finished child."""
        self.done = trial.number + 1
        self.failed += trial.status != "ok"
        if trial.status == "ok" and (self.best is None or trial.reward > self.best.reward):
            self.best = trial
        self._finished.append(time.monotonic())
        while self._finished[-1] - self._finished[0] > RATE_OVER and len(self._finished) > 10:
            self._finished.popleft()

    @property
    def per_minute(self) -> float:
        """Return the children finished a minute, of late."""
        seconds = time.monotonic() - self._finished[0]
        return 60 * (len(self._finished) - 1) / max(seconds, 1e-9)

    @property
    def left(self) -> str:
        """Return the time left at this pace, as h:mm:ss; "?" before the first child."""
        if len(self._finished) < 2:
            return "?"
        minutes = (self.budget - self.done) / self.per_minute
        seconds = round(60 * minutes)
        return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


class Panel(ABC):
    """What is shown live in a terminal; use it as a context manager.

    Where the console is no terminal, or one JSON object a line is asked for, nothing is.
    """

    def __init__(self, console: Console, *, as_json: bool = False) -> None:
        """Show on `console`; with `as_json` one JSON object a line, whatever the console is."""
        self.console = console
        self.as_json = as_json
        live = console.is_terminal and not as_json
        self._live = Live(self, console=console, refresh_per_second=4) if live else None

    @abstractmethod
    def __rich__(self) -> Table:
        """Return the panel as it is now."""

    def __enter__(self) -> Self:
        """Start the live panel, if there is one."""
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Leave the last state of the panel on the screen."""
        if self._live:
            self._live.stop()


class Display(Panel):
    """A listener that shows each trial."""

    def __init__(self, progress: Progress, console: Console, *, as_json: bool = False) -> None:
        """Show how far `progress` is; see `Panel`."""
        super().__init__(console, as_json=as_json)
        self.progress = progress
        self._full = False

    def show(self, trial: Trial) -> None:
        """Take in a finished child."""
        self.progress.add(trial)
        if self.as_json:
            self._write(trial_json(trial))
        elif self._live is None:
            self._write(self._line(trial))

    def _write(self, line: str) -> None:
        """Write a line; output into a file on a full disk costs one warning and no child."""
        if self._full:
            return
        try:
            write_line(self.console.file, line)
        except BrokenPipeError:  # nobody reads any more
            raise
        except OSError as error:
            self._full = True
            with suppress(OSError):
                print(f"no more is shown, but the search goes on: {error}", file=sys.stderr)

    def _line(self, trial: Trial) -> str:
        progress, outcome = self.progress, trial.status + (", cached" if trial.cached else "")
        best = "" if progress.best is None else f"  best {progress.best.reward:.4g}"
        return (
            f"{progress.done}/{progress.budget}  child {trial.number}  reward {trial.reward:.4g} "
            f"({outcome}){best}  {progress.per_minute:.0f} a minute  {progress.left} left"
        )

    def __rich__(self) -> Table:
        """Return the panel as it is now."""
        table = Table.grid(padding=(0, 3))
        for row in rows(self.progress):
            table.add_row(*row)
        return table


def rows(progress: Progress) -> Iterator[tuple[str, str]]:
    """Yield how far a search is, in rich's markup; its pace as soon as there is one."""
    done = min(1.0, progress.done / progress.budget)
    bar = "━" * round(30 * done) + "[dim]" + "━" * (30 - round(30 * done)) + "[/dim]"
    yield f"[green]{bar}[/green]", f"{progress.done} of {progress.budget} children"
    if progress.best is not None:
        best = f"{progress.best.reward:.4g} [dim](child {progress.best.number})[/dim]"
        yield "best reward so far", best
    if progress.failed:
        yield "failed", f"[red]{progress.failed}[/red]"
    if progress.left != "?":
        yield "pace", f"{progress.per_minute:.0f} children a minute"
        yield "time left", progress.left


@contextmanager
def downloading(console: Console) -> Iterator[Callable[[int, int], None]]:
    """Show a bar for a download; gives what to call with the bytes so far and in all."""
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Bars(*columns, console=console) as bars:
        task = bars.add_task("", total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)


def write_line(file: IO[str], line: str) -> None:
    """Write one line at once, so that whoever reads it knows the trial is on disk."""
    file.write(line + "\n")
    file.flush()


def trial_json(trial: Trial) -> str:
    """Return what matters about a trial as one line of JSON."""
    return json.dumps(
        {
            "child": trial.number,
            "reward": trial.reward,
            "accuracy": trial.accuracy,
            "status": trial.status,
            "seconds": trial.seconds,
            "cached": trial.cached,
            "tokens": list(trial.tokens),
        }
    )
