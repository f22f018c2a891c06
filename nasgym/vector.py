"""The vector environment: m episodes in lock-step, whose m children train as one batch."""

from pathlib import Path
from typing import Any

import numpy as np
from gymnasium.error import InvalidAction, ResetNeeded
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from nasgym.archive import Archive, Trial
from nasgym.env import (
    RENDER_MODES,
    check_render_mode,
    end_info,
    gym_spaces,
    layers_option,
    padded_mask,
    render,
)
from nasgym.evaluation import Evaluator, Reward
from nasgym.space import SearchSpace
from nasgym.task import Task

Observations = NDArray[np.integer[Any]]


class NASVectorEnv(Task, VectorEnv[Observations, NDArray[np.int64], NDArray[np.float64]]):
    """`num_envs` environments `NASEnv` that step together; see there for what a step means.

    Episodes that start together end together, so the children of a wave are trained as one batch,
    on as many workers as the evaluator has. Results equal those of `num_envs` single environments
    on the same actions. The step after the end of a wave starts the next one, whatever its actions
    (Gymnasium's `AutoresetMode.NEXT_STEP`); calling `reset` there does the same.

    `info["action_mask"]` is (num_envs, A). At the end of a wave `info` also holds `architecture`,
    `metrics`, `status` and `error` as object arrays of length num_envs.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012
        "render_modes": list(RENDER_MODES),
        "render_fps": 1,
        "autoreset_mode": AutoresetMode.NEXT_STEP,
    }

    def __init__(
        self,
        space: SearchSpace,
        evaluator: Evaluator,
        num_envs: int = 1,
        *,
        reward: str | Reward = "accuracy",
        archive: Archive | str | Path | None = None,
        grow_by: int = 0,
        grow_every: int = 1600,
        render_mode: str | None = None,
    ) -> None:
        """See `NASEnv` for the arguments; `num_envs` is the number of episodes in a wave."""
        if num_envs < 1:
            raise ValueError(f"num_envs must be at least 1, not {num_envs}")
        super().__init__(
            space,
            evaluator,
            reward=reward,
            archive=archive,
            grow_by=grow_by,
            grow_every=grow_every,
        )
        self.num_envs = num_envs
        self.render_mode = check_render_mode(render_mode)
        self.single_observation_space, self.single_action_space = gym_spaces(space)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._actions = int(self.single_action_space.n)
        self._layers: int | None = None
        self._wave = self.space
        self._position: int | None = None
        self._states = np.zeros(num_envs, np.int64)
        self._observations = self._empty_observations()

    def reset(
        self,
        *,
        seed: int | list[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Observations, dict[str, Any]]:
        """Start a wave of empty strings; `options={"layers": n}` sets their number of layers.

        Raises ValueError for any other option, or a number of layers that the space has not.
        """
        super().reset(seed=seed if isinstance(seed, int) else None)
        layers = layers_option(options)
        self._wave, self._layers = self.space_with(layers), layers
        self._position = 0
        self._states = np.zeros(self.num_envs, np.int64)
        self._observations = self._empty_observations()
        return self._observations.copy(), self._info()

    def step(
        self, actions: NDArray[np.int64]
    ) -> tuple[
        Observations,
        NDArray[np.float64],
        NDArray[np.bool_],
        NDArray[np.bool_],
        dict[str, Any],
    ]:
        """Write one token in every episode; at the end of the wave train its children.

        Raises InvalidAction for actions outside the action space, ResetNeeded before `reset`.
        """
        if self._position is None:
            raise ResetNeeded("call reset() before step()")
        if self._position == self.episode_length:
            observations, info = self.reset()
            return observations, *self._outcome(terminated=False), info
        automaton = self._wave.automaton
        tokens = self._checked(actions) % automaton.num_options[self._states]
        self._observations[:, self._position] = np.where(
            self._states == automaton.end, 0, tokens + 1
        )
        self._states = automaton.successor[self._states, tokens]
        self._position += 1
        if self._position < self.episode_length:
            return self._observations.copy(), *self._outcome(terminated=False), self._info()
        trials = self.play(self._strings(), self._layers)
        rewards, terminated, truncated = self._outcome(terminated=True)
        rewards[:] = [trial.reward for trial in trials]
        info = {**self._info(), **self._end_info(trials)}
        return self._observations.copy(), rewards, terminated, truncated, info

    @property
    def episode_length(self) -> int:
        """Steps of the current wave: the longest string under its ceiling."""
        return self._wave.max_length

    def action_masks(self) -> NDArray[np.bool_]:
        """Return which actions are legal now, (num_envs, A)."""
        return padded_mask(self._wave, self._states, self._actions).astype(np.bool_)

    def render(self) -> tuple[Any, ...] | None:
        """Return each episode's architecture, or its string so far, as `render_mode` says."""
        if self.render_mode is None:
            return None
        finished = self._position == self.episode_length
        return tuple(
            render(self.render_mode, self._wave, list(tokens), finished)
            for tokens in self._strings()
        )

    def close_extras(self, **kwargs: Any) -> None:
        """Stop the workers and close the archive."""
        self.close_task()

    def _checked(self, actions: NDArray[np.int64]) -> NDArray[np.int64]:
        array = np.asarray(actions)
        if array.shape != (self.num_envs,) or array.dtype.kind not in "iu":
            raise InvalidAction(
                f"actions must be {self.num_envs} whole numbers, not {actions!r}"
            )
        if array.min() < 0 or array.max() >= self._actions:
            raise InvalidAction(
                f"actions {actions!r} are not all from 0 to {self._actions - 1}"
            )
        return array

    def _strings(self) -> list[tuple[int, ...]]:
        """Return the tokens written so far, without padding."""
        return [tuple((row[row > 0] - 1).tolist()) for row in self._observations]

    def _outcome(
        self, *, terminated: bool
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_]]:
        """Return fresh (rewards of 0, terminated, truncated)."""
        return (
            np.zeros(self.num_envs),
            np.full(self.num_envs, terminated),
            np.zeros(self.num_envs, np.bool_),
        )

    def _info(self) -> dict[str, Any]:
        return {"action_mask": padded_mask(self._wave, self._states, self._actions)}

    def _end_info(self, trials: list[Trial]) -> dict[str, Any]:
        infos = [end_info(trial) for trial in trials]
        gathered: dict[str, Any] = {}
        for name in ("architecture", "metrics", "status", "error"):
            column = np.empty(self.num_envs, object)
            for index, info in enumerate(infos):
                column[index] = info.get(name)
            gathered[name] = column
            gathered[f"_{name}"] = np.array([name in info for info in infos])
        return gathered

    def _empty_observations(self) -> Observations:
        return np.zeros(self.observation_space.shape, self.observation_space.dtype)
