"""Adapters between this project's environments and Stable-Baselines3."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper

from nasgym.agents.advantages import Advantages
from nasgym.environments.vector import NASVectorEnv
from nasgym.errors import InvalidInput


class NASVecEnv(VecEnv):
    """The native vector environment as an SB3 one, which resets itself when a wave ends."""

    def __init__(self, envs: NASVectorEnv) -> None:
        """Wrap `envs`."""
        self.envs = envs  # before super().__init__, which reads the render mode
        super().__init__(envs.num_envs, envs.single_observation_space, envs.single_action_space)
        self._actions: Any = None

    def reset(self) -> Any:
        """Start a wave; return its observations."""
        return self.envs.reset()[0]

    def step_async(self, actions: Any) -> None:
        """Store the actions for `step_wait`."""
        self._actions = actions

    def step_wait(self) -> Any:
        """Step all environments; at the end of a wave, start the next one."""
        observations, rewards, terminated, _, info = self.envs.step(self._actions)
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        if terminated.all():
            for index, last in enumerate(observations):
                ended = {name: info[name][index] for name in ("architecture", "metrics", "status")}
                infos[index] = {**ended, "terminal_observation": last}
            observations = self.reset()
        return observations, rewards.astype(np.float32), terminated, infos

    def close(self) -> None:
        """Do nothing: the caller of `search` owns the environment."""

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """Return an attribute for each environment; all share one object."""
        return [getattr(self.envs, attr_name)] * len(list(self._get_indices(indices)))

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Raise AttributeError: the environments must not change during a search."""
        raise AttributeError(f"{attr_name} cannot be set")

    def env_method(
        self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any
    ) -> list[Any]:
        """Return each environment's row of a vectorised method, such as "action_masks"."""
        rows = getattr(self.envs, method_name)(*args, **kwargs)
        return [rows[index] for index in self._get_indices(indices)]

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        """Return False for each environment."""
        return [False] * len(list(self._get_indices(indices)))


class RewardStandardiser(VecEnvWrapper):
    """Replaces each child's reward by its standardised advantage over earlier children.

    Mean and spread are moving averages over children, held in `advantages`.
    """

    def __init__(self, venv: VecEnv, decay: float) -> None:
        """Wrap `venv`; `decay` applies to the averages at each child."""
        super().__init__(venv)
        self.advantages = Advantages(decay, standardise=True)

    def reset(self) -> Any:
        """Reset the environments; return their observations."""
        return self.venv.reset()

    def step_wait(self) -> Any:
        """Step, and standardise the rewards of finished children."""
        observations, rewards, ended, infos = self.venv.step_wait()
        if ended.any():
            rewards[ended] = self._standardised(rewards[ended].astype(np.float64))
        return observations, rewards, ended, infos

    def _standardised(self, rewards: NDArray[np.float64]) -> NDArray[np.float64]:
        for reward in rewards:
            if not math.isfinite(reward):
                raise InvalidInput(f"the reward of a child is {reward}: it must be finite")
        return self.advantages.update(rewards.tolist())
