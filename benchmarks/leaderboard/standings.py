"""The standings: what the runs of all agents say, task by task and over all tasks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from nasgym.benchmarks.leaderboard.entries import Result
from nasgym.benchmarks.leaderboard.scores import (
    Floats,
    children_to,
    estimate,
    improvement,
    median,
)

CHECKPOINTS = (10, 30, 50, 100, 200, 300, 500)
"""Children after which searches are scored, and the whole budget."""

RANKED_AT = 100
"""Children after which agents are ranked: later, on small tables, many have found the best."""

OPPONENTS = ("random", "local_search")
"""Whom all agents are compared to."""


class Estimate(NamedTuple):
    """An estimate with its 95 % interval."""

    value: float
    """The estimate."""
    low: float
    """Where the interval begins."""
    high: float
    """Where it ends."""


@dataclass(frozen=True, eq=False)
class AgentOnTask:
    """All runs of one agent on one task."""

    agent: str
    """The agent, perhaps with options."""
    results: Sequence[Result]
    """The finished runs, one or more."""
    best: float
    """The best clean value there is or, without a table, that any run of any agent has found."""

    @cached_property
    def traces(self) -> Floats:
        """The clean values of the recommended networks, (runs, children)."""
        return np.array([result.trace() for result in self.results])

    @cached_property
    def regrets(self) -> Floats:
        """How far those are from the best, in percentage points, (runs, children)."""
        return 100 * (self.best - self.traces)

    def regret(self, children: int) -> Estimate:
        """Return the interquartile mean regret after so many children, in percentage points."""
        return Estimate(*map(float, estimate([self.regrets[:, children - 1]])))

    def mean_regret(self, children: int) -> float:
        """Return the mean regret after so many children, in percentage points."""
        return float(self.regrets[:, children - 1].mean())

    def normalised(self, children: int) -> Floats:
        """Return the score of each run after so many children: 0 the mean network, 1 the best."""
        mean = self.results[0].mean
        assert mean is not None
        score: Floats = (self.traces[:, children - 1] - mean) / (self.best - mean)
        return score

    @cached_property
    def children_to_best(self) -> list[float]:
        """After how many children each run had the best; inf if never."""
        return [children_to(trace, self.best) for trace in self.traces]

    @property
    def median_children(self) -> float:
        """Return the median of those; inf if more than half of the runs never had it."""
        return median(self.children_to_best)

    @property
    def hits(self) -> float:
        """Return the share of the runs that had the best at some time."""
        return float(np.mean(np.isfinite(self.children_to_best)))

    @property
    def unique(self) -> float:
        """Return the mean number of different networks in a run."""
        return float(np.mean([result.unique for result in self.results]))

    @property
    def agent_ms(self) -> float:
        """Return the CPU milliseconds of the search a child; NaN if no run knows."""
        known = [
            1000 * result.agent_seconds / result.children
            for result in self.results
            if result.agent_seconds is not None
        ]
        return float(np.mean(known)) if known else float("nan")

    @property
    def children_seconds(self) -> float:
        """Return the mean seconds of training in a run."""
        return float(np.mean([result.children_seconds for result in self.results]))


@dataclass(frozen=True, eq=False)
class TaskStanding:
    """How all agents stand on one task."""

    task: str
    """Name of the task."""
    children: int
    """Budget of a run."""
    tabular: bool
    """Whether the best network is known."""
    best: float
    """Its clean value; where it is not known, that of the best that any run has found."""
    agents: Sequence[AgentOnTask]
    """Those with a finished run, the best first."""

    @property
    def checkpoints(self) -> list[int]:
        """Return the numbers of children after which searches are scored."""
        return checkpoints(self.children)

    def of(self, agent: str) -> AgentOnTask | None:
        """Return how `agent` stands; None without a run of it."""
        return next((one for one in self.agents if one.agent == agent), None)


@dataclass(frozen=True, eq=False)
class Overall:
    """How one agent stands over all tasks with a table."""

    agent: str
    """The agent, perhaps with options."""
    normalised: Mapping[int, Estimate]
    """Normalised score by number of children, interquartile mean over all runs of all tasks."""
    better_than: Mapping[str, Estimate]
    """Probability that a run of it beats one of each opponent, after `ranked_at` children."""
    hits: float
    """Share of all runs that had the best network at some time."""
    agent_ms: float
    """CPU milliseconds of the search a child, averaged over tasks."""


def checkpoints(children: int) -> list[int]:
    """Return the numbers of children after which searches with that budget are scored."""
    return sorted({count for count in CHECKPOINTS if count < children} | {children})


def ranked_at(children: int) -> int:
    """Return after how many children agents with that budget are ranked."""
    return min(RANKED_AT, children)


def task_standing(task: str, results: Mapping[str, Sequence[Result]]) -> TaskStanding | None:
    """Return the standing on `task` from the results by agent; None if none is finished."""
    finished = {agent: runs for agent, runs in results.items() if runs}
    if not finished:
        return None
    runs = [result for group in finished.values() for result in group]
    optimum = runs[0].optimum
    best = max(float(result.trace().max()) for result in runs) if optimum is None else optimum
    rank = ranked_at(runs[0].children)
    agents = [AgentOnTask(agent, group, best) for agent, group in finished.items()]
    agents.sort(key=lambda one: (one.regret(rank).value, one.mean_regret(rank)))
    return TaskStanding(task, runs[0].children, optimum is not None, best, agents)


def overall(standings: Sequence[TaskStanding]) -> list[Overall]:
    """Return how the agents that have runs on all tasks with a table stand, the best first."""
    tables = [standing for standing in standings if standing.tabular]
    if not tables:
        return []
    budget = min(standing.children for standing in tables)
    rows = [
        _overall(agent, tables, budget)
        for agent in dict.fromkeys(one.agent for standing in tables for one in standing.agents)
        if all(standing.of(agent) for standing in tables)
    ]
    return sorted(rows, key=lambda row: -row.normalised[ranked_at(budget)].value)


def _overall(agent: str, tables: Sequence[TaskStanding], budget: int) -> Overall:
    mine = _everywhere(agent, tables)
    rank = ranked_at(budget)
    better = {
        opponent: _better(mine, theirs, rank)
        for opponent in OPPONENTS
        if opponent != agent and len(theirs := _everywhere(opponent, tables)) == len(mine)
    }
    return Overall(
        agent,
        {
            count: Estimate(*map(float, estimate([one.normalised(count) for one in mine])))
            for count in checkpoints(budget)
        },
        better,
        float(np.mean([one.hits for one in mine])),
        float(np.mean([one.agent_ms for one in mine])),
    )


def _everywhere(agent: str, tables: Sequence[TaskStanding]) -> list[AgentOnTask]:
    return [one for standing in tables if (one := standing.of(agent)) is not None]


def _better(mine: Sequence[AgentOnTask], theirs: Sequence[AgentOnTask], children: int) -> Estimate:
    pairs = [
        (-one.regrets[:, children - 1], -other.regrets[:, children - 1])
        for one, other in zip(mine, theirs, strict=True)
    ]
    return Estimate(*map(float, improvement(pairs)))
