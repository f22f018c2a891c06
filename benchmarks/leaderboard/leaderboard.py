"""The leaderboard: runs any agents on any tasks at equal budgets, and scores and shows them.

Its command line is `nasgym leaderboard`.
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
from nasgym.benchmarks.leaderboard.entries import EntryResult, LeaderboardEntry
from nasgym.benchmarks.leaderboard.naming import parse_name
from nasgym.benchmarks.leaderboard.plots import draw, save
from nasgym.benchmarks.leaderboard.run_pool import RunProgress, play_all
from nasgym.benchmarks.leaderboard.sections import TITLE, sections
from nasgym.benchmarks.leaderboard.standings import (
    AgentOnTask,
    TaskStanding,
    overall,
    task_standing,
)
from nasgym.benchmarks.leaderboard.tasks import task_named
from nasgym.errors import InvalidInput
from nasgym.files import write_atomically


@dataclass(frozen=True)
class Leaderboard:
    """The agents to compare, the tasks, the budget, and the folder of the runs."""

    tasks: tuple[str, ...]
    """Tasks, as `task_named` reads them."""
    agents: tuple[str, ...]
    """Agents, each optionally with options."""
    seeds: int
    """Runs of each agent on a task that does not set its own number."""
    budget: int
    """Children in a run on a task that does not set its own budget."""
    out: Path
    """Folder of all runs and of the files that `write` writes."""

    def __post_init__(self) -> None:
        if self.seeds < 1 or self.budget < 1:
            raise InvalidInput(
                f"{self.seeds} seeds of {self.budget} children are nothing to compare"
            )
        for name in ("tasks", "agents"):
            given = getattr(self, name)
            if not given or len(set(given)) < len(given):
                raise InvalidInput(f"name one or more {name}, each once, not {' '.join(given)!r}")

    def entries(self) -> list[LeaderboardEntry]:
        """Return all entries, seed by seed."""
        tasks = [task_named(name) for name in self.tasks]
        return [
            LeaderboardEntry(task.name, agent, seed, task.children or self.budget)
            for seed in range(max(task.seeds or self.seeds for task in tasks))
            for task in tasks
            if seed < (task.seeds or self.seeds)
            for agent in self.agents
        ]

    def missing(self) -> list[LeaderboardEntry]:
        """Return the entries whose runs are not finished."""
        return [entry for entry in self.entries() if entry.result(self.out) is None]

    def play(self, workers: int) -> Generator[RunProgress, None, None]:
        """Run the missing entries, `workers` at a time, and yield their progress.

        Before it runs anything, raises ValueError, FileNotFoundError or an error of Gymnasium, in
        one line, for a task or an agent that cannot be made.
        """
        missing = self.missing()
        for task in {entry.task: entry for entry in missing}.values():
            plan = task.plan()
            gym.make_vec(plan.env, num_envs=plan.num_envs, **plan.env_options).close()
        for agent in dict.fromkeys(entry.agent for entry in missing):
            name, options = parse_name(agent)
            make(name, **options)
        yield from play_all(missing, self.out, workers)

    def results(self) -> dict[LeaderboardEntry, EntryResult]:
        """Return the results of the finished runs."""
        found = ((entry, entry.result(self.out)) for entry in self.entries())
        return {entry: result for entry, result in found if result is not None}

    def write(self) -> list[Path]:
        """Write `LEADERBOARD.md`, `leaderboard.html`, `scores.csv` and the figures.

        Keeps what people wrote into `LEADERBOARD.md`. Returns the paths of the three documents.
        Raises ValueError if no run is finished.
        """
        results = self.results()
        standings = self._standings(results)
        if not standings:
            raise InvalidInput(f"no run in {self.out} is finished: there is nothing to show")
        rows = overall(standings)
        pictures = save(draw(standings, rows, self.agents), self.out / FIGURES)
        path = self.out / "LEADERBOARD.md"
        words = words_of(path.read_text(encoding="utf-8")) if path.exists() else ""
        markdown = to_markdown(TITLE, sections(standings, rows, self.command()), words)
        written = {
            path: markdown,
            self.out / "leaderboard.html": to_html(TITLE, markdown, pictures),
            self.out / "scores.csv": to_csv(results, standings),
        }
        for target, text in written.items():
            write_atomically(target, text)
        return list(written)

    def command(self) -> str:
        """Return the command that makes this leaderboard."""
        words = ["nasgym", "leaderboard", "--tasks", *self.tasks, "--agents", *self.agents]
        words += ["--seeds", str(self.seeds), "--budget", str(self.budget), "--out", str(self.out)]
        return shlex.join(words)

    def _standings(self, results: Mapping[LeaderboardEntry, EntryResult]) -> list[TaskStanding]:
        """Return the standings on the tasks that have finished runs."""
        standings = []
        for task in self.tasks:
            of_task = {entry: result for entry, result in results.items() if entry.task == task}
            by_agent = {
                agent: [result for entry, result in of_task.items() if entry.agent == agent]
                for agent in self.agents
            }
            standings.append(task_standing(task, by_agent))
        return [standing for standing in standings if standing is not None]


def to_csv(
    results: Mapping[LeaderboardEntry, EntryResult], standings: Sequence[TaskStanding]
) -> str:
    """Return a line for each run with its regrets; cells without a value are empty."""
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
