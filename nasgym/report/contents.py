"""The contents of a report: the numbers of one run."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property
from itertools import islice

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from nasgym.analysis.choices import ChoiceHistory, choice_history
from nasgym.analysis.comparison import RunHistory
from nasgym.archive import Trial
from nasgym.report.figures import DRAWN
from nasgym.search.entropy import saved_entropy
from nasgym.search.plan import Plan
from nasgym.search.run import Run, make_env
from nasgym.spaces.base import SearchSpace, deepest

TOP = 10
"""Number of children in the table of the best."""


@dataclass(frozen=True, eq=False)
class Contents:
    """The numbers of one run, finished or not, with at least one trial."""

    run: RunHistory
    """The folder, the plan and the trials."""
    command: str
    """The command that continues the run."""
    entropy: Sequence[tuple[int, float]]
    """(children finished, nats per decision) of the agent's policy, empty if it saved none."""
    space: SearchSpace | None
    """The space with its maximum depth, None if it cannot be made here."""
    top: Sequence[Trial]
    """The best distinct children that trained, the best first; the earlier of equal ones."""
    ages: Mapping[int, int]
    """Number of children by how many trials finished between their proposal and their end; empty
    if strings are proposed in waves."""
    lags: Mapping[int, int]
    """Number of updates by how many versions old their parameters were; empty without a parameter
    server."""

    @property
    def trials(self) -> Sequence[Trial]:
        """Return the trials in order."""
        return self.run.trials

    @cached_property
    def trained(self) -> list[Trial]:
        """The trials whose child trained to its end, including repeats."""
        return [trial for trial in self.trials if trial.status == "ok"]

    @property
    def best(self) -> Trial | None:
        """Return the best child, None if none trained."""
        return self.top[0] if self.top else None

    @property
    def language(self) -> bool:
        """Return whether the measure is perplexity."""
        return any("perplexity" in trial.metrics for trial in self.trained)

    @cached_property
    def rewards(self) -> NDArray[np.float64]:
        """The rewards in order."""
        return np.array([trial.reward for trial in self.trials])

    @cached_property
    def distinct(self) -> int:
        """The number of distinct children."""
        return sum(not trial.cached for trial in self.trials)

    @cached_property
    def choices(self) -> ChoiceHistory:
        """The options that the search chose over time."""
        return choice_history(self.trials, self.space)

    @cached_property
    def sized(self) -> list[Trial]:
        """The trained trials with a known number of parameters."""
        return [trial for trial in self.trained if size(trial) is not None]

    @property
    def sizes(self) -> set[int | None]:
        """Return the distinct numbers of parameters."""
        return set(map(size, self.sized))

    @cached_property
    def failures(self) -> list[tuple[str, str, int]]:
        """(status, last line of the last error, number of trials), the most frequent first.

        Errors that differ only in numbers count as one.
        """
        reasons: Counter[tuple[str, str]] = Counter()
        lines: dict[tuple[str, str], str] = {}
        for trial in self.trials:
            if trial.status != "ok":
                line = (trial.error.strip().splitlines() or [""])[-1]
                reason = trial.status, re.sub(r"\d[\d.,]*|\b(nan|inf)\b", "0", line)
                reasons[reason] += 1
                lines[reason] = line
        return [(reason[0], lines[reason], count) for reason, count in reasons.most_common()]

    @property
    def seconds(self) -> dict[str, float]:
        """Return the seconds of successful training, of failed training, and saved by repeats."""
        spent = {"trained": 0.0, "failed": 0.0, "saved": 0.0}
        for trial in self.trials:
            outcome = "trained" if trial.status == "ok" else "failed"
            spent["saved" if trial.cached else outcome] += trial.seconds
        return spent


def size(trial: Trial) -> int | None:
    """Return a child's number of parameters, None if it is not an integer."""
    parameters = trial.metrics.get("parameters")
    return parameters if isinstance(parameters, int) else None


def contents(run: Run) -> Contents | None:
    """Read the contents of `run`; None if no child is finished yet.

    Raises ArchiveError if nothing was recorded.
    """
    with closing(run.archive()) as archive:
        trials = list(archive.outlines(DRAWN))
        entropy = saved_entropy(run.plan, archive)
        top = list(islice((one for one in archive.ranked() if one.status == "ok"), TOP))
        ages, lags = archive.ages(), archive.lags()
    if not trials:
        return None
    finished = RunHistory(run.folder, run.plan, trials)
    return Contents(finished, run.command, entropy, space_of(run.plan), top, ages, lags)


def space_of(plan: Plan) -> SearchSpace | None:
    """Return the space of a run with its maximum depth, or None if it cannot be made here.

    No data are read for an environment of ours. Another environment must be registered already:
    "module:Id" would import code that a file names.
    """
    try:
        if (problem := plan.problem()) is not None:
            return deepest(problem.search_space())
        registered = plan.env.rpartition(":")[2]
        if registered not in gym.registry:
            return None
        with closing(make_env(registered, 1, plan.task_options)) as env:
            return deepest(env.study.ceiling.space)
    except Exception:  # of a stranger's environment, or of a damaged plan
        return None
