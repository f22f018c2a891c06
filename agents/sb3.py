"""Stable-Baselines3's algorithms as agents: rollouts of whole episodes, resumed bit for bit.

An episode pays once, at its end, so nothing is discounted (gamma and lambda 1) and a rollout holds
whole waves of episodes, the last of which no value function has to complete. At such a boundary the
weights, the optimiser and the three global random generators, which SB3 draws from, are its whole
state.
"""

import io
import random
from abc import abstractmethod
from typing import Any

import numpy as np
import stable_baselines3 as sb3
import torch
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from nasgym.agents.base import Agent
from nasgym.vector import NASVectorEnv


class OnPolicy(Agent):
    """An on-policy algorithm of SB3; `options` go to its constructor and override the defaults."""

    def __init__(self, seed: int = 0, *, children_per_update: int = 16, **options: Any) -> None:
        """`children_per_update` is rounded up to whole waves of the environment."""
        self.seed = seed
        self.children_per_update = children_per_update
        self.options = options
        self.model: OnPolicyAlgorithm | None = None
        self._restored: bytes | None = None

    @abstractmethod
    def build(self, env: VecEnv, n_steps: int) -> OnPolicyAlgorithm:
        """Return the algorithm on `env`, with `n_steps` steps of each episode in a rollout."""

    def search(self, env: Any, budget: int) -> None:
        """Collect rollouts of whole episodes, learn from each, save, until the budget is spent."""
        env = env.unwrapped
        vec_env = LockStep(env) if isinstance(env, NASVectorEnv) else DummyVecEnv([lambda: env])
        waves = -(-self.children_per_update // env.num_envs)
        env.reset()
        model = self.model = self.build(vec_env, waves * env.episode_length)
        if self._restored is not None:
            _load(model, self._restored)
        with env.limited_to(budget):
            while env.trials < budget:
                _align(model, waves * env.episode_length)
                model.learn(model.n_steps * env.num_envs, reset_num_timesteps=False)
                env.checkpoint(self.state)

    def state(self) -> bytes | None:
        """Return weights, optimiser and random generators."""
        return self._restored if self.model is None else _dump(self.model)

    def restore(self, state: bytes) -> None:
        """Go back to what `state` returned, at the next `search`."""
        self._restored = state


class PPO(OnPolicy):
    """Proximal policy optimisation."""

    def build(self, env: VecEnv, n_steps: int) -> OnPolicyAlgorithm:
        """Return SB3's PPO with settings for one reward at the end."""
        defaults = {"gamma": 1.0, "gae_lambda": 1.0, "ent_coef": 0.01, "learning_rate": 1e-3}
        options = {**defaults, "batch_size": n_steps * env.num_envs // 4, **self.options}
        return sb3.PPO("MlpPolicy", env, n_steps=n_steps, seed=self.seed, device="cpu", **options)


class A2C(OnPolicy):
    """Advantage actor-critic, by default one wave of episodes an update."""

    def __init__(self, seed: int = 0, *, children_per_update: int = 1, **options: Any) -> None:
        """`children_per_update` is rounded up to whole waves of the environment."""
        super().__init__(seed, children_per_update=children_per_update, **options)

    def build(self, env: VecEnv, n_steps: int) -> OnPolicyAlgorithm:
        """Return SB3's A2C with settings for one reward at the end."""
        defaults = {"gamma": 1.0, "gae_lambda": 1.0, "ent_coef": 0.01, "learning_rate": 2e-3}
        options = {**defaults, "normalize_advantage": True, **self.options}
        return sb3.A2C("MlpPolicy", env, n_steps=n_steps, seed=self.seed, device="cpu", **options)


class LockStep(VecEnv):
    """The native vector environment as SB3 wants one: the next wave begins as one ends."""

    def __init__(self, envs: NASVectorEnv) -> None:
        """Step `envs`."""
        self.envs = envs  # before super: it asks for the render mode
        super().__init__(envs.num_envs, envs.single_observation_space, envs.single_action_space)
        self._actions: Any = None

    def reset(self) -> Any:
        """Start a wave."""
        return self.envs.reset()[0]

    def step_async(self, actions: Any) -> None:
        """Keep the actions for `step_wait`."""
        self._actions = actions

    def step_wait(self) -> Any:
        """Step, and at the end of a wave start the next one."""
        observations, rewards, terminated, _, info = self.envs.step(self._actions)
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        if terminated.all():
            for index, last in enumerate(observations):
                ended = {name: info[name][index] for name in ("architecture", "metrics", "status")}
                infos[index] = {**ended, "terminal_observation": last}
            observations = self.reset()
        return observations, rewards.astype(np.float32), terminated, infos

    def close(self) -> None:
        """Leave the environment to whoever made it."""

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """Return an attribute for each environment; there is one object behind all."""
        return [getattr(self.envs, attr_name)] * len(list(self._get_indices(indices)))

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Refuse: nothing about the environments may change in a search."""
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


def _align(model: OnPolicyAlgorithm, n_steps: int) -> None:
    """Let rollouts hold `n_steps` steps: episodes get longer as the ceiling grows."""
    if model.n_steps == n_steps:
        return
    model.n_steps = n_steps
    assert model.rollout_buffer_class is not None
    model.rollout_buffer = model.rollout_buffer_class(
        n_steps,
        model.observation_space,
        model.action_space,
        device=model.device,
        gamma=model.gamma,
        gae_lambda=model.gae_lambda,
        n_envs=model.n_envs,
    )


def _dump(model: OnPolicyAlgorithm) -> bytes:
    numpy_state: Any = np.random.get_state(legacy=True)
    name, keys, *rest = numpy_state
    state = {
        "policy": model.policy.state_dict(),
        "optimizer": model.policy.optimizer.state_dict(),
        "num_timesteps": model.num_timesteps,
        "updates": model._n_updates,
        "python": random.getstate(),
        "numpy": [name, keys.tolist(), *rest],
        "torch": torch.get_rng_state(),
    }
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def _load(model: OnPolicyAlgorithm, data: bytes) -> None:
    state = torch.load(io.BytesIO(data), weights_only=True)
    model.policy.load_state_dict(state["policy"])
    model.policy.optimizer.load_state_dict(state["optimizer"])
    model.num_timesteps, model._n_updates = state["num_timesteps"], state["updates"]
    random.setstate(state["python"])
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, np.array(keys, np.uint32), *rest))
    torch.set_rng_state(state["torch"])
