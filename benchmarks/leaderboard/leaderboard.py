"""The leaderboard: any agents on any tasks at equal budgets, run, scored and shown.

`nasgym leaderboard` is its command line.
"""

import csv
import io
import shlex
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

import gymnasium as gym

from nasgym.agents import make
from nasgym.benchmarks.leaderboard.document import FIGURES, to_html, to_markdown, words_of
from nasgym.benchmarks.leaderboard.entries import Entry, Result
from nasgym.benchmarks.leaderboard.naming import parse_name
from nasgym.benchmarks.leaderboard.page import TITLE, sheets
from nasgym.benchmarks.leaderboard.plots import draw, save
from nasgym.benchmarks.leaderboard.run_pool import Progress, play_all
from nasgym.benchmarks.leaderboard.standings import (
    AgentOnTask,
    TaskStanding,
    overall,
    task_standing,
)
from nasgym.benchmarks.leaderboard.tasks import task_named
from nasgym.files import write_atomically


@dataclass(frozen=True)
class Leaderboard:
    """Which agents are compared on which tasks, for how long, and where."""

    tasks: tuple[str, ...]
    """Tasks, as `task_named` reads them."""
    agents: tuple[str, ...]
    """Agents, each perhaps with options."""
    seeds: int
    """Runs of each agent on a task that does not say itself."""
    budget: int
    """Children in a run on a task that does not say itself."""
    out: Path
    """Folder of all runs and of what is written about them."""

    def __post_init__(self) -> None:
        if self.seeds < 1 or self.budget < 1:
            raise ValueError(f"{self.seeds} seeds of {self.budget} children are nothing to compare")
        for name in ("tasks", "agents"):
            given = getattr(self, name)
            if not given or len(set(given)) < len(given):
                raise ValueError(f"name one or more {name}, each once, not {' '.join(given)!r}")

    def entries(self) -> list[Entry]:
        """Return all runs, those with the same seed together."""
        tasks = [task_named(name) for name in self.tasks]
        return [
            Entry(task.name, agent, seed, task.children or self.budget)
            for seed in range(max(task.seeds or self.seeds for task in tasks))
            for task in tasks
            if seed < (task.seeds or self.seeds)
            for agent in self.agents
        ]

    def missing(self) -> list[Entry]:
        """Return the runs that are not finished."""
        return [entry for entry in self.entries() if entry.result(self.out) is None]

    def play(self, workers: int) -> Generator[Progress, None, None]:
        """Run what is missing, `workers` runs at a time, and yield progress reports.

        Raises ValueError, FileNotFoundError or an error of Gymnasium, in one line and before
        anything is run, for a task or an agent that cannot be made.
        """
        missing = self.missing()
        for task in {entry.task: entry for entry in missing}.values():
            plan = task.plan()
            gym.make_vec(plan.env, num_envs=plan.num_envs, **plan.env_options).close()
        for agent in dict.fromkeys(entry.agent for entry in missing):
            name, options = parse_name(agent)
            make(name, **options)
        yield from play_all(missing, self.out, workers)

    def results(self) -> dict[Entry, Result]:
        """Return what came of the finished runs."""
        found = ((entry, entry.result(self.out)) for entry in self.entries())
        return {entry: result for entry, result in found if result is not None}

    def write(self) -> list[Path]:
        """Write `scores.csv`, `LEADERBOARD.md`, `leaderboard.html` and the figures.

        What people wrote into `LEADERBOARD.md` is kept. Returns the paths.
        """
        results = self.results()
        standings = self._standings(results)
        if not standings:
            raise ValueError(f"no run in {self.out} is finished: there is nothing to show")
        rows = overall(standings)
        figures = draw(standings, rows, self.agents)
        save(figures, self.out / FIGURES)
        markdown = self.out / "LEADERBOARD.md"
        words = words_of(markdown.read_text(encoding="utf-8")) if markdown.exists() else ""
        shown = sheets(standings, rows, figures, self.command())
        written = {
            markdown: to_markdown(TITLE, shown, words),
            self.out / "leaderboard.html": to_html(TITLE, shown, words),
            self.out / "scores.csv": to_csv(results, standings),
        }
        for path, text in written.items():
            write_atomically(path, text)
        return list(written)

    def command(self) -> str:
        """Return the command that makes this leaderboard."""
        words = ["nasgym", "leaderboard", "--tasks", *self.tasks, "--agents", *self.agents]
        words += ["--seeds", str(self.seeds), "--budget", str(self.budget), "--out", str(self.out)]
        return shlex.join(words)

    def _standings(self, results: Mapping[Entry, Result]) -> list[TaskStanding]:
        """Return how the agents stand, task by task, where any run is finished."""
        standings = []
        for task in self.tasks:
            of_task = {entry: result for entry, result in results.items() if entry.task == task}
            by_agent = {
                agent: [result for entry, result in of_task.items() if entry.agent == agent]
                for agent in self.agents
            }
            standings.append(task_standing(task, by_agent))
        return [standing for standing in standings if standing is not None]


def to_csv(results: Mapping[Entry, Result], standings: Sequence[TaskStanding]) -> str:
    """Return one line for each run, with its regrets; what a run has not is left empty."""
    by_task = {standing.task: standing for standing in standings}
    counts = sorted({count for standing in standings for count in standing.checkpoints})
    names = ["task", "agent", "seed", "children", "unique", "failed"]
    names += [f"regret_{count}" for count in counts]
    names += ["children_to_best", "agent_seconds", "children_seconds"]
    buffer = io.StringIO()
    table = csv.writer(buffer, lineterminator="\n")
    table.writerow(names)
    for entry, result in results.items():
        run = AgentOnTask(entry.agent, [result], by_task[entry.task].best)
        reached = run.median_children
        table.writerow(
            [entry.task, entry.agent, entry.seed, result.children, result.unique, result.failed]
            + [
                f"{run.regrets[0, count - 1]:.6f}" if count <= result.children else ""
                for count in counts
            ]
            + [f"{reached:g}" if isfinite(reached) else ""]
            + ["" if result.agent_seconds is None else f"{result.agent_seconds:.3f}"]
            + [f"{result.children_seconds:.3f}"]
        )
    return buffer.getvalue().rstrip("\n")
