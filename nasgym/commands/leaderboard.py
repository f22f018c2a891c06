"""`nasgym leaderboard`: any agents on any tasks, at equal budgets."""

import signal
import sys
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from nasgym.commands.live import Panel, write_line
from nasgym.commands.terminal import OUT, say
from nasgym.execution.machine import cores

if TYPE_CHECKING:
    from nasgym.benchmarks.leaderboard.entries import Entry
    from nasgym.benchmarks.leaderboard.run_pool import Progress

TASKS = (
    "nas-bench-201/cifar10",
    "nas-bench-201/cifar100",
    "nas-bench-macro",
    "digits-table",
    "digits-table/noisy",
)
AGENTS = (
    "random",
    "local_search",
    "evolution:population=10,sample=3",
    "reinforce:preset=short",
    "ppo",
    "a2c",
    "maskable_ppo",
    "model_based",
)


@dataclass(frozen=True)
class Leaderboard:
    """Compare agents on tasks: run what is missing, score all runs, write tables and a page."""

    tasks: tuple[str, ...] = TASKS
    """Tasks: names as in nasgym/benchmarks/tasks.py or ids of environments, with options as in
    NAS-Bench-201-v0:dataset=cifar100,epochs=12."""
    agents: tuple[str, ...] = AGENTS
    """Agents: names or package.module:Class, with options as in reinforce:preset=short."""
    seeds: int = 20
    """Runs of each agent on a task."""
    budget: int = 300
    """Children in a run."""
    workers: int | None = None
    """Runs at the same time; results do not depend on it. [one a core]"""
    out: Path = Path("runs/leaderboard")
    """Folder of all runs, LEADERBOARD.md, leaderboard.html, scores.csv and figures."""

    def main(self) -> None:
        """Run what is missing and say what was written; exits with 1 if a run failed."""
        from nasgym.benchmarks.leaderboard.leaderboard import Leaderboard as Board

        board = Board(self.tasks, self.agents, self.seeds, self.budget, self.out)
        entries, missing = board.entries(), board.missing()
        failures = {}
        try:
            with (
                Games(len(entries), missing, OUT) as games,
                closing(board.play(self.workers or cores())) as news,
            ):
                for one in news:
                    games.show(one)
                    if one.failure:
                        failures[one.entry] = one.failure
        except KeyboardInterrupt:
            say("stopped; nothing finished is lost. Go on with:\n  " + board.command())
            sys.exit(128 + signal.SIGINT)
        for path in board.write():
            say(str(path))
        if failures:
            say(f"{len(failures)} runs failed; each has an error.txt in its folder")
            sys.exit(1)


class Games(Panel):
    """Shows how far the runs are."""

    def __init__(self, total: int, missing: Sequence["Entry"], console: Console) -> None:
        """Begin with `missing` of `total` runs to be done."""
        super().__init__(console)
        self.total, self.over = total, total - len(missing)
        self.failed = 0
        self._left = sum(entry.children for entry in missing)
        self._done: dict[Entry, int] = {}
        self._running: dict[Entry, int] = {}
        self._began = time.monotonic()

    def show(self, news: "Progress") -> None:
        """Take in news of a run."""
        self._done[news.entry] = self._running[news.entry] = news.done
        if not news.over:
            return
        self._done[news.entry] = news.entry.children
        self._running.pop(news.entry)
        self.over += 1
        self.failed += bool(news.failure)
        if self._live is None:
            outcome = f"failed: {news.failure}" if news.failure else "finished"
            done, left = f"{self.over}/{self.total}", self._time_left()
            write_line(self.console.file, f"{done}  {_name(news.entry)}  {outcome}  {left} left")

    def _time_left(self) -> str:
        """Return the time left at the mean pace of all children, as h:mm:ss; "?" before one."""
        done = sum(self._done.values())
        if not done:
            return "?"
        seconds = round((time.monotonic() - self._began) * (self._left - done) / done)
        return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"

    def __rich__(self) -> Table:
        """Return the panel as it is now."""
        table = Table.grid(padding=(0, 3))
        full = round(30 * self.over / self.total)
        bar = "[green]" + "━" * full + "[dim]" + "━" * (30 - full) + "[/dim][/green]"
        failed = f"   [red]{self.failed} failed[/red]" if self.failed else ""
        table.add_row(bar, f"{self.over} of {self.total} runs{failed}")
        for entry, done in self._running.items():
            table.add_row(_name(entry), f"{done} of {entry.children} children")
        table.add_row("time left", self._time_left())
        return table


def _name(entry: "Entry") -> str:
    return f"{entry.task}  {entry.agent}  seed {entry.seed}"
