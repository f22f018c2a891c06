"""A comparison of searches: how much better one agent's best children are than another's.

The figure 6 of Zoph & Le 2017, from any runs on the same environment.
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
"""How many of the best children found so far are averaged, as in the figure."""


@dataclass(frozen=True, eq=False)
class Finished:
    """A run as it is compared."""

    folder: Path
    """Where it lies."""
    plan: Plan
    """What was run."""
    trials: Sequence[Trial]
    """The trials in order."""

    @property
    def agent(self) -> str:
        """Return the agent with its options, and how it proposes strings if not as usual."""
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
    """How much better one agent is than another, as the searches go on."""

    agent: str
    """The agent that is compared, with its options."""
    seeds: int
    """How many runs of it there are."""
    differences: NDArray[np.float64]
    """Positive where this agent is better; (pairs of runs, points, TOPS), NaN where one of the two
    runs has fewer children than are averaged."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """Some agents, each against the same other one."""

    env: str
    """Id of the environment."""
    unit: str
    """What the differences are in: "perplexity" or "points of accuracy"."""
    children: tuple[int, ...]
    """The points in the searches: children proposed so far, repeats and failures too."""
    against: str
    """The agent the others are compared to, with its options."""
    seeds: int
    """How many runs of it there are."""
    improvements: tuple[Improvement, ...]
    """One for each other agent, in the order they were named."""

    def to_plain(self) -> dict[str, Any]:
        """Return the comparison as JSON-able data, with mean, least and greatest differences."""
        return {
            "env": self.env,
            "unit": self.unit,
            "children": self.children,
            "against": {"agent": self.against, "seeds": self.seeds},
            "agents": [
                {"agent": one.agent, "seeds": one.seeds, "top": _summary(one.differences)}
                for one in self.improvements
            ],
        }


def compare(folders: Sequence[Path], every: int) -> Comparison:
    """Return the comparison of the runs in `folders`, a point every `every` children.

    Runs of the same agent with the same options are its seeds; each agent is compared to the one
    that is named last, every run of the one with every run of the other. Raises SearchError, in
    one line, for runs that cannot be compared.
    """
    if every < 1:
        raise SearchError(f"every must be at least 1, not {every}")
    if not folders:
        raise SearchError("name the folders of two runs or more")
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
    against, base = tops.popitem()
    return Comparison(
        runs[0].plan.env,
        "perplexity" if _language(runs[0].trials) else "points of accuracy",
        children,
        against,
        len(base),
        tuple(
            Improvement(
                agent, len(means), (means[:, None] - base).reshape(-1, len(children), len(TOPS))
            )
            for agent, means in tops.items()
        ),
    )


def top_means(trials: Sequence[Trial], children: Sequence[int]) -> NDArray[np.float64]:
    """Return the mean goodness of the best TOPS children after so many `children` each.

    Goodness is the accuracy in per cent, or less the perplexity. A child counts once, however
    often it was proposed, and not at all if it failed. The form is (points, TOPS); NaN where
    fewer children count than are to be averaged.
    """
    best: list[float] = []  # from the worst to the best
    rows = []
    for start, stop in pairwise((0, *children)):
        for trial in trials[start:stop]:
            if trial.status == "ok" and not trial.cached:
                insort(best, _goodness(trial))
        rows.append([np.mean(best[-top:]) if len(best) >= top else nan for top in TOPS])
    return np.array(rows)


def _goodness(trial: Trial) -> float:
    if "perplexity" in trial.metrics:
        return -float(trial.metrics["perplexity"])
    return 100 * trial.accuracy


def _language(trials: Iterable[Trial]) -> bool:
    return any("perplexity" in trial.metrics for trial in trials)


def _read(folder: Path) -> Finished:
    run = Run(folder)
    with closing(run.archive()) as archive:
        trials = list(archive.outlines(["perplexity"]))
    if not trials:
        raise SearchError(f"no child of {folder} is finished yet")
    return Finished(folder, run.plan, trials)


def _check_same_environment(one: Finished, other: Finished) -> None:
    (env, options), (other_env, other_options) = one.environment, other.environment
    if env != other_env:
        raise SearchError(
            f"{one.folder} is a search in {env} and {other.folder} one in {other_env}: "
            f"only runs in the same environment can be compared"
        )
    for name in sorted(options.keys() | other_options.keys()):
        if options.get(name) != other_options.get(name):
            raise SearchError(
                f"{one.folder} has {name}={options.get(name)!r} and {other.folder} "
                f"{name}={other_options.get(name)!r}: only runs with the same options of the "
                f"environment can be compared"
            )


def _by_agent(runs: Sequence[Finished]) -> dict[str, list[Finished]]:
    """Return the runs of each agent, the agent that is named last at the end."""
    agents: dict[str, list[Finished]] = {}
    for run in runs:
        group = agents.setdefault(run.agent, [])
        if run.plan.seed in (other.plan.seed for other in group):
            raise SearchError(f"{run.folder} is the second run of {run.agent} with this seed")
        group.append(run)
    if len(agents) < 2:
        raise SearchError(f"all runs are by the same agent, {runs[0].agent}: name another's too")
    agents[runs[-1].agent] = agents.pop(runs[-1].agent)
    return agents


def _summary(differences: NDArray[np.float64]) -> dict[str, dict[str, list[float | None]]]:
    """Return for each of TOPS the mean, least and greatest difference at every point."""
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
