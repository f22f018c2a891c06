"""`nasgym watch`: the live view of a run that goes on elsewhere."""

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
"""Between two looks into the archive."""

LATEST = 50
"""Children that the mean reward is of."""


@dataclass(frozen=True)
class Watch:
    """Watch a run that goes on elsewhere, until its budget is spent or Ctrl-C.

    It only reads: the search never waits for it, whatever happens to it.
    """

    run: Annotated[Path, tyro.conf.Positional]
    """Folder of the run."""
    once: bool = False
    """Say how far it is, and stop."""
    json: bool = False
    """Print JSON instead of text: an object a child, or with --once one in all."""

    def main(self) -> None:
        """Watch."""
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
            except KeyboardInterrupt:  # how one stops watching: no failure
                return
        if not self.json:
            say(f"all {view.progress.budget} children are done")


class View(Panel):
    """What is to be seen of a run from outside."""

    def __init__(self, run: Run, archive: Archive, console: Console, *, as_json: bool) -> None:
        """Show `run` as its archive is now; see `Panel`."""
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
        """Take in what happened since the last look."""
        self.progress.budget = Run(self.run.folder).plan.children
        for trial in archive[self.progress.done :]:
            self._lines.show(trial)
            self._different += not trial.cached
            self._latest.append(trial)

    def rows(self) -> Iterator[tuple[str, str]]:
        """Yield what there is to see, in rich's markup."""
        plan = self.run.plan
        yield escape(f"{plan.env}, {plan.agent}"), escape(str(self.run.folder))
        yield from rows(self.progress)
        if self._latest:
            yield "different children", f"{self._different}"
            yield f"mean of the last {len(self._latest)}", f"{self._mean:.4g}"
            yield "the last", _words(self._latest[-1])
        if self._process is not None:
            yield "process", f"{self._process}"
        elif not self.finished:
            yield "process", escape(f"none; go on with: {self.run.command}")

    def __rich__(self) -> Table:
        """Return the panel as it is now."""
        table = Table.grid(padding=(0, 3))
        for row in self.rows():
            table.add_row(*row)
        return table

    def to_plain(self) -> dict[str, Any]:
        """Return the same as JSON-able data."""
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
        """Return the process that searches, None if there is none on this machine."""
        try:
            process = int((self.run.folder / "search.pid").read_text())
            os.kill(process, 0)
        except (OSError, ValueError):
            return None
        return process


def _words(trial: Trial) -> str:
    outcome = score(trial) if trial.status == "ok" else trial.status
    return f"child {trial.number}: reward {trial.reward:.4g}, {escape(outcome)}"
