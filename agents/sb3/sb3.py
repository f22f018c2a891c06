"""Stable-Baselines3's algorithms as agents: rollouts of whole episodes, resumed bit for bit.

An episode has one reward, at its end, so gamma and lambda are 1. A rollout holds whole waves of
episodes, so no value function has to estimate the rest of an episode. Between rollouts the whole
state of an on-policy algorithm is its weights, its optimiser, the averages that standardise the
rewards, and the three global random generators that SB3 draws from.
"""

import inspect
import random
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import sb3_contrib
import stable_baselines3 as sb3
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.torch_layers import FlattenExtractor
from stable_baselines3.common.type_aliases import TrainFreq, TrainFrequencyUnit
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from nasgym.agents.base import Agent
from nasgym.agents.sb3.dqn import IndependentDQN
from nasgym.agents.sb3.vec_env import NASVecEnv, RewardStandardiser
from nasgym.agents.torch_state import FOREIGN_STATE, packed, unpacked
from nasgym.environments.env import NASEnv
from nasgym.environments.vector import NASVectorEnv
from nasgym.errors import InvalidInput
from nasgym.options import check_options, did_you_mean

Options = Mapping[str, Any]

NO_OPTIONS = {
    *("policy", "env", "seed", "n_steps", "train_freq", "exploration_fraction"),
    "_init_setup_model",
}
"""Arguments of the algorithms' constructors that are set here or depend on a number of steps."""

ONE_REWARD: Options = {"gamma": 1.0, "gae_lambda": 1.0, "ent_coef": 0.01}
"""Options of on-policy algorithms for episodes with one reward, at the end."""


class StableBaselines(Agent):
    """An algorithm of SB3 or sb3-contrib, trained on standardised rewards."""

    algorithm: ClassVar[type[BaseAlgorithm]]
    """The class of the algorithm."""
    policy: ClassVar[str] = "MlpPolicy"
    """SB3's name of the policy networks."""
    defaults: ClassVar[Options]
    """Our defaults where they differ from the algorithm's."""
    children_per_update: int = 24
    """Children in a rollout, rounded up to whole waves of the environment."""

    __signature__: ClassVar[inspect.Signature]
    """Shown by help() and editors instead of `options`."""

    def __init_subclass__(cls) -> None:
        """Set the signature of an agent that has an algorithm."""
        super().__init_subclass__()
        if hasattr(cls, "algorithm"):
            cls.__signature__ = cls._signature()

    def __init__(
        self,
        seed: int = 0,
        *,
        children_per_update: int | None = None,
        decay: float = 0.98,
        **options: Any,
    ) -> None:
        """`options` go to the algorithm's constructor; see the signature of the class.

        `decay` applies at each child to the averages that standardise rewards. Raises ValueError
        for an unknown option.
        """
        self._check_names(options)
        networks = options.get("policy_kwargs") or {}
        check_options({"policy_kwargs": networks}, {"policy_kwargs": dict})
        networks = {**self.defaults.get("policy_kwargs", {}), **networks}
        self.options = {**self.defaults, **options, "policy_kwargs": networks}
        if children_per_update is not None:
            self.children_per_update = children_per_update
        own = {"children_per_update": self.children_per_update, "decay": decay}
        check_options(own, {"children_per_update": int, "decay": float})
        if self.children_per_update < 1 or not 0 <= decay < 1:
            raise InvalidInput(
                f"children_per_update must be from 1 and decay in [0, 1), "
                f"not {children_per_update} and {decay}"
            )
        self.seed = seed
        self.decay = decay
        self.model: BaseAlgorithm | None = None

    def search(self, env: NASEnv | NASVectorEnv, budget: int) -> None:
        """Collect rollouts of whole episodes, learn from each and save, within the budget."""
        env, study = env.unwrapped, env.unwrapped.study
        vec_env: VecEnv
        vec_env = NASVecEnv(env) if isinstance(env, NASVectorEnv) else DummyVecEnv([lambda: env])
        env.reset()
        saved = self.state()
        model = self.build(RewardStandardiser(vec_env, self.decay), self._steps(env))
        if saved is not None:
            _load(model, saved)
        self.model = model
        with study.limited_to(budget):
            while study.trials < budget:
                self.align(model, self._steps(env))
                model.learn(1, reset_num_timesteps=False)
                study.checkpoint(self.state)

    def _steps(self, env: NASEnv | NASVectorEnv) -> int:
        """Return the steps of the next rollout, which ends before episodes get longer."""
        children, study = self.children_per_update, env.study
        if study.ceiling.grow_by:
            grow_every = study.ceiling.grow_every
            children = min(children, grow_every - study.trials % grow_every)
        return -(-children // study.num_envs) * env.episode_length

    @abstractmethod
    def build(self, env: RewardStandardiser, steps: int) -> BaseAlgorithm:
        """Create the algorithm on `env`, with `steps` steps of each environment in a rollout."""

    @abstractmethod
    def align(self, model: Any, steps: int) -> None:
        """Set the length of the next rollout: episodes get longer as the ceiling grows."""

    def create(self, env: RewardStandardiser, **sizes: Any) -> Any:
        """Create the algorithm with all options; raise ValueError for a value it rejects."""
        options = {"device": "cpu", **self.options, **sizes}
        try:
            return self.algorithm(self.policy, env, seed=self.seed, **options)
        except (AssertionError, TypeError, ValueError) as error:
            words = ", ".join(f"{name}={value!r}" for name, value in options.items())
            raise InvalidInput(f"{type(self).__name__} does not take {words}: {error}") from error

    @classmethod
    def _signature(cls) -> inspect.Signature:
        """Return the agent's own options and those of its algorithm, with our defaults.

        The default batch_size of on-policy algorithms, None, is a whole rollout.
        """
        own = {"device": "cpu", "batch_size": None, "children_per_update": cls.children_per_update}
        defaults = {**own, **cls.defaults}
        parameters: dict[str, inspect.Parameter] = {}
        for constructor in (cls.__init__, StableBaselines.__init__, cls.algorithm.__init__):
            for name, parameter in inspect.signature(constructor).parameters.items():
                if name != "self" and parameter.kind is not inspect.Parameter.VAR_KEYWORD:
                    parameters.setdefault(name, parameter)
        options = [
            parameter.replace(
                kind=inspect.Parameter.KEYWORD_ONLY,
                default=defaults.get(name, parameter.default),
            )
            for name, parameter in parameters.items()
            if name not in NO_OPTIONS
        ]
        return inspect.Signature([parameters["seed"], *options])

    def _check_names(self, options: Options) -> None:
        known = sorted(inspect.signature(type(self)).parameters)
        for name in options:
            if name not in known:
                hint = did_you_mean(name, known)
                raise InvalidInput(f"{type(self).__name__} has no option {name!r}{hint}")


class OnPolicy(StableBaselines):
    """An algorithm that learns from each rollout once and discards it."""

    batched: ClassVar[bool] = True
    """Whether the algorithm splits a rollout into batches; by default one batch."""

    _restored: bytes | None = None

    def build(self, env: RewardStandardiser, steps: int) -> BaseAlgorithm:
        """Create the algorithm on `env`, with `steps` steps of each environment in a rollout."""
        model: BaseAlgorithm = self.create(env, **self._sizes(steps, env.num_envs))
        return model

    def align(self, model: Any, steps: int) -> None:
        """Set the length of rollouts; the buffer allocates its arrays at each reset."""
        for name, size in self._sizes(steps, model.n_envs).items():
            setattr(model, name, size)
        buffer = model.rollout_buffer
        buffer.buffer_size = steps
        if hasattr(buffer, "hidden_state_shape"):  # the algorithm is recurrent
            buffer.hidden_state_shape = (steps, *buffer.hidden_state_shape[1:])

    def state(self) -> bytes | None:
        """Return weights, optimiser, averages and random generators; None before a search."""
        return self._restored if self.model is None else _dump(self.model)

    def restore(self, state: bytes) -> None:
        """Load what `state` returned, at the next `search`."""
        self._restored = state

    def _sizes(self, steps: int, num_envs: int) -> dict[str, int]:
        """Return the sizes of a rollout and of its batches, as the algorithm's attributes."""
        if not self.batched:
            return {"n_steps": steps}
        batch_size = self.options.get("batch_size")
        return {
            "n_steps": steps,
            "batch_size": steps * num_envs if batch_size is None else batch_size,
        }


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
    """Proximal policy optimisation that samples legal actions only."""

    algorithm = sb3_contrib.MaskablePPO
    defaults: ClassVar[Options] = PPO.defaults


class OneHot(FlattenExtractor):
    """One-hot tokens, counted by a plain int: torch's LSTM rejects numpy's integers."""

    @property
    def features_dim(self) -> int:
        """The number of features."""
        return int(super().features_dim)


class RecurrentPPO(OnPolicy):
    """Proximal policy optimisation with an LSTM."""

    algorithm = sb3_contrib.RecurrentPPO
    policy = "MlpLstmPolicy"
    defaults: ClassVar[Options] = {
        **PPO.defaults,
        "policy_kwargs": {"features_extractor_class": OneHot, "lstm_hidden_size": 64},
    }


class DQN(StableBaselines):
    """Deep Q-learning from whole returns: there is no reward to bootstrap from before the end.

    It learns from all episodes so far, so it saves no state (`state()` is None) and is resumed by
    replaying the archive, including the learning. Each `search` starts from the beginning.
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
        """The exploration rate falls linearly over `exploration_children` children.

        It does not depend on the budget, which may grow.
        """
        super().__init__(seed, **options)
        check_options({"exploration_children": exploration_children}, {"exploration_children": int})
        if exploration_children < 1:
            raise InvalidInput(f"exploration_children must be from 1, not {exploration_children}")
        self.exploration_children = exploration_children

    def build(self, env: RewardStandardiser, steps: int) -> BaseAlgorithm:
        """Create the algorithm on `env`, with `steps` steps of each environment in a rollout."""
        (longest,) = env.observation_space.shape or ()
        model: IndependentDQN = self.create(env, train_freq=(steps, "step"), n_steps=longest)
        model.exploration_children = self.exploration_children
        return model

    def align(self, model: Any, steps: int) -> None:
        """Set the length of rollouts."""
        model.train_freq = TrainFreq(steps, TrainFrequencyUnit.STEP)


def _dump(model: Any) -> bytes:
    """Return the state of an algorithm between rollouts."""
    numpy_state: Any = np.random.get_state(legacy=True)
    name, keys, *rest = numpy_state
    return packed(
        {
            "policy": model.policy.state_dict(),
            "optimizer": model.policy.optimizer.state_dict(),
            "averages": model.env.advantages.state(),
            "num_timesteps": model.num_timesteps,
            "updates": model._n_updates,  # SB3 has no public name for it
            "python": random.getstate(),
            "numpy": [name, keys.tolist(), *rest],
            "torch": torch.get_rng_state(),
        }
    )


def _load(model: Any, data: bytes) -> None:
    """Load what `_dump` returned; raise ValueError, in one line, for any other data."""
    state = unpacked(data)
    try:
        _restore(model, state)
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        kind = type(model).__name__
        raise InvalidInput(f"{FOREIGN_STATE}, not {kind} here ({type(error).__name__})") from None


def _restore(model: Any, state: Mapping[str, Any]) -> None:
    model.policy.load_state_dict(state["policy"])
    model.policy.optimizer.load_state_dict(state["optimizer"])
    model.env.advantages.restore(state["averages"])
    model.num_timesteps, model._n_updates = state["num_timesteps"], state["updates"]
    random.setstate(state["python"])
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, np.array(keys, np.uint32), *rest))
    torch.set_rng_state(state["torch"])
