"""The interface of agents: objects that search an environment within a budget of children.

Only `Agent.search` is required. An agent that saves its state is resumed from it; another one is
resumed by replaying the archive from the start.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from nasgym.archive import Trial
from nasgym.environments.env import NASEnv
from nasgym.environments.study import Study
from nasgym.environments.vector import NASVectorEnv
from nasgym.errors import InvalidInput
from nasgym.spaces.base import SearchSpace, Tokens


class Agent(ABC):
    """The interface of every agent; its constructor takes `seed` and its own options."""

    in_waves: bool = True
    """Whether `search` waits for a whole batch of children before it proposes others."""
    batch: int | None = None
    """Children proposed at a time; None: as many as the environment runs in parallel."""
    one_by_one: bool = False
    """Whether the agent can learn from one child while others are in training: then it can also
    search asynchronously."""

    @abstractmethod
    def search(self, env: NASEnv | NASVectorEnv, budget: int) -> None:
        """Search `env` until it has finished `budget` children.

        `env.unwrapped.study` counts the children (`trials`) and records them; the agent returns
        nothing. Gymnasium's wrappers around `env` are allowed.
        """

    def search_asynchronously(self, env: NASEnv | NASVectorEnv, budget: int) -> None:
        """Search like `search`, but propose a string as soon as a worker is free."""
        raise InvalidInput(f"{type(self).__name__} learns from batches, not one by one")

    @classmethod
    def resolve_options(cls, options: dict[str, Any], budget: int) -> dict[str, Any]:
        """Return the options for a search of `budget` children, such as the preset for it."""
        return options

    def state(self) -> bytes | None:
        """Return everything that the next proposal depends on; None if that cannot be saved."""
        return None

    def restore(self, state: bytes) -> None:
        """Go back to the point where `state` was returned."""
        raise NotImplementedError(f"{type(self).__name__} saves no state")

    def entropy(self) -> list[tuple[int, float]]:
        """Return (children finished, nats a decision) over time, if the agent has a policy."""
        return []


class Searches(Protocol):
    """Any object with a method `search`."""

    def search(self, env: Any, budget: int) -> None:
        """Search `env` until it has finished `budget` children."""
        ...


class SearchOnly(Agent):
    """An agent that has a method `search` and nothing else."""

    def __init__(self, agent: Searches) -> None:
        """Let `agent` search."""
        self.agent = agent

    def search(self, env: NASEnv | NASVectorEnv, budget: int) -> None:
        """Search as the agent does, but never beyond the budget."""
        with env.unwrapped.study.limited_to(budget):
            self.agent.search(env, budget)


class AskTellAgent(Agent):
    """An agent that proposes whole strings and learns from their trials."""

    @abstractmethod
    def propose(self, space: SearchSpace, count: int) -> list[Tokens]:
        """Return `count` strings of `space`."""

    @abstractmethod
    def learn(self, trials: Sequence[Trial]) -> None:
        """Learn from the trials of the last proposal, in order."""

    def search(self, env: NASEnv | NASVectorEnv, budget: int) -> None:
        """Propose, train, learn and save, until `budget` children are finished."""
        study = env.unwrapped.study
        while (left := budget - study.trials) > 0:
            study.check_seconds()
            strings = self.propose(study.space, min(self.batch or study.num_envs, left))
            self.learn(study.play(strings))
            study.checkpoint(self.state)

    def search_asynchronously(self, env: NASEnv | NASVectorEnv, budget: int) -> None:
        """Search like `search`, but propose a string as soon as a worker is free.

        No worker waits for the others of a wave. The proposals depend on the order in which
        children finish, so a seed does not repeat the search; resuming from the archive does.
        """
        if not self.one_by_one:
            super().search_asynchronously(env, budget)
        study = env.unwrapped.study
        while study.should_submit(budget) or study.in_flight:
            with study.gathering():
                while study.should_submit(budget):
                    study.submit(self.propose(study.space, 1))
            for trial in study.finished():
                self.learn([trial])
            study.checkpoint(self.state)


def resume(agent: Agent, study: Study) -> bool:
    """Restore the agent's last state in the archive; return whether there is one.

    Later trials are replayed as the agent searches.
    """
    for saved in study.archive.agent_states():
        agent.restore(saved.state)
        study.resume(saved.trials, saved.proposals)
        return True
    return False


def generator_state(rng: np.random.Generator) -> bytes:
    """Return the state of `rng`, for `generator_from`."""
    return json.dumps(rng.bit_generator.state).encode()


def generator_from(state: bytes) -> np.random.Generator:
    """Return a generator that continues the one given to `generator_state`."""
    rng = np.random.default_rng()
    rng.bit_generator.state = json.loads(state)
    return rng
