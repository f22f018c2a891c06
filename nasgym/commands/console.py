"""Output of the commands: text, and progress as a live panel in a terminal or as plain lines."""

import json
import sys
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import asdict
from typing import IO, TYPE_CHECKING, Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.progress_bar import ProgressBar
from rich.table import Table

from nasgym.archive import Trial

if TYPE_CHECKING:
    from nasgym.training.final.run import Step

OUT = Console(highlight=False)

PACE_SECONDS = 60.0
"""The pace is measured over this many seconds, or over more if they hold too few steps."""

PACE_STEPS = 10
"""Smallest number of steps over which the pace is measured, once there are as many."""

BAR_WIDTH = 60

STEPS = {"grid": "grid point", "training": "epoch"}
"""The name of a step in each phase of a final training."""


def say(text: str) -> None:
    """Print `text` without markup; long lines are not wrapped."""
    OUT.print(text, soft_wrap=True, markup=False)


def write_line(file: IO[str], line: str) -> None:
    """Write one line and flush, so that its reader knows that the trial is on disk."""
    file.write(line + "\n")
    file.flush()


def clock(seconds: float) -> str:
    """Return a duration as h:mm:ss."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


@contextmanager
def downloading(console: Console) -> Iterator[Callable[[int, int], None]]:
    """Show a bar for a download; gives a function to call with the bytes so far and in all."""
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as bars:
        task = bars.add_task("", total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total)


class Pace:
    """The pace of the latest steps, such as children or epochs."""

    def __init__(self, began: float | None = None) -> None:
        """Start at `began`, a time of `time.monotonic`; by default now."""
        self._times = deque([time.monotonic() if began is None else began])

    def count(self) -> None:
        """Count a step that ends now."""
        self._times.append(time.monotonic())
        while len(self._times) > PACE_STEPS and self._times[-1] - self._times[0] > PACE_SECONDS:
            self._times.popleft()

    @property
    def known(self) -> bool:
        """Whether a step was counted."""
        return len(self._times) > 1

    @property
    def per_minute(self) -> float:
        """Steps a minute."""
        return 60 * (len(self._times) - 1) / max(time.monotonic() - self._times[0], 1e-9)

    def left(self, steps: int) -> str:
        """Return the time that `steps` more steps take, as h:mm:ss; "?" before the first step."""
        if not self.known:
            return "?"
        return clock(60 * steps / self.per_minute)


class Display(ABC):
    """Progress on a console: a live panel in a terminal, else a line for each step."""

    def __init__(self, console: Console, *, as_json: bool = False) -> None:
        """Show on `console`; with `as_json` one JSON object a line, never a panel."""
        self.console = console
        self.as_json = as_json
        self._in_panel = console.is_terminal and not as_json
        self._full = False

    def live(self) -> AbstractContextManager[Any]:
        """Return a context that shows the panel, if there is one, and leaves its last state."""
        if not self._in_panel:
            return nullcontext()
        return Live(get_renderable=self.panel, console=self.console, refresh_per_second=4)

    @abstractmethod
    def panel(self) -> RenderableType:
        """Return the panel in its present state."""

    def write(self, line: str) -> None:
        """Write a line. A full disk behind the output costs one warning, never the work."""
        if self._full:
            return
        try:
            write_line(self.console.file, line)
        except BrokenPipeError:  # nobody reads any more
            raise
        except OSError as error:
            self._full = True
            with suppress(OSError):
                print(f"no further output, but the work continues: {error}", file=sys.stderr)

    def _write_step(self, plain: Mapping[str, Any], line: str) -> None:
        """Write a step as JSON or as a line, unless the panel shows it."""
        if not self._in_panel:
            self.write(json.dumps(plain) if self.as_json else line)


class SearchDisplay(Display):
    """The progress of a search: its budget, its best child, its pace and the time left."""

    def __init__(
        self, done: int, budget: int, best: Trial | None, console: Console, *, as_json: bool = False
    ) -> None:
        """Start at `done` of `budget` children, the best of which is `best`; see `Display`."""
        super().__init__(console, as_json=as_json)
        self.done, self.budget, self.best = done, budget, best
        self.failed = 0
        self._pace = Pace()

    def live(self) -> AbstractContextManager[Any]:
        """See `Display.live`; the pace counts from here, without the preparation."""
        self._pace = Pace()
        return super().live()

    def show(self, trial: Trial) -> None:
        """Show a finished child."""
        self.done = trial.number + 1
        self.failed += trial.status != "ok"
        if trial.status == "ok" and (self.best is None or trial.reward > self.best.reward):
            self.best = trial
        self._pace.count()
        self._write_step(trial_to_plain(trial), self._line(trial))

    def rows(self) -> Iterator[tuple[str, str]]:
        """Yield names and values, in rich's markup; the pace as soon as it is known."""
        yield "progress", f"{self.done} of {self.budget} children"
        if self.best is not None:
            best = f"{self.best.reward:.4g} [dim](child {self.best.number})[/dim]"
            yield "best reward so far", best
        if self.failed:
            yield "failed", f"[red]{self.failed}[/red]"
        if self._pace.known:
            yield "pace", f"{self._pace.per_minute:.0f} children a minute"
            yield "time left", self._time_left

    def panel(self) -> RenderableType:
        """Return the bar and the rows in their present state."""
        return _panel(self.done, self.budget, self.rows())

    @property
    def _time_left(self) -> str:
        return self._pace.left(self.budget - self.done)

    def _line(self, trial: Trial) -> str:
        outcome = trial.status + (", cached" if trial.cached else "")
        best = "" if self.best is None else f"  best {self.best.reward:.4g}"
        pace = f"{self._pace.per_minute:.0f} a minute  {self._time_left} left"
        return (
            f"{self.done}/{self.budget}  child {trial.number}  reward {trial.reward:.4g} "
            f"({outcome}){best}  {pace}"
        )


class TrainingDisplay(Display):
    """The progress of a final training: its grid, if there is one, then its epochs."""

    def __init__(self, console: Console, *, as_json: bool = False) -> None:
        """Start without a step; see `Display`."""
        super().__init__(console, as_json=as_json)
        self._last: dict[str, Step] = {}
        self._pace = Pace()

    def show(self, step: "Step") -> None:
        """Show a step. A step of 0 seconds, from an earlier process, does not count as pace."""
        if step.phase not in self._last:
            self._pace = Pace(began=time.monotonic() - step.seconds)
        self._last[step.phase] = step
        if step.seconds:
            self._pace.count()
        self._write_step(asdict(step), self._line(step))

    def panel(self) -> RenderableType:
        """Return a bar and rows for each phase in their present state."""
        return Group(
            *(_panel(step.done, step.total, self._rows(step)) for step in self._last.values())
        )

    def _rows(self, step: "Step") -> Iterator[tuple[str, str]]:
        yield "progress", f"{STEPS[step.phase]} {step.done} of {step.total}"
        yield "last", escape(_outcome(step))
        if step.done < step.total:
            yield "time left", self._pace.left(step.total - step.done)

    def _line(self, step: "Step") -> str:
        rest = step.total - step.done
        left = f"  {self._pace.left(rest)} left" if rest else ""
        return f"{STEPS[step.phase]} {step.done}/{step.total}  {_outcome(step)}{left}"


def trial_to_plain(trial: Trial) -> dict[str, Any]:
    """Return the essentials of a trial as JSON-able data."""
    return {
        "child": trial.number,
        "reward": trial.reward,
        "accuracy": trial.accuracy,
        "status": trial.status,
        "seconds": trial.seconds,
        "cached": trial.cached,
        "tokens": list(trial.tokens),
    }


def _panel(done: int, total: int, rows: Iterator[tuple[str, str]]) -> RenderableType:
    table = Table.grid(padding=(0, 3))
    for row in rows:
        table.add_row(*row)
    panel = Table.grid()
    panel.add_row(ProgressBar(total=total, completed=done, width=BAR_WIDTH))
    panel.add_row(table)
    return panel


def _outcome(step: "Step") -> str:
    """Return the result of a step in words."""
    if step.phase == "training":
        return _numbers(step.outcome, "loss", "perplexity", "accuracy")
    evaluation = step.outcome["evaluation"]
    if evaluation["status"] != "ok":
        return str(evaluation["error"])
    measures = {**evaluation["metrics"], "accuracy": evaluation["accuracy"]}
    return _numbers(measures, "perplexity", "accuracy")


def _numbers(values: Mapping[str, Any], *names: str) -> str:
    return "  ".join(f"{name} {values[name]:.4g}" for name in names if name in values)
