"""Stable-Baselines3's algorithms as agents: rollouts of whole episodes, resumed bit for bit.

An episode pays once, at its end, so nothing is discounted (gamma and lambda 1), and a rollout holds
whole waves of episodes, the last of which no value function has to complete. At such a boundary the
weights, the optimiser, the averages that rewards are standardised with, and the three global random
generators, which SB3 draws from, are the whole state of an on-policy algorithm.
"""

import inspect
import random
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import sb3_contrib
import stable_baselines3 as sb3
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.torch_layers import FlattenExtractor
from stable_baselines3.common.type_aliases import TrainFreq, TrainFrequencyUnit
from stable_baselines3.common.vec_env import DummyVecEnv

from nasgym.agents.base import Agent
from nasgym.agents.sb3.dqn import IndependentDQN
from nasgym.agents.sb3.vec_env import LockStep, Standardised
from nasgym.agents.torch_state import FOREIGN_STATE, packed, unpacked
from nasgym.environments.vector import NASVectorEnv
from nasgym.options import did_you_mean

Options = Mapping[str, Any]

DECIDED = {
    *("self", "options", "policy", "env", "n_steps", "train_freq"),
    *("exploration_fraction", "_init_setup_model"),
}
"""What constructors take and no option may say: it is decided here, or means steps of a budget."""

ONE_REWARD: Options = {"gamma": 1.0, "gae_lambda": 1.0, "ent_coef": 0.01}
"""Settings of on-policy algorithms that suit one reward, at the end."""


class StableBaselines(Agent):
    """An algorithm of SB3 or sb3-contrib on standardised rewards."""

    algorithm: ClassVar[type[BaseAlgorithm]]
    """The class of the algorithm."""
    policy: ClassVar[str] = "MlpPolicy"
    """The algorithm's name for its networks."""
    defaults: ClassVar[Options]
    """Options in which we differ from the algorithm."""
    children_per_update: int = 24
    """Children a rollout holds, rounded up to whole waves of the environment."""

    def __init__(
        self,
        seed: int = 0,
        *,
        children_per_update: int | None = None,
        decay: float = 0.98,
        **options: Any,
    ) -> None:
        """`options` go to the algorithm's constructor and override the defaults.

        `decay` is that of the averages which rewards are standardised with, from child to child.
        Raises ValueError for an option that there is not.
        """
        self._check_names(options)
        networks = {**self.defaults.get("policy_kwargs", {}), **options.get("policy_kwargs", {})}
        self.options = {**self.defaults, **options, "policy_kwargs": networks}
        if children_per_update is not None:
            self.children_per_update = children_per_update
        if self.children_per_update < 1 or not 0 <= decay < 1:
            raise ValueError(
                f"children_per_update must be from 1 and decay in [0, 1), "
                f"not {children_per_update} and {decay}"
            )
        self.seed = seed
        self.decay = decay
        self.model: BaseAlgorithm | None = None

    def search(self, env: Any, budget: int) -> None:
        """Collect rollouts of whole episodes, learn from each, save, until the budget is spent."""
        env = env.unwrapped
        vec_env = LockStep(env) if isinstance(env, NASVectorEnv) else DummyVecEnv([lambda: env])
        env.reset()
        saved = self.state()
        model = self.build(Standardised(vec_env, self.decay), self._steps(env))
        if saved is not None:
            _load(model, saved)
        self.model = model
        with env.limited_to(budget):
            while env.trials < budget:
                self.align(model, self._steps(env))
                model.learn(1, reset_num_timesteps=False)
                env.checkpoint(self.state)

    def _steps(self, env: Any) -> int:
        """Return the steps of the next rollout: it ends where episodes get longer, so all fit."""
        children = self.children_per_update
        if env.grow_by:
            children = min(children, env.grow_every - env.trials % env.grow_every)
        waves = -(-children // env.num_envs)
        return int(waves * env.episode_length)

    @abstractmethod
    def build(self, env: Standardised, steps: int) -> BaseAlgorithm:
        """Return the algorithm on `env`, with `steps` steps of each environment in a rollout."""

    @abstractmethod
    def align(self, model: Any, steps: int) -> None:
        """Let the next rollout hold `steps` steps: as the ceiling grows, episodes do."""

    def made(self, env: Standardised, **sizes: Any) -> Any:
        """Return the algorithm with all options; ValueError for a value that it does not take."""
        options = {"device": "cpu", **self.options, **sizes}
        try:
            return self.algorithm(self.policy, env, seed=self.seed, **options)
        except (AssertionError, TypeError, ValueError) as error:
            words = ", ".join(f"{name}={value!r}" for name, value in options.items())
            raise ValueError(f"{type(self).__name__} does not take {words}: {error}") from error

    def _check_names(self, options: Options) -> None:
        constructors = StableBaselines.__init__, type(self).__init__, self.algorithm.__init__
        known = {name for each in constructors for name in inspect.signature(each).parameters}
        for name in options:
            if name not in known - DECIDED:
                hint = did_you_mean(name, sorted(known - DECIDED))
                raise ValueError(f"{type(self).__name__} has no option {name!r}{hint}")


class OnPolicy(StableBaselines):
    """An algorithm that learns from a rollout and forgets it."""

    batched: ClassVar[bool] = True
    """Whether a rollout is learned in batches, by default in one."""

    _restored: bytes | None = None

    def build(self, env: Standardised, steps: int) -> BaseAlgorithm:
        """Return the algorithm on `env`, with `steps` steps of each environment in a rollout."""
        model: BaseAlgorithm = self.made(env, **self._sizes(steps, env.num_envs))
        return model

    def align(self, model: Any, steps: int) -> None:
        """Let rollouts hold `steps` steps; the buffer makes its arrays anew for each."""
        for name, size in self._sizes(steps, model.n_envs).items():
            setattr(model, name, size)
        buffer = model.rollout_buffer
        buffer.buffer_size = steps
        if hasattr(buffer, "hidden_state_shape"):  # the algorithm is recurrent
            buffer.hidden_state_shape = (steps, *buffer.hidden_state_shape[1:])

    def state(self) -> bytes | None:
        """Return weights, optimiser, averages and random generators."""
        return self._restored if self.model is None else _dump(self.model)

    def restore(self, state: bytes) -> None:
        """Go back to what `state` returned, at the next `search`."""
        self._restored = state

    def _sizes(self, steps: int, num_envs: int) -> dict[str, int]:
        """Return the size of a rollout and of the batches it is learned in."""
        if not self.batched:
            return {"n_steps": steps}
        return {"n_steps": steps, "batch_size": self.options.get("batch_size", steps * num_envs)}


class PPO(OnPolicy):
    """Proximal policy optimisation."""

    algorithm = sb3.PPO
    defaults: ClassVar[Options] = {**ONE_REWARD, "learning_rate": 1e-3}


class A2C(OnPolicy):
    """Advantage actor-critic."""

    algorithm = sb3.A2C
    defaults: ClassVar[Options] = ONE_REWARD
    batched = False
    children_per_update = 8


class MaskablePPO(OnPolicy):
    """Proximal policy optimisation that draws legal actions only."""

    algorithm = sb3_contrib.MaskablePPO
    defaults: ClassVar[Options] = PPO.defaults


class OneHot(FlattenExtractor):
    """One-hot tokens, as many as a plain int says: torch's LSTM takes no integer of numpy's."""

    def __init__(self, observation_space: gym.Space[Any]) -> None:
        """Flatten what is observed."""
        super().__init__(observation_space)
        self._features_dim = int(self._features_dim)


class RecurrentPPO(OnPolicy):
    """Proximal policy optimisation with an LSTM."""

    algorithm = sb3_contrib.RecurrentPPO
    policy = "MlpLstmPolicy"
    defaults: ClassVar[Options] = {
        **PPO.defaults,
        "policy_kwargs": {"features_extractor_class": OneHot, "lstm_hidden_size": 64},
    }


class DQN(StableBaselines):
    """Deep Q-learning from whole returns, since there is nothing to bootstrap before the end.

    What it learns from is every episode so far: it saves no state (`state()` is None) and is
    resumed by replaying the archive, learning included. Each `search` begins anew.
    """

    algorithm = IndependentDQN
    defaults: ClassVar[Options] = {
        "gamma": 1.0,
        "learning_rate": 2e-3,
        "batch_size": 64,
        "gradient_steps": 16,
        "buffer_size": 100_000,
        "exploration_final_eps": 0.1,
    }
    children_per_update = 8

    def __init__(self, seed: int = 0, *, exploration_children: int = 100, **options: Any) -> None:
        """Let the share of random tokens fall linearly over `exploration_children` children.

        It does not depend on the budget, which may grow. The other options are as everywhere.
        """
        super().__init__(seed, **options)
        if exploration_children < 1:
            raise ValueError(f"exploration_children must be from 1, not {exploration_children}")
        self.exploration_children = exploration_children

    def build(self, env: Standardised, steps: int) -> BaseAlgorithm:
        """Return the algorithm on `env`, with `steps` steps of each environment in a rollout."""
        (longest,) = env.observation_space.shape or ()
        model: IndependentDQN = self.made(env, train_freq=(steps, "step"), n_steps=longest)
        model.exploration_children = self.exploration_children
        return model

    def align(self, model: Any, steps: int) -> None:
        """Let rollouts hold `steps` steps."""
        model.train_freq = TrainFreq(steps, TrainFrequencyUnit.STEP)


def _dump(model: Any) -> bytes:
    numpy_state: Any = np.random.get_state(legacy=True)
    name, keys, *rest = numpy_state
    return packed(
        {
            "policy": model.policy.state_dict(),
            "optimizer": model.policy.optimizer.state_dict(),
            "averages": model.env.advantages.state(),
            "num_timesteps": model.num_timesteps,
            "updates": model._n_updates,
            "python": random.getstate(),
            "numpy": [name, keys.tolist(), *rest],
            "torch": torch.get_rng_state(),
        }
    )


def _load(model: Any, data: bytes) -> None:
    """Go back to what `_dump` returned; ValueError, in one line, for what it never would have."""
    state = unpacked(data)
    try:
        _restore(model, state)
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        kind = type(model).__name__
        raise ValueError(f"{FOREIGN_STATE}, not {kind} here ({type(error).__name__})") from None


def _restore(model: Any, state: Mapping[str, Any]) -> None:
    model.policy.load_state_dict(state["policy"])
    model.policy.optimizer.load_state_dict(state["optimizer"])
    model.env.advantages.restore(state["averages"])
    model.num_timesteps, model._n_updates = state["num_timesteps"], state["updates"]
    random.setstate(state["python"])
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, np.array(keys, np.uint32), *rest))
    torch.set_rng_state(state["torch"])
