"""The vector environment: m episodes in lock-step, whose m children train as one batch."""

from collections.abc import Iterator, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces
from gymnasium.error import InvalidAction, ResetNeeded
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from nasgym.archive import Archive, Trial
from nasgym.environments.env import (
    RENDER_MODES,
    check_open,
    check_render_mode,
    end_info,
    gym_spaces,
    layers_option,
    refuse_copy,
    render,
    written_strings,
)
from nasgym.environments.study import Study
from nasgym.environments.transitions import Transitions
from nasgym.errors import InvalidInput
from nasgym.evaluation.evaluator import EvaluatesBatches, Evaluator
from nasgym.evaluation.rewards import Reward
from nasgym.spaces.base import SearchSpace

Observations = NDArray[np.integer[Any]]
Outcome = tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_]]


class NASVectorEnv(VectorEnv[Observations, NDArray[np.int64], NDArray[Any]]):
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

    single_action_space: spaces.Discrete

    def __init__(
        self,
        space: SearchSpace,
        evaluator: Evaluator | EvaluatesBatches,
        num_envs: int = 1,
        *,
        reward: str | Reward = "accuracy",
        limits: Mapping[str, float] | None = None,
        archive: Archive | str | Path | None = None,
        run: str | None = None,
        grow_by: int = 0,
        grow_every: int = 1600,
        render_mode: str | None = None,
    ) -> None:
        """See `NASEnv` for the arguments; `num_envs` is the number of episodes in a wave."""
        if num_envs < 1:
            raise InvalidInput(f"num_envs must be at least 1, not {num_envs}")
        self.render_mode = check_render_mode(render_mode)
        self.study = Study(
            space,
            evaluator,
            num_envs=num_envs,
            reward=reward,
            limits=limits,
            archive=archive,
            run=run,
            grow_by=grow_by,
            grow_every=grow_every,
        )
        self.num_envs = num_envs
        observation_space, self.single_action_space = gym_spaces(space)
        self._actions = int(self.single_action_space.n)
        self._transitions_in = cache(partial(Transitions.of, actions=self._actions))
        self.single_observation_space = observation_space
        self._blank = np.zeros((num_envs, *observation_space.nvec.shape), observation_space.dtype)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._layers: int | None = None
        self._string_space = self.study.space
        self._transitions = self._transitions_in(self._string_space)
        self._masks = self._wave_masks()
        self._states = np.zeros(num_envs, np.int64)
        self._steps: int | None = None
        self._observations = self._blank.copy()
        self._columns = self._observations.T
        self._outcomes = self._wave_outcomes()

    def reset(
        self,
        *,
        seed: int | list[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Observations, dict[str, Any]]:
        """Start a wave of empty strings; `options={"layers": n}` sets their number of layers.

        Raises ValueError for any other option, or a number of layers that the space does not have;
        ClosedEnvironmentError after `close`.
        """
        check_open(self.closed)
        super().reset(seed=seed if isinstance(seed, int) else None)
        layers = layers_option(options)
        study = self.study
        self._string_space = study.space if layers is None else study.ceiling.at(layers)
        self._layers = layers
        self._transitions = self._transitions_in(self._string_space)
        self._masks = self._wave_masks()
        self._states = np.zeros(self.num_envs, np.int64)
        self._steps = 0
        self._observations = self._blank.copy()
        self._columns = self._observations.T
        self._outcomes = self._wave_outcomes()
        return self._observations.copy(), self._info()

    def step(
        self, actions: NDArray[np.int64]
    ) -> tuple[
        Observations,
        NDArray[Any],
        NDArray[Any],
        NDArray[Any],
        dict[str, Any],
    ]:
        """Write one token in every episode; at the end of the wave train its children.

        Raises InvalidAction for actions outside the action space, ResetNeeded before `reset`,
        ClosedEnvironmentError after `close`.
        """
        steps, transitions = self._steps, self._transitions
        if steps is None:
            check_open(self.closed)
            raise ResetNeeded("call reset() before step()")
        if steps == transitions.length:
            observations, info = self.reset()
            return observations, *next(self._outcomes), info
        self._write(steps, actions)
        self._steps = steps + 1
        rewards, terminated, truncated = next(self._outcomes)
        info = self._info()
        if self._steps == transitions.length:
            trials = self.study.play(written_strings(self._observations), self._layers)
            rewards[:], terminated[:] = [trial.reward for trial in trials], True
            info |= self._end_info(trials)
        return self._observations.copy(), rewards, terminated, truncated, info

    @property
    def unwrapped(self) -> "NASVectorEnv":
        """The environment itself; wrappers return it too."""
        return self

    @property
    def archive(self) -> Archive:
        """The archive in which every finished episode is recorded."""
        return self.study.archive

    @property
    def episode_length(self) -> int:
        """Steps of the current wave: the longest string under its ceiling."""
        return self._transitions.length

    def action_masks(self) -> NDArray[np.bool_]:
        """Return which actions are legal now, (num_envs, A)."""
        transitions = self._transitions
        states = np.full(self.num_envs, self._steps or 0) if transitions.linear else self._states
        masks: NDArray[np.bool_] = transitions.mask[states].astype(np.bool_)
        return masks

    def render(self) -> tuple[Any, ...] | None:
        """Return each episode's network, or its string so far, as `render_mode` says."""
        if self.render_mode is None:
            return None
        strings = written_strings(self._observations)
        return tuple(render(self.render_mode, self._string_space, tokens) for tokens in strings)

    def close_extras(self, **kwargs: Any) -> None:
        """Stop the workers and close the archive; the environment cannot be used again."""
        self._steps = None
        self.study.close()

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Raise TypeError: see `refuse_copy`."""
        refuse_copy()

    def _write(self, steps: int, actions: NDArray[np.int64]) -> None:
        """Write a token in every episode, or raise InvalidAction and change nothing."""
        array, transitions = np.asarray(actions), self._transitions
        if array.shape != (self.num_envs,) or array.dtype.kind not in "iu":
            raise InvalidAction(f"actions must be {self.num_envs} whole numbers, not {actions!r}")
        try:
            # The tables have no entry for too large a number, but one for a negative number.
            # argmin takes a fifth of the time of min, which is a third of a whole step's.
            if array.item(array.argmin()) < 0:
                raise IndexError
            if transitions.linear:
                self._columns[steps] = transitions.written[steps][array]
            else:
                self._columns[steps] = transitions.written[self._states, array]
                self._states = transitions.successor[self._states, array]
        except IndexError:
            allowed = f"from 0 to {self._actions - 1}"
            raise InvalidAction(f"actions {actions!r} are not all {allowed}") from None

    # The arrays that steps return are made once for the whole wave: an array takes 200 ns to make,
    # a row of one takes 60 ns.

    def _wave_outcomes(self) -> Iterator[Outcome]:
        """Return rewards, terminations and truncations for each step of a wave, all zero."""
        shape = self._transitions.length + 1, self.num_envs
        terminated, truncated = np.zeros(shape, np.bool_), np.zeros(shape, np.bool_)
        return zip(np.zeros(shape), terminated, truncated, strict=True)

    def _wave_masks(self) -> Iterator[NDArray[np.int8]] | None:
        """Return the masks for each step of a wave, if the position in the string decides them."""
        if not self._transitions.linear:
            return None
        return iter(np.repeat(self._transitions.mask[:, None], self.num_envs, axis=1))

    def _info(self) -> dict[str, Any]:
        if self._masks is None:
            return {"action_mask": self._transitions.mask[self._states]}
        return {"action_mask": next(self._masks)}

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
