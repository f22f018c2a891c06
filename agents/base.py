"""An agent: whatever searches an environment within a budget of children.

`Agent.search` is all that is required. An agent that can also save its state is resumed from it;
one that cannot is resumed by replaying the archive from the start.
"""

import json
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np

from nasgym.archive import Trial
from nasgym.spaces.base import SearchSpace, Tokens


class Agent(ABC):
    """The interface of every agent; its constructor takes `seed` and its own options."""

    in_waves: bool = True
    """Whether `search` waits for a whole batch of children before it proposes others."""

    @abstractmethod
    def search(self, env: Any, budget: int) -> None:
        """Search `env` until it has finished `budget` children.

        `env` is one of this project's environments, single or vector, wrapped or not. It counts
        the children (`env.unwrapped.trials`) and records every one; the agent returns nothing.
        """

    def state(self) -> bytes | None:
        """Return all that the agent's next proposal depends on, or None if that cannot be saved."""
        return None

    def restore(self, state: bytes) -> None:
        """Go back to what `state` returned."""
        raise NotImplementedError(f"{type(self).__name__} saves no state")

    def entropy(self) -> list[tuple[int, float]]:
        """Return (children finished, nats a decision) over time, if the agent has a policy."""
        return []


class SearchOnly(Agent):
    """An agent that has a `search` method and nothing else."""

    def __init__(self, agent: Any) -> None:
        """Let `agent` search."""
        self.agent = agent

    def search(self, env: Any, budget: int) -> None:
        """Search as the agent does, but never beyond the budget."""
        with env.unwrapped.limited_to(budget):
            self.agent.search(env, budget)


class AskTellAgent(Agent):
    """An agent that proposes whole strings and learns from the trials they became."""

    batch: int | None = None
    """Children proposed at a time; None: as many as the environment runs in parallel."""

    one_by_one: bool = False
    """Whether it learns from a child as well as from a batch, while others are being trained: then
    it can also search asynchronously."""

    @abstractmethod
    def propose(self, space: SearchSpace, count: int) -> list[Tokens]:
        """Return `count` strings of `space`."""

    @abstractmethod
    def learn(self, trials: Sequence[Trial]) -> None:
        """Take in the trials that the last proposal became, in order."""

    def search(self, env: Any, budget: int) -> None:
        """Propose, train, learn and save, until `budget` children are finished."""
        env = env.unwrapped
        while (left := budget - env.trials) > 0:
            env.check_seconds()
            strings = self.propose(env.space, min(self.batch or env.num_envs, left))
            self.learn(env.play(strings))
            env.checkpoint(self.state)

    def search_asynchronously(self, env: Any, budget: int) -> None:
        """Search like `search`, but propose a string as soon as a worker is free.

        No worker waits for the others of a wave. What is proposed depends on the order in which
        children finish, so a seed does not repeat the search; the archive does, when it goes on.
        """
        if not self.one_by_one:
            raise ValueError(f"{type(self).__name__} learns from batches, not one by one")
        env = env.unwrapped
        while env.wants(budget) or env.under_way:
            with env.gathering():
                while env.wants(budget):
                    env.submit(self.propose(env.space, 1))
            for trial in env.finished():
                self.learn([trial])
            env.checkpoint(self.state)


def resume(agent: Agent, env: Any) -> bool:
    """Go back to the agent's last state in the archive of `env`; return whether there is one.

    What happened since is replayed as the agent goes on.
    """
    for saved in env.archive.agent_states():
        agent.restore(saved.state)
        env.resume(saved.trials, saved.proposals)
        return True
    return False


def generator_state(rng: np.random.Generator) -> bytes:
    """Return the state of `rng`, for `generator_from`."""
    return json.dumps(rng.bit_generator.state).encode()


def generator_from(state: bytes) -> np.random.Generator:
    """Return a generator that goes on where the one given to `generator_state` stood."""
    rng = np.random.default_rng()
    rng.bit_generator.state = json.loads(state)
    return rng
