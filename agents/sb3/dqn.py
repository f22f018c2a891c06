"""Deep Q-learning in which each environment of a wave explores independently."""

from typing import Any

import numpy as np
from stable_baselines3 import DQN


class IndependentDQN(DQN):
    """SB3's DQN with an independent draw for exploration in each environment.

    In SB3 all environments explore at a step or none does. Environments that do not explore propose
    the same string, so a whole wave of them would train one child.
    """

    exploration_children: int
    """Episodes over which exploration falls to its final rate; set it before learning."""

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[Any, Any]:
        """Return an action for each environment: random where it explores, else the best known."""
        actions, state = self.policy.predict(observation, state, episode_start, deterministic)
        explores = np.random.random(len(actions)) < (0.0 if deterministic else self._rate())
        drawn = [self.action_space.sample() for _ in actions]
        return np.where(explores, drawn, actions), state

    def _rate(self) -> float:
        """Return the exploration rate. It falls over episodes, since budgets count children.

        SB3's own rate falls over steps. Its counter of episodes has no public name.
        """
        done = min(1.0, self._episode_num / self.exploration_children)
        first, last = self.exploration_initial_eps, self.exploration_final_eps
        return first + done * (last - first)
