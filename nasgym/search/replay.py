"""Replay: a new agent searches against the archive of a run, and nothing is trained.

The agent must propose every string that was proposed, and end in the state that was saved, bit for
bit.
"""

import hashlib
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from nasgym.agents import make
from nasgym.archive import AgentState, Archive
from nasgym.environments.budget import BudgetSpent
from nasgym.environments.resume import ReplayError
from nasgym.environments.study import Study
from nasgym.environments.vector import NASVectorEnv
from nasgym.evaluation.evaluation import Evaluation
from nasgym.evaluation.evaluator import Evaluator
from nasgym.search.plan import Plan
from nasgym.search.run import Run, make_env


@dataclass(frozen=True)
class ReplayReport:
    """The result of a replay."""

    trials: int
    """Trials replayed."""
    updates: int
    """Updates of a parameter server that were computed again."""
    saved: str | None
    """SHA-256 of the state that the run saved; None if its agent saves none."""
    replayed: str | None
    """SHA-256 of the agent's state after the replay."""

    @property
    def equal(self) -> bool:
        """Whether the agent ended in the saved state."""
        return self.saved == self.replayed


def replay(run: Run) -> ReplayReport:
    """Replay `run` up to the last saved state of its agent, or to its end if there is none.

    Raises ReplayError, in one line, if the agent proposes a different string.
    """
    plan = run.plan
    # The placement of actors does not change the bits they compute.
    options = {name: value for name, value in plan.agent_options.items() if name != "placement"}
    agent = make(plan.agent, plan.seed, **options)
    with closing(run.archive()) as archive:
        saved = next(archive.agent_states(), None)
        end = saved or AgentState(len(archive), archive.proposed(), b"")
        with closing(_environment(plan)) as env:
            study = ReplayStudy(env.study, archive, end)
            study.resume(0)
            env.study, own = study, env.study
            with study.limited_to(end.trials):
                plan.search_of(agent)(env, end.trials)
            env.study = own
        finished = {trial.origin.proposal for trial in archive[: end.trials] if trial.origin}
        updates = sum(finished.issuperset(update.proposals) for update in archive.updates())
    state = agent.state()
    return ReplayReport(
        trials=study.trials,
        updates=updates,
        saved=None if saved is None else _digest(saved.state),
        replayed=None if saved is None or state is None else _digest(state),
    )


def _environment(plan: Plan) -> NASVectorEnv:
    """Return the environment of `plan`; without its data if it is one of ours."""
    problem = plan.problem()
    if problem is None:
        return make_env(plan.env, plan.num_envs, plan.task_options)
    growth = problem.growth
    return NASVectorEnv(
        problem.search_space(), NoEvaluator(), plan.num_envs, reward=problem.full_reward(), **growth
    )


class ReplayStudy(Study):
    """A study in which nothing is trained and nothing is recorded."""

    def __init__(self, study: Study, archive: Archive, end: AgentState) -> None:
        """Answer from `archive`, up to `end`, in the same task as `study`."""
        super().__init__(
            study.ceiling.space,
            NoEvaluator(),
            num_envs=study.num_envs,
            reward=study.reward,
            archive=archive,
            grow_by=study.ceiling.grow_by,
            grow_every=study.ceiling.grow_every,
        )
        self._end = end.trials, end.proposals

    def should_submit(self, budget: int) -> bool:
        """See `Study.should_submit`; the budget is spent at the end of the replay."""
        if (self.trials, self.proposals) == self._end:
            raise BudgetSpent("the replay is complete")
        return super().should_submit(budget)

    def save(self, state: Any) -> None:
        """Save nothing."""


class NoEvaluator(Evaluator):
    """The evaluator of a replay, which trains nothing."""

    def evaluate(self, architectures: Sequence[Any]) -> list[Evaluation]:
        """Raise ReplayError: the archive holds every child that the run trained."""
        raise ReplayError("the agent proposed a string that the run did not: was the seed another?")


def _digest(state: bytes) -> str:
    return hashlib.sha256(state).hexdigest()
