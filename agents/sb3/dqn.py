"""Deep Q-learning in which the environments of a wave explore each for itself."""

from typing import Any

import numpy as np
from stable_baselines3 import DQN


class IndependentDQN(DQN):
    """SB3's DQN with a die for each environment: there all explore at a step, or none.

    Environments that do not explore write the same string, and a wave of them trains one child.
    """

    exploration_children: int
    """Episodes over which exploration falls to its final rate; to be set before learning."""

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[Any, Any]:
        """Return an action for each environment, a random one where its die says so."""
        actions, state = self.policy.predict(observation, state, episode_start, deterministic)
        explores = np.random.random(len(actions)) < (0.0 if deterministic else self._rate())
        drawn = [self.action_space.sample() for _ in actions]
        return np.where(explores, drawn, actions), state

    def _rate(self) -> float:
        """Return the share of random actions; SB3's falls over steps, which no budget counts."""
        done = min(1.0, self._episode_num / self.exploration_children)
        first, last = self.exploration_initial_eps, self.exploration_final_eps
        return first + done * (last - first)
