"""The contents of a report: what there is to say of one run, as numbers."""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import islice

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from nasgym.analysis.choices import Preferences, preferences
from nasgym.analysis.comparison import Finished
from nasgym.archive import Trial
from nasgym.report.figures import DRAWN
from nasgym.search.entropy import saved_entropy
from nasgym.search.run import Run
from nasgym.spaces.base import SearchSpace, deepest

TOP = 10
"""Children in the table of the best."""


@dataclass(frozen=True, eq=False)
class Contents:
    """What there is to say of one run, under way or finished, with one trial or more."""

    run: Finished
    """The folder, the plan and the trials."""
    command: str
    """The command that goes on with the run."""
    entropy: Sequence[tuple[int, float]]
    """(children finished, nats a decision) of the agent's policy, where it has one and saved it."""
    space: SearchSpace | None
    """The space at its deepest, None where it cannot be made here."""
    top: Sequence[Trial]
    """The best children that trained, each once, the best first; of equals the earliest."""
    ages: Mapping[int, int]
    """How many children finished so many trials after they were proposed; none where strings come
    in waves."""
    lags: Mapping[int, int]
    """How many updates were computed with parameters so many versions old, where there is a
    parameter server."""

    @property
    def trials(self) -> Sequence[Trial]:
        """Return the trials in order."""
        return self.run.trials

    @cached_property
    def trained(self) -> list[Trial]:
        """The trials whose child trained to its end, repeats too."""
        return [trial for trial in self.trials if trial.status == "ok"]

    @property
    def best(self) -> Trial | None:
        """Return the best child, None if none trained."""
        return self.top[0] if self.top else None

    @property
    def language(self) -> bool:
        """Return whether children are judged by their perplexity."""
        return any("perplexity" in trial.metrics for trial in self.trained)

    @cached_property
    def rewards(self) -> NDArray[np.float64]:
        """The rewards in order."""
        return np.array([trial.reward for trial in self.trials])

    @cached_property
    def unique(self) -> NDArray[np.int64]:
        """The number of different children among the first 1, 2, ... trials."""
        return np.cumsum([not trial.cached for trial in self.trials])

    @cached_property
    def preferences(self) -> Preferences:
        """What the strings chose as the search went on."""
        return preferences(self.trials, self.space)

    @cached_property
    def sized(self) -> list[Trial]:
        """The trials that trained and whose number of parameters is known."""
        return [trial for trial in self.trained if size(trial) is not None]

    @property
    def sizes(self) -> set[int | None]:
        """Return the different numbers of parameters."""
        return set(map(size, self.sized))

    @cached_property
    def failures(self) -> list[tuple[str, str, int]]:
        """(status, last line of the last error, how many trials), the most frequent first.

        Errors that differ in their numbers alone are one.
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
        """Return the seconds of training that brought a network, that failed, and were saved."""
        spent = {"trained": 0.0, "failed": 0.0, "saved": 0.0}
        for trial in self.trials:
            outcome = "trained" if trial.status == "ok" else "failed"
            spent["saved" if trial.cached else outcome] += trial.seconds
        return spent


def size(trial: Trial) -> int | None:
    """Return a child's number of parameters, None where its evaluator does not tell."""
    parameters = trial.metrics.get("parameters")
    return parameters if isinstance(parameters, int) else None


def contents(run: Run) -> Contents | None:
    """Read what there is to say of `run`; None if no child is finished yet.

    Raises ArchiveError if nothing was recorded.
    """
    with closing(run.archive()) as archive:
        trials = list(archive.outlines(DRAWN))
        entropy = saved_entropy(run.plan, archive)
        top = list(islice((one for one in archive.ranked() if one.status == "ok"), TOP))
        ages, lags = archive.ages(), archive.lags()
    if not trials:
        return None
    plan = run.plan
    space = _space(plan.env, json.dumps(plan.env_options))
    finished = Finished(run.folder, plan, trials)
    return Contents(finished, run.command, entropy, space, top, ages, lags)


NOT_FOR_A_LOOK = ("archive", "run", "workers")
"""Options of environments that a space does not depend on, and that open files or connections."""


@lru_cache(maxsize=8)
def _space(env: str, options: str) -> SearchSpace | None:
    """Return the space of an environment at its deepest, None if it cannot be made here.

    It must be registered already: "module:Id" would import what a file names.
    """
    known = env.rpartition(":")[2]
    if known not in gym.registry:
        return None
    given = json.loads(options)
    chosen = {name: value for name, value in given.items() if name not in NOT_FOR_A_LOOK}
    try:
        task = gym.make_vec(known, num_envs=1, **chosen).unwrapped
        task.close()
        return deepest(task.base_space)  # type: ignore[attr-defined]
    except Exception:  # its data are elsewhere, or the environment is anybody's
        return None
