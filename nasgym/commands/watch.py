"""`nasgym watch`: a live view of a run in another process."""

import json
import os
from collections import deque
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from time import sleep
from typing import Annotated, Any

import tyro
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from nasgym.archive import Archive, Trial
from nasgym.commands.live import Display, Panel, Progress, rows
from nasgym.commands.terminal import OUT, say
from nasgym.evaluation.evaluation import score
from nasgym.search.run import Run

SECONDS = 1.0
"""Seconds between two reads of the archive."""

LATEST = 50
"""Number of last children in the mean reward."""


@dataclass(frozen=True)
class Watch:
    """Watch a run in another process until its budget is spent or Ctrl-C.

    Only reads the archive, so it never delays the search.
    """

    run: Annotated[Path, tyro.conf.Positional]
    """Folder of the run."""
    once: bool = False
    """Print the progress once, and stop."""
    json: bool = False
    """Print JSON instead of text: one object per child, or a single one with --once."""

    def main(self) -> None:
        """Show the run until it ends."""
        run = Run(self.run)
        with closing(run.archive()) as archive:
            view = View(run, archive, OUT, as_json=self.json)
            if self.once and self.json:
                print(json.dumps(view.to_plain()))
                return
            if self.once:
                for name, value in view.rows():
                    OUT.print(f"{name:<20}  {value}", soft_wrap=True)
                return
            try:
                with view:
                    while not view.finished:
                        sleep(SECONDS)
                        view.look(archive)
            except KeyboardInterrupt:  # the usual way to stop watching
                return
        if not self.json:
            say(f"all {view.progress.budget} children are done")


class View(Panel):
    """The state of a run, read from its archive."""

    def __init__(self, run: Run, archive: Archive, console: Console, *, as_json: bool) -> None:
        """Show the present state of `run`; see `Panel`."""
        super().__init__(console, as_json=as_json)
        counts = archive.counts()
        self.run = run
        self.progress = Progress(counts.trials, run.plan.children, archive.best())
        self.progress.failed = counts.failed
        self._different = counts.different
        self._latest = deque(archive[max(0, counts.trials - LATEST) :], maxlen=LATEST)
        self._lines = Display(self.progress, console, as_json=as_json)

    @property
    def finished(self) -> bool:
        """Return whether the budget is spent."""
        return self.progress.done >= self.progress.budget

    def look(self, archive: Archive) -> None:
        """Read the trials since the last read."""
        self.progress.budget = Run(self.run.folder).plan.children
        for trial in archive[self.progress.done :]:
            self._lines.show(trial)
            self._different += not trial.cached
            self._latest.append(trial)

    def rows(self) -> Iterator[tuple[str, str]]:
        """Yield the names and values to show, in rich's markup."""
        plan = self.run.plan
        yield escape(f"{plan.env}, {plan.agent}"), escape(str(self.run.folder))
        yield from rows(self.progress)
        if self._latest:
            yield "distinct children", f"{self._different}"
            yield f"mean of the last {len(self._latest)}", f"{self._mean:.4g}"
            yield "last child", _words(self._latest[-1])
        if self._process is not None:
            yield "process", f"{self._process}"
        elif not self.finished:
            yield "process", escape(f"none; continue with: {self.run.command}")

    def __rich__(self) -> Table:
        """Return the panel in its present state."""
        table = Table.grid(padding=(0, 3))
        for row in self.rows():
            table.add_row(*row)
        return table

    def to_plain(self) -> dict[str, Any]:
        """Return the same values as JSON-able data."""
        best = self.progress.best
        return {
            "folder": str(self.run.folder),
            "env": self.run.plan.env,
            "agent": self.run.plan.agent,
            "children": self.progress.done,
            "budget": self.progress.budget,
            "different": self._different,
            "failed": self.progress.failed,
            "best": None if best is None else {"child": best.number, "reward": best.reward},
            "mean": self._mean if self._latest else None,
            "searching": self._process is not None,
        }

    @property
    def _mean(self) -> float:
        return sum(trial.reward for trial in self._latest) / len(self._latest)

    @property
    def _process(self) -> int | None:
        """Return the id of the search's process, None if none runs on this machine."""
        try:
            process = int((self.run.folder / "search.pid").read_text())
            os.kill(process, 0)
        except (OSError, ValueError):
            return None
        return process


def _words(trial: Trial) -> str:
    outcome = score(trial) if trial.status == "ok" else trial.status
    return f"child {trial.number}: reward {trial.reward:.4g}, {escape(outcome)}"
