"""Replay: an agent made anew proposes against a run's archive, and nothing is trained.

It must propose every string that was proposed, and end in the state that was saved, bit for bit.
"""

import hashlib
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any, cast

import gymnasium as gym

from nasgym.agents import AskTellAgent, make
from nasgym.archive import AgentState
from nasgym.environments.study import BudgetSpent, ReplayError, Task
from nasgym.environments.vector import NASVectorEnv
from nasgym.evaluation.evaluation import Evaluation
from nasgym.search.run import Run


@dataclass(frozen=True)
class Replay:
    """What a replay showed."""

    trials: int
    """Trials replayed."""
    updates: int
    """Updates of a parameter server that were computed again."""
    saved: str | None
    """SHA-256 of the state that the run saved; None if its agent saves none."""
    replayed: str | None
    """SHA-256 of the agent's state now."""

    @property
    def equal(self) -> bool:
        """Whether the agent is what it was."""
        return self.saved == self.replayed


def replay(run: Run) -> Replay:
    """Replay `run` up to where its agent was last saved, or all of it if that saves no state.

    Raises ReplayError, in one line, if the agent proposes something else.
    """
    plan = run.plan
    # Where actors live changes no bit of what they compute.
    options = {name: value for name, value in plan.agent_options.items() if name != "placement"}
    agent = make(plan.agent, plan.seed, **options)
    with closing(run.archive()) as archive:
        saved = next(archive.agent_states(), None)
        end = saved or AgentState(len(archive), archive.proposed(), b"")
        made = gym.make_vec(plan.env, num_envs=plan.num_envs, **plan.task_options).unwrapped
        with closing(cast(Any, made)) as of_its_own:
            env = Recorded(of_its_own, archive, end)
        env.resume(0)
        search = agent.search
        if plan.asynchronous:
            search = cast(AskTellAgent, agent).search_asynchronously
        with env.limited_to(end.trials):
            search(env, end.trials)
        finished = {trial.origin.proposal for trial in archive[: end.trials] if trial.origin}
        updates = sum(finished.issuperset(update.proposals) for update in archive.updates())
    state = agent.state()
    return Replay(
        trials=env.trials,
        updates=updates,
        saved=None if saved is None else _digest(saved.state),
        replayed=None if saved is None or state is None else _digest(state),
    )


class Recorded(NASVectorEnv):
    """An environment like `env` in which nothing is trained and nothing recorded."""

    def __init__(self, env: Task, archive: Any, end: AgentState) -> None:
        """Answer from `archive`, up to `end`."""
        super().__init__(
            env.base_space,
            Nothing(),
            env.num_envs,
            reward=env.reward,
            archive=archive,
            grow_by=env.grow_by,
            grow_every=env.grow_every,
        )
        self.end = end.trials, end.proposals

    def wants(self, budget: int) -> bool:
        """See `Task.wants`; the budget is spent at the end."""
        if (self.trials, self.proposals) == self.end:
            raise BudgetSpent("all is replayed")
        return super().wants(budget)

    def save(self, state: Any) -> None:
        """Save nothing."""


class Nothing:
    """An evaluator for what needs none."""

    def evaluate(self, architectures: Sequence[Any]) -> list[Evaluation]:
        """Raise ReplayError: what the run recorded is known."""
        raise ReplayError("the agent proposed what the run did not: was it made with another seed?")


def _digest(state: bytes) -> str:
    return hashlib.sha256(state).hexdigest()
