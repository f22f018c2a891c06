"""One entry of the leaderboard: its run, and the result from which it is scored."""

import json
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from itertools import pairwise
from math import inf
from pathlib import Path
from typing import Any

import numpy as np

from nasgym.agents import make
from nasgym.archive import Trial
from nasgym.benchmarks.leaderboard.naming import file_name, parse_name
from nasgym.benchmarks.leaderboard.scores import Floats, recommended
from nasgym.benchmarks.leaderboard.tasks import task_named
from nasgym.environments.study import Study
from nasgym.files import write_atomically
from nasgym.search.plan import Plan
from nasgym.search.run import Run
from nasgym.tables import Table, TableEvaluator


@dataclass(frozen=True)
class LeaderboardEntry:
    """One agent with one seed on one task."""

    task: str
    """Task, as `task_named` reads it."""
    agent: str
    """Agent, optionally with options."""
    seed: int
    """Seed of the agent and of the task's noise, if it has noise."""
    children: int
    """Budget of the run."""

    def folder(self, out: Path) -> Path:
        """Return the folder of the run below `out`."""
        return out / file_name(self.task) / f"{file_name(self.agent)}-{self.seed}"

    def plan(self) -> Plan:
        """Return the plan of the run."""
        task, (agent, agent_options) = task_named(self.task), parse_name(self.agent)
        return Plan(
            task.env,
            agent,
            self.children,
            seed=self.seed,
            num_envs=task.num_envs,
            env_options=task.env_options(self.seed),
            agent_options=agent_options,
        )

    def result(self, out: Path) -> "EntryResult | None":
        """Return the stored result; None if there is none for this budget."""
        try:
            plain = json.loads((self.folder(out) / "score.json").read_text())
        except FileNotFoundError:
            return None
        result = EntryResult.from_plain(plain)
        return result if result.children == self.children else None


@dataclass(frozen=True)
class EntryResult:
    """Everything that the scores need to know about one finished run."""

    children: int
    """Finished episodes: the budget."""
    unique: int
    """Different networks among them."""
    failed: int
    """Children whose training failed."""
    steps: tuple[tuple[int, float], ...]
    """(children, clean value) each time another network became the best by reward. The clean value
    comes from the table; without a table it is the reward."""
    optimum: float | None
    """Best clean value in the table; None without a table."""
    mean: float | None
    """Mean clean value of the table; None without a table."""
    agent_seconds: float | None
    """CPU seconds of the searching process: the agent, the environment and the archive. None if
    no child was left to search when they were measured."""
    children_seconds: float
    """Training seconds of the different networks: simulated with a table, else wall-clock time."""

    @classmethod
    def from_plain(cls, plain: dict[str, Any]) -> "EntryResult":
        """Return the result from its JSON data."""
        return cls(**{**plain, "steps": tuple((count, value) for count, value in plain["steps"])})

    def trace(self) -> Floats:
        """Return the clean value of the best child by reward after each child, (children,)."""
        trace = np.zeros(self.children)
        for (start, value), (end, _) in pairwise((*self.steps, (self.children + 1, inf))):
            trace[start - 1 : end - 1] = value
        return trace


def play(entry: LeaderboardEntry, out: Path, on_trial: Callable[[Trial], None]) -> EntryResult:
    """Run or resume `entry`, store its result and return it; calls `on_trial` on each new trial."""
    plan = entry.plan()
    make(plan.agent, plan.seed, **plan.agent_options)  # keeps imports out of the agent's seconds
    run = Run(entry.folder(out), plan)
    tables: list[Table | None] = []
    started_at: list[int] = []

    def listeners(study: Study) -> list[Callable[[Trial], None]]:
        evaluator = study.evaluator
        tables.append(evaluator.table if isinstance(evaluator, TableEvaluator) else None)
        started_at.append(study.trials)
        return [on_trial]

    before = time.process_time()
    run.search(listeners)
    spent = time.process_time() - before
    with closing(run.archive()) as archive:
        trials = archive[: entry.children]
    new = entry.children - started_at[0]  # a resumed run is timed only from where it resumed
    result = _result(trials, tables[0], spent * entry.children / new if new > 0 else None)
    write_atomically(run.folder / "score.json", json.dumps(asdict(result)))
    return result


def _result(
    trials: Sequence[Trial], table: Table | None, agent_seconds: float | None
) -> EntryResult:
    trained = np.array([trial.status == "ok" for trial in trials])
    rewards = np.where(trained, [trial.reward for trial in trials], -inf)
    clean = rewards
    if table is not None:
        clean = table.clean[[table.space.index(trial.tokens) for trial in trials]]
    different = [trial for trial in trials if not trial.cached]
    return EntryResult(
        children=len(trials),
        unique=len(different),
        failed=int(len(trials) - trained.sum()),
        steps=_steps(recommended(rewards, clean)),
        optimum=None if table is None else float(table.clean.max()),
        mean=None if table is None else float(table.clean.mean()),
        agent_seconds=agent_seconds,
        children_seconds=sum(trial.seconds for trial in different),
    )


def _steps(trace: Floats) -> tuple[tuple[int, float], ...]:
    """Return where `trace` changes, as (children, value)."""
    changes = np.flatnonzero(np.diff(trace, prepend=0.0))
    return tuple((int(index) + 1, float(trace[index])) for index in changes)
