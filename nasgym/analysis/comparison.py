"""Comparison of agents: how much better the best children of one are than those of another.

Computes figure 6 of Zoph & Le 2017 for any runs in the same environment.
"""

from bisect import insort
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from math import nan
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasgym.archive import Trial
from nasgym.search.plan import Plan, SearchError
from nasgym.search.run import Run

TOPS = (1, 5, 15)
"""Numbers of best children that are averaged, as in figure 6."""


@dataclass(frozen=True, eq=False)
class RunHistory:
    """The plan of a run and its trials so far."""

    folder: Path
    """Folder of the run."""
    plan: Plan
    """Plan of the run."""
    trials: Sequence[Trial]
    """Trials in order."""

    @property
    def agent(self) -> str:
        """Return the agent's name with all options that are not the defaults."""
        options = dict(self.plan.agent_options)
        if self.plan.num_envs != Plan.num_envs:
            options["num_envs"] = self.plan.num_envs
        named = (f"{name}={value}" for name, value in sorted(options.items()))
        how = ["asynchronous"] if self.plan.asynchronous else []
        return " ".join([self.plan.agent, *named, *how])

    @property
    def environment(self) -> tuple[str, Mapping[str, Any]]:
        """Return the environment's id and all its options."""
        return self.plan.env, self.plan.options


@dataclass(frozen=True, eq=False)
class Improvement:
    """How much better one agent is than the baseline, over the course of the searches."""

    agent: str
    """Name of the agent, with its options."""
    seeds: int
    """Number of its runs."""
    differences: NDArray[np.float64]
    """(pairs of runs, points, TOPS), positive where this agent is better; NaN where either run has
    too few children to average."""


@dataclass(frozen=True, eq=False)
class AgentComparison:
    """Agents, each compared with the same baseline."""

    env: str
    """Id of the environment."""
    unit: str
    """Unit of the differences: "perplexity" or "points of accuracy"."""
    children: tuple[int, ...]
    """Points in the searches: children proposed so far, including repeats and failures."""
    baseline: str
    """Name of the agent that the others are compared with, with its options."""
    seeds: int
    """Number of runs of the baseline."""
    improvements: tuple[Improvement, ...]
    """One for each other agent, in the order given."""

    def to_plain(self) -> dict[str, Any]:
        """Return the comparison as JSON-able data: mean, minimum and maximum differences."""
        return {
            "env": self.env,
            "unit": self.unit,
            "children": self.children,
            "against": {"agent": self.baseline, "seeds": self.seeds},
            "agents": [
                {"agent": one.agent, "seeds": one.seeds, "top": _summary(one.differences)}
                for one in self.improvements
            ],
        }


def compare(folders: Sequence[Path], every: int) -> AgentComparison:
    """Compare the runs in `folders`, with a point every `every` children.

    Runs of the same agent with the same options are its seeds. The agent of the last folder is the
    baseline; each run of another agent is compared with each run of the baseline. Raises
    SearchError if the runs cannot be compared.
    """
    if every < 1:
        raise SearchError(f"every must be at least 1, not {every}")
    if not folders:
        raise SearchError("name the folders of two or more runs")
    runs = [_read(folder) for folder in folders]
    for one, other in pairwise(runs):
        _check_same_environment(one, other)
    agents = _by_agent(runs)
    shortest = min(runs, key=lambda run: len(run.trials))
    if len(shortest.trials) < every:
        raise SearchError(
            f"{shortest.folder} has {len(shortest.trials)} children, fewer than {every}: "
            f"choose a smaller --every"
        )
    children = tuple(range(every, len(shortest.trials) + 1, every))
    tops = {
        agent: np.array([top_means(run.trials, children) for run in group])
        for agent, group in agents.items()
    }
    baseline, base = tops.popitem()
    return AgentComparison(
        runs[0].plan.env,
        "perplexity" if _language(runs[0].trials) else "points of accuracy",
        children,
        baseline,
        len(base),
        tuple(
            Improvement(
                agent, len(means), (means[:, None] - base).reshape(-1, len(children), len(TOPS))
            )
            for agent, means in tops.items()
        ),
    )


def top_means(trials: Sequence[Trial], children: Sequence[int]) -> NDArray[np.float64]:
    """Return the mean quality of the best children after each number of `children`.

    The shape is (points, TOPS), with NaN where there are too few children to average. Quality is
    the accuracy in per cent, or the negative perplexity. Repeats and failures do not count.
    """
    best: list[float] = []  # ascending
    rows = []
    for start, stop in pairwise((0, *children)):
        for trial in trials[start:stop]:
            if trial.status == "ok" and not trial.cached:
                insort(best, _quality(trial))
        rows.append([np.mean(best[-top:]) if len(best) >= top else nan for top in TOPS])
    return np.array(rows)


def _quality(trial: Trial) -> float:
    """Return the accuracy in per cent, or the negative perplexity."""
    if "perplexity" in trial.metrics:
        return -float(trial.metrics["perplexity"])
    return 100 * trial.accuracy


def _language(trials: Iterable[Trial]) -> bool:
    return any("perplexity" in trial.metrics for trial in trials)


def _read(folder: Path) -> RunHistory:
    run = Run(folder)
    with closing(run.archive()) as archive:
        trials = list(archive.outlines(["perplexity"]))
    if not trials:
        raise SearchError(f"no child of {folder} is finished yet")
    return RunHistory(folder, run.plan, trials)


def _check_same_environment(one: RunHistory, other: RunHistory) -> None:
    (env, options), (other_env, other_options) = one.environment, other.environment
    if env != other_env:
        raise SearchError(
            f"{one.folder} searches {env} and {other.folder} searches {other_env}: "
            f"only runs in the same environment can be compared"
        )
    for name in sorted(options.keys() | other_options.keys()):
        if options.get(name) != other_options.get(name):
            raise SearchError(
                f"{one.folder} has {name}={options.get(name)!r} and {other.folder} has "
                f"{name}={other_options.get(name)!r}: only runs with the same environment options "
                f"can be compared"
            )


def _by_agent(runs: Sequence[RunHistory]) -> dict[str, list[RunHistory]]:
    """Return the runs of each agent; the agent of the last run comes last."""
    agents: dict[str, list[RunHistory]] = {}
    for run in runs:
        group = agents.setdefault(run.agent, [])
        if run.plan.seed in (other.plan.seed for other in group):
            raise SearchError(f"{run.folder} is the second run of {run.agent} with this seed")
        group.append(run)
    if len(agents) < 2:
        raise SearchError(f"all runs are by the same agent, {runs[0].agent}: add a run of another")
    agents[runs[-1].agent] = agents.pop(runs[-1].agent)
    return agents


def _summary(differences: NDArray[np.float64]) -> dict[str, dict[str, list[float | None]]]:
    """Return the mean, minimum and maximum difference at every point, for each of TOPS."""
    return {
        str(top): {
            "mean": _plain(values.mean(axis=0)),
            "low": _plain(values.min(axis=0)),
            "high": _plain(values.max(axis=0)),
        }
        for top, values in zip(TOPS, np.moveaxis(differences, 2, 0), strict=True)
    }


def _plain(values: NDArray[np.float64]) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in values]
