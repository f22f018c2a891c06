"""`nasgym watch`: show the progress of a search in another process."""

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

from nasgym.archive import Archive, Trial
from nasgym.commands.console import OUT, SearchDisplay, say
from nasgym.evaluation.evaluation import score
from nasgym.search.run import Run

SECONDS = 1.0
"""Seconds between two reads of the archive."""

LATEST = 50
"""Number of last children in the mean reward."""


@dataclass(frozen=True)
class Watch:
    """Watch a search in another process until its budget is spent or Ctrl-C.

    Watching only reads the archive and never delays the search.
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
            display = WatchDisplay(run, archive, OUT, as_json=self.json)
            if self.once and self.json:
                print(json.dumps(display.to_plain()))
                return
            if self.once:
                for name, value in display.rows():
                    OUT.print(f"{name:<20}  {value}", soft_wrap=True)
                return
            try:
                with display.live():
                    while not display.finished:
                        sleep(SECONDS)
                        display.update(archive)
            except KeyboardInterrupt:  # the usual way to stop watching
                return
        if not self.json:
            say(f"all {display.budget} children are done")


class WatchDisplay(SearchDisplay):
    """The progress of a run, read from its archive."""

    def __init__(self, run: Run, archive: Archive, console: Console, *, as_json: bool) -> None:
        """Start in the present state of `run`; see `SearchDisplay`."""
        counts = archive.counts()
        budget = run.plan.children
        super().__init__(counts.trials, budget, archive.best(), console, as_json=as_json)
        self.run = run
        self.failed = counts.failed
        self._distinct = counts.different
        self._latest = deque(archive[max(0, counts.trials - LATEST) :], maxlen=LATEST)

    @property
    def finished(self) -> bool:
        """Return whether the budget is spent."""
        return self.done >= self.budget

    def update(self, archive: Archive) -> None:
        """Show the trials since the last update."""
        self.budget = Run(self.run.folder).plan.children
        for trial in archive[self.done :]:
            self._distinct += not trial.cached
            self._latest.append(trial)
            self.show(trial)

    def rows(self) -> Iterator[tuple[str, str]]:
        """Yield names and values, in rich's markup."""
        plan = self.run.plan
        yield escape(f"{plan.env}, {plan.agent}"), escape(str(self.run.folder))
        yield from super().rows()
        if self._latest:
            yield "distinct children", f"{self._distinct}"
            yield f"mean of the last {len(self._latest)}", f"{self._mean:.4g}"
            yield "last child", _summary(self._latest[-1])
        if self._process is not None:
            yield "process", f"{self._process}"
        elif not self.finished:
            yield "process", escape(f"none; resume with: {self.run.command}")

    def to_plain(self) -> dict[str, Any]:
        """Return the same values as JSON-able data."""
        best = self.best
        return {
            "folder": str(self.run.folder),
            "env": self.run.plan.env,
            "agent": self.run.plan.agent,
            "children": self.done,
            "budget": self.budget,
            "different": self._distinct,
            "failed": self.failed,
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


def _summary(trial: Trial) -> str:
    outcome = score(trial) if trial.status == "ok" else trial.status
    return f"child {trial.number}: reward {trial.reward:.4g}, {escape(outcome)}"
