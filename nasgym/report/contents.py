"""The contents of a report: what there is to say of one run, as numbers."""

import json
import re
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property, lru_cache

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from nasgym.agents import make
from nasgym.archive import Archive, Trial, ranked
from nasgym.comparison import Finished
from nasgym.preferences import Preferences, preferences
from nasgym.search import Plan, Run
from nasgym.space import SearchSpace, deepest

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

    @property
    def trials(self) -> Sequence[Trial]:
        """Return the trials in order."""
        return self.run.trials

    @cached_property
    def trained(self) -> list[Trial]:
        """The trials whose child trained to its end, repeats too."""
        return [trial for trial in self.trials if trial.status == "ok"]

    @cached_property
    def top(self) -> list[Trial]:
        """The best children, each once, the best first; of equals the earliest."""
        return ranked(self.trained)[:TOP]

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
        trials = list(archive)
        entropy = _policy_entropy(run.plan, archive)
    if not trials:
        return None
    plan = run.plan
    space = _space(plan.env, json.dumps(plan.env_options))
    return Contents(Finished(run.folder, plan, trials), run.command, entropy, space)


def _policy_entropy(plan: Plan, archive: Archive) -> Sequence[tuple[int, float]]:
    """Return what the agent saved of its policy's entropy, nothing if it cannot be read here."""
    for _, state in archive.agent_states():
        try:
            agent = make(plan.agent, plan.seed, **plan.agent_options)
            agent.restore(state)
            return agent.entropy()
        except Exception:  # the agent is anybody's; the page does without
            return []
    return []


@lru_cache(maxsize=8)
def _space(env: str, options: str) -> SearchSpace | None:
    """Return the space of an environment at its deepest, None if it cannot be made here."""
    try:
        task = gym.make_vec(env, num_envs=1, **json.loads(options)).unwrapped
        task.close()
        return deepest(task.base_space)  # type: ignore[attr-defined]
    except Exception:  # its data are elsewhere, or the environment is anybody's
        return None
