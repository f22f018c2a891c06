"""`nasgym leaderboard`: compare any agents on any tasks at equal budgets."""

import signal
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TimeRemainingColumn

from nasgym.commands.console import OUT, clock, say, write_line
from nasgym.commands.flags import default
from nasgym.execution.machine import cores

if TYPE_CHECKING:
    from nasgym.benchmarks.leaderboard.entries import LeaderboardEntry
    from nasgym.benchmarks.leaderboard.run_pool import RunProgress

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


PACE_OVER = 600.0
"""The time left follows from the pace over this many seconds."""


@dataclass(frozen=True)
class LeaderboardCommand:
    """Compare agents on tasks: do the missing runs, score all, write tables and a page."""

    tasks: tuple[str, ...] = TASKS
    """Tasks: names in nasgym/benchmarks/leaderboard/tasks.py or ids of environments, with options
    such as NAS-Bench-201-v0:dataset=cifar100,epochs=12."""
    agents: tuple[str, ...] = AGENTS
    """Agents: names or package.module:Class, with options such as reinforce:preset=short."""
    seeds: int = 20
    """Runs of each agent on a task."""
    budget: int = 300
    """Budget of each run: number of children to finish."""
    workers: Annotated[int | None, default("one per core")] = None
    """Runs at the same time. The results do not depend on it."""
    out: Path = Path("runs/leaderboard")
    """Folder of all runs, LEADERBOARD.md, leaderboard.html, scores.csv and figures."""

    def main(self) -> None:
        """Do the missing runs and print the paths written; exit with 1 if a run failed."""
        from nasgym.benchmarks.leaderboard.leaderboard import Leaderboard

        board = Leaderboard(self.tasks, self.agents, self.seeds, self.budget, self.out)
        progress = LeaderboardProgress(len(board.entries()), board.missing(), OUT)
        try:
            with progress.bars, closing(board.play(self.workers or cores())) as all_news:
                for news in all_news:
                    progress.show(news)
        except KeyboardInterrupt:
            say("stopped; finished children are kept. Resume with:\n  " + board.command())
            sys.exit(128 + signal.SIGINT)
        for path in board.write():
            say(str(path))
        if progress.failed:
            say(f"{progress.failed} runs failed; see error.txt in the folder of each")
            sys.exit(1)


class LeaderboardProgress:
    """Progress of the leaderboard's runs: bars in a terminal, else a line per finished run."""

    def __init__(self, total: int, missing: Sequence["LeaderboardEntry"], console: Console) -> None:
        """Start with `missing` of `total` runs to do."""
        self.total, self.over, self.failed = total, total - len(missing), 0
        columns = (BarColumn(), MofNCompleteColumn(), "children", TimeRemainingColumn())
        self.bars = Progress(
            "{task.description}",
            *columns,
            console=console,
            speed_estimate_period=PACE_OVER,
            disable=not console.is_terminal,
        )
        self._all = self.bars.add_task(self._counts(), total=sum(one.children for one in missing))
        self._done = {entry: 0 for entry in missing}
        self._running: dict[LeaderboardEntry, TaskID] = {}

    def show(self, news: "RunProgress") -> None:
        """Show the progress of a run."""
        entry, done = news.entry, news.entry.children if news.over else news.done
        if entry not in self._running:
            self._running[entry] = self.bars.add_task(escape(_name(entry)), total=entry.children)
        self.bars.update(self._running[entry], completed=done)
        self.bars.advance(self._all, done - self._done[entry])
        self._done[entry] = done
        if news.over:
            self.bars.remove_task(self._running.pop(entry))
            self.over += 1
            self.failed += bool(news.failure)
            self.bars.update(self._all, description=self._counts())
            if self.bars.disable:
                outcome = f"failed: {news.failure}" if news.failure else "finished"
                counts, left = f"{self.over}/{self.total}", self._time_left()
                line = f"{counts}  {_name(entry)}  {outcome}  {left} left"
                write_line(self.bars.console.file, line)

    def _counts(self) -> str:
        failed = f", [red]{self.failed} failed[/red]" if self.failed else ""
        return f"{self.over} of {self.total} runs{failed}"

    def _time_left(self) -> str:
        """Return the time left at the latest pace, as h:mm:ss; "?" if there is no pace yet."""
        left = self.bars.tasks[0].time_remaining
        return "?" if left is None else clock(left)


def _name(entry: "LeaderboardEntry") -> str:
    return f"{entry.task}  {entry.agent}  seed {entry.seed}"
