"""Standings: how the agents compare on each task and over all tasks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import median
from typing import NamedTuple

import numpy as np

from nasgym.benchmarks.leaderboard.entries import EntryResult
from nasgym.benchmarks.leaderboard.scores import Floats, children_to, estimate, improvement

CHECKPOINTS = (10, 30, 50, 100, 200, 300, 500)
"""Numbers of children after which searches are scored, besides the whole budget."""

RANKED_AT = 100
"""Number of children after which agents are ranked; later, many have found the best network of a
small table."""

OPPONENTS = ("random", "local_search")
"""Agents to which all agents are compared."""


class Interval(NamedTuple):
    """An estimate with its 95 % confidence interval."""

    value: float
    """The estimate."""
    low: float
    """Lower bound."""
    high: float
    """Upper bound."""


@dataclass(frozen=True, eq=False)
class AgentOnTask:
    """All runs of one agent on one task."""

    agent: str
    """Agent, optionally with options."""
    results: Sequence[EntryResult]
    """Results of the finished runs, one or more."""
    best: float
    """Best clean value of the table; without a table, the best that any run of any agent found."""

    @cached_property
    def traces(self) -> Floats:
        """Clean values of the recommended networks, (runs, children)."""
        return np.array([result.trace() for result in self.results])

    @cached_property
    def regrets(self) -> Floats:
        """Distances of the traces from the best value, in percentage points, (runs, children)."""
        return 100 * (self.best - self.traces)

    def regret(self, children: int) -> Interval:
        """Return the interquartile mean regret after `children` children, in percentage points."""
        return Interval(*map(float, estimate([self.regrets[:, children - 1]])))

    def mean_regret(self, children: int) -> float:
        """Return the plain mean regret after `children` children, in percentage points."""
        return float(self.regrets[:, children - 1].mean())

    def normalised(self, children: int) -> Floats:
        """Return each run's score after `children` children: 0 the mean network, 1 the best."""
        mean = self.results[0].mean
        assert mean is not None
        score: Floats = (self.traces[:, children - 1] - mean) / (self.best - mean)
        return score

    @cached_property
    def children_to_best(self) -> list[float]:
        """Children until each run recommended the best network; inf if it never did."""
        return [children_to(trace, self.best) for trace in self.traces]

    @property
    def median_children(self) -> float:
        """Return the median of `children_to_best`; inf if half of the runs or more never did."""
        return median(self.children_to_best)

    @property
    def hits(self) -> float:
        """Return the share of runs that recommended the best network at some time."""
        return float(np.mean(np.isfinite(self.children_to_best)))

    @property
    def unique(self) -> float:
        """Return the mean number of different networks in a run."""
        return float(np.mean([result.unique for result in self.results]))

    @property
    def agent_ms(self) -> float:
        """Return the search's CPU milliseconds per child; NaN if no run measured them."""
        known = [
            1000 * result.agent_seconds / result.children
            for result in self.results
            if result.agent_seconds is not None
        ]
        return float(np.mean(known)) if known else float("nan")

    @property
    def children_seconds(self) -> float:
        """Return the mean training seconds of a run."""
        return float(np.mean([result.children_seconds for result in self.results]))


@dataclass(frozen=True, eq=False)
class TaskStanding:
    """All agents on one task."""

    task: str
    """Name of the task."""
    children: int
    """Budget of a run."""
    tabular: bool
    """Whether a table tells the best network."""
    best: float
    """Best clean value of the table; without a table, the best that any run has found."""
    agents: Sequence[AgentOnTask]
    """Agents with a finished run, the best first."""

    @property
    def checkpoints(self) -> list[int]:
        """Return the numbers of children after which searches are scored."""
        return checkpoints(self.children)

    def of(self, agent: str) -> AgentOnTask | None:
        """Return the runs of `agent`; None if none is finished."""
        return next((one for one in self.agents if one.agent == agent), None)


@dataclass(frozen=True, eq=False)
class OverallStanding:
    """One agent over all tasks with a table."""

    agent: str
    """Agent, optionally with options."""
    normalised: Mapping[int, Interval]
    """Normalised score by number of children: the interquartile mean over all runs of all tasks."""
    better_than: Mapping[str, Interval]
    """Probability, by opponent, that a run beats one of the opponent after `ranked_at` children."""
    hits: float
    """Share of all runs that recommended the best network at some time."""
    agent_ms: float
    """The search's CPU milliseconds per child, averaged over tasks."""


def checkpoints(children: int) -> list[int]:
    """Return the numbers of children after which searches with this budget are scored."""
    return sorted({count for count in CHECKPOINTS if count < children} | {children})


def ranked_at(children: int) -> int:
    """Return the number of children after which agents with this budget are ranked."""
    return min(RANKED_AT, children)


def task_standing(task: str, results: Mapping[str, Sequence[EntryResult]]) -> TaskStanding | None:
    """Return the standing on `task` from the results by agent; None if no run is finished."""
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


def overall(standings: Sequence[TaskStanding]) -> list[OverallStanding]:
    """Return the agents with runs on all tasks with a table, the best first."""
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


def _overall(agent: str, tables: Sequence[TaskStanding], budget: int) -> OverallStanding:
    mine = _everywhere(agent, tables)
    rank = ranked_at(budget)
    better = {
        opponent: _better(mine, theirs, rank)
        for opponent in OPPONENTS
        if opponent != agent and len(theirs := _everywhere(opponent, tables)) == len(mine)
    }
    return OverallStanding(
        agent,
        {
            count: Interval(*map(float, estimate([one.normalised(count) for one in mine])))
            for count in checkpoints(budget)
        },
        better,
        float(np.mean([one.hits for one in mine])),
        float(np.mean([one.agent_ms for one in mine])),
    )


def _everywhere(agent: str, tables: Sequence[TaskStanding]) -> list[AgentOnTask]:
    return [one for standing in tables if (one := standing.of(agent)) is not None]


def _better(mine: Sequence[AgentOnTask], theirs: Sequence[AgentOnTask], children: int) -> Interval:
    pairs = [
        (-one.regrets[:, children - 1], -other.regrets[:, children - 1])
        for one, other in zip(mine, theirs, strict=True)
    ]
    return Interval(*map(float, improvement(pairs)))
