"""An agent: whatever searches an environment within a budget of children.

`Agent.search` is all that is required. An agent that can also save its state is resumed from it;
one that cannot is resumed by replaying the archive from the start.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from nasgym.archive import Trial
from nasgym.space import SearchSpace, Tokens


class Agent(ABC):
    """The interface of every agent; its constructor takes `seed` and its own options."""

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


class AskTellAgent(Agent):
    """An agent that proposes whole strings and learns from the trials they became."""

    batch: int | None = None
    """Children proposed at a time; None: as many as the environment runs in parallel."""

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
            strings = self.propose(env.space, min(self.batch or env.num_envs, left))
            self.learn(env.play(strings))
            env.checkpoint(self.state)
