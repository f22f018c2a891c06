"""The environment: an agent writes an architecture token by token; the trained network pays."""

import operator
from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any, NoReturn

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from gymnasium.error import ClosedEnvironmentError, InvalidAction, ResetNeeded
from numpy.typing import NDArray

from nasgym.archive import Archive, Trial
from nasgym.environments.study import Study
from nasgym.environments.transitions import Transitions
from nasgym.errors import InvalidInput
from nasgym.evaluation.evaluator import EvaluatesBatches, Evaluator
from nasgym.evaluation.rewards import Reward
from nasgym.spaces.base import SearchSpace, Tokens, deepest

RENDER_MODES = ("ansi", "rgb_array")


class NASEnv(gym.Env[NDArray[np.integer[Any]], np.int64]):
    """Write a network as a string of tokens; the reward is its validation accuracy.

    ## Description
    A network is a string of hyper-parameter tokens ("filter height 3", "filter width 5", "input
    from layer 2", ...). Each step writes one token. When the string is complete, the network it
    describes, the *child*, is built and trained on the training images, and its accuracy on the
    validation images is the reward (Zoph & Le 2017). Every finished episode is recorded in
    `env.unwrapped.archive`; a child that was trained before is looked up, not trained again. The
    state of the search, and a way to pass whole strings, is `env.unwrapped.study` (see `Study`).

    ## Action Space
    `Discrete(A)`, A being the number of options of the widest decision. The action is the index of
    an option of the current decision. If the decision has n < A options, an action from n on is
    folded to `action % n`, so that agents without masks work too; the legal actions are in
    `info["action_mask"]` (int8, 1 = legal, fit for `action_space.sample(mask)`) and in
    `action_masks()` (bool, found by sb3-contrib). Folding favours small tokens where A is no
    multiple of n: prefer an agent with masks there. Anything outside the action space raises
    `InvalidAction` and changes nothing.

    ## Observation Space
    `MultiDiscrete([A + 1] * L)`, L being the longest string at `max_layers`: the string so far, 0
    for a place not written yet, otherwise the token plus one. It is the full state.

    ## Starting State
    The empty string. `reset(options={"layers": n})` sets the number of layers for one episode.

    ## Rewards
    0 at every step but the last. At the last step `reward` of the child's evaluation: "accuracy"
    (the default), "accuracy_cubed" (the paper's, section 4.1), "nll" (the geometric mean
    probability given to the right class) or any callable from `Evaluation` to float. A child that
    fails (its training diverges, runs out of time or memory, crashes) earns 0.0; `step` does not
    raise. `nasgym.evaluation.rewards.CostWeightedReward` adds a soft constraint on a cost.

    ## Episode End
    An episode terminates after `episode_length` steps, the length of the longest string under the
    current ceiling. In a space whose strings differ in length, the tokens after the end of a
    shorter one are ignored (the mask allows 0 only), so that episodes that start together end
    together. There is no truncation.

    ## Information
    `action_mask` always. At the end also `architecture` (plain data), `metrics`, `status` ("ok" or
    the kind of failure) and, if the child failed, `error`.

    ## Arguments
    * `space`: a `SearchSpace`.
    * `evaluator`: an `Evaluator`, or any object with `evaluate(architectures) -> evaluations`, one
      each, in order.
    * `reward="accuracy"`: see Rewards.
    * `limits=None`: upper limits of costs, such as `{"parameters": 50_000}`, that the evaluator
      knows before training. A child beyond a limit is not trained: it is "invalid".
    * `archive=None`: a path or an `Archive` to record in; in memory if None. A child that is in it
      is not trained again, whichever run trained it.
    * `run=None`: the run of the archive at that path to resume or to begin; one process at a time
      can hold it. None is "main", or "main-2", "main-3", ... if that is taken.
    * `grow_by=0`, `grow_every=1600`: the ceiling of layers starts at `space.layers` and grows by
      `grow_by` after every `grow_every` children, up to `space.max_layers`.
    * `render_mode=None`: "ansi" (text) or "rgb_array" (a drawing, uint8, height x width x 3).

    ## References
    B. Zoph and Q. V. Le, "Neural Architecture Search with Reinforcement Learning", ICLR 2017.

    ## Version History
    * v0: first version.
    """

    metadata: dict[str, Any] = {"render_modes": list(RENDER_MODES), "render_fps": 1}  # noqa: RUF012

    action_space: spaces.Discrete

    def __init__(
        self,
        space: SearchSpace,
        evaluator: Evaluator | EvaluatesBatches,
        *,
        reward: str | Reward = "accuracy",
        limits: Mapping[str, float] | None = None,
        archive: Archive | str | Path | None = None,
        run: str | None = None,
        grow_by: int = 0,
        grow_every: int = 1600,
        render_mode: str | None = None,
    ) -> None:
        """See the class for the arguments."""
        self.render_mode = check_render_mode(render_mode)
        self.study = Study(
            space,
            evaluator,
            reward=reward,
            limits=limits,
            archive=archive,
            run=run,
            grow_by=grow_by,
            grow_every=grow_every,
        )
        observation_space, self.action_space = gym_spaces(space)
        self.observation_space = observation_space
        self._actions = int(self.action_space.n)
        self._transitions_in = cache(partial(Transitions.of, actions=self._actions))
        self._blank = np.zeros_like(observation_space.nvec, observation_space.dtype)
        self._closed = False
        self._layers: int | None = None
        self._string_space = self.study.space
        self._transitions = self._transitions_in(self._string_space)
        self._state = 0
        self._steps = self._transitions.length  # as at the end of an episode
        self._observation = self._blank.copy()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[np.integer[Any]], dict[str, Any]]:
        """Start an empty string; `options={"layers": n}` sets its number of layers.

        Raises ValueError for any other option, or a number of layers that the space does not have;
        ClosedEnvironmentError after `close`.
        """
        check_open(self._closed)
        super().reset(seed=seed)
        layers = layers_option(options)
        study = self.study
        self._string_space = study.space if layers is None else study.ceiling.at(layers)
        self._layers = layers
        self._transitions = self._transitions_in(self._string_space)
        self._state = self._steps = 0
        self._observation = self._blank.copy()
        return self._observation.copy(), self._info()

    def step(
        self, action: np.int64
    ) -> tuple[NDArray[np.integer[Any]], float, bool, bool, dict[str, Any]]:
        """Write one token; at the end of the string train the child.

        Raises InvalidAction for anything outside the action space, ResetNeeded before `reset` and
        after the end of an episode, ClosedEnvironmentError after `close`.
        """
        transitions = self._transitions
        if self._steps == transitions.length:
            check_open(self._closed)
            raise ResetNeeded("there is no running episode: call reset() before step()")
        column = self._checked(action)
        self._observation[self._steps] = transitions.written[self._state, column]
        self._state = int(transitions.successor[self._state, column])
        self._steps += 1
        if self._steps < transitions.length:
            return self._observation.copy(), 0.0, False, False, self._info()
        (trial,) = self.study.play(written_strings(self._observation[None]), self._layers)
        return self._observation.copy(), trial.reward, True, False, self._info() | end_info(trial)

    @property
    def unwrapped(self) -> "NASEnv":
        """The environment itself; wrappers return it too."""
        return self

    @property
    def archive(self) -> Archive:
        """The archive in which every finished episode is recorded."""
        return self.study.archive

    @property
    def episode_length(self) -> int:
        """Steps of the current episode: the longest string under its ceiling."""
        return self._transitions.length

    def action_masks(self) -> NDArray[np.bool_]:
        """Return which actions are legal now, (A,); sb3-contrib calls this method."""
        masks: NDArray[np.bool_] = self._transitions.mask[self._state].astype(np.bool_)
        return masks

    def render(self) -> Any:
        """Return the finished architecture, or the string so far, as `render_mode` says."""
        (tokens,) = written_strings(self._observation[None])
        return render(self.render_mode, self._string_space, tokens)

    def close(self) -> None:
        """Stop the workers and close the archive; the environment cannot be used again."""
        self._closed, self._steps = True, self._transitions.length  # as at the end of an episode
        self.study.close()

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Raise TypeError: see `refuse_copy`."""
        refuse_copy()

    def _checked(self, action: Any) -> int:
        try:
            column = -1 if isinstance(action, bool) else operator.index(action)
        except TypeError:
            column = -1
        if not 0 <= column < self._actions:
            raise InvalidAction(
                f"action must be a whole number from 0 to {self._actions - 1}, not {action!r}"
            )
        return column

    def _info(self) -> dict[str, Any]:
        return {"action_mask": self._transitions.mask[self._state].copy()}


def gym_spaces(space: SearchSpace) -> tuple[spaces.MultiDiscrete, spaces.Discrete]:
    """Return the observation and action space of one environment over `space` at its deepest."""
    longest = deepest(space)
    actions = longest.max_options
    sizes = [actions + 1] * longest.max_length
    # Stable-Baselines3 adds the sizes up in the dtype of the space.
    dtype: Any = np.min_scalar_type(-sum(sizes) - 1)
    return (
        spaces.MultiDiscrete(sizes, dtype=dtype),
        spaces.Discrete(actions),
    )


def layers_option(options: Mapping[str, Any] | None) -> int | None:
    """Return the "layers" of reset's options; raise ValueError for options there are not."""
    unknown = set(options or {}) - {"layers"}
    if unknown:
        raise InvalidInput(f"reset knows the option 'layers', not {', '.join(map(repr, unknown))}")
    return None if options is None else options.get("layers")


def written_strings(observations: NDArray[np.integer[Any]]) -> list[Tokens]:
    """Return the tokens written in each row of observations (m, L)."""
    return [tuple((row[row > 0] - 1).tolist()) for row in observations]


def end_info(trial: Trial) -> dict[str, Any]:
    """Return what `info` holds about a finished episode."""
    info = {
        "architecture": trial.architecture,
        "metrics": {"accuracy": trial.accuracy, **trial.metrics},
        "status": trial.status,
    }
    return {**info, "error": trial.error} if trial.error else info


def check_open(closed: bool) -> None:
    """Raise ClosedEnvironmentError if `closed` is true."""
    if closed:
        raise ClosedEnvironmentError("this environment is closed: make another one")


def refuse_copy() -> NoReturn:
    """Raise TypeError: two copies would write into one archive, each as if it were alone."""
    raise TypeError(
        "an environment has an archive and workers, so it cannot be copied or pickled: "
        "make another one in its place"
    )


def check_render_mode(render_mode: str | None) -> str | None:
    """Return `render_mode`, or raise ValueError if there is no such mode."""
    if render_mode not in (None, *RENDER_MODES):
        raise InvalidInput(f"render_mode {render_mode!r} is none of {', '.join(RENDER_MODES)}")
    return render_mode


def render(mode: str | None, space: SearchSpace, tokens: Tokens) -> Any:
    """Return a picture, "ansi" or "rgb_array", of a string: of its network if it is finished."""
    if mode is None:
        return None
    from nasgym import drawing

    if space.contains(tokens):
        subject = space.decode(tokens)
    else:
        subject = {
            f"{decision.name}, layer {decision.layer}": decision.options[token]
            for decision, token in space.walk_prefix(tokens)
        }
    return drawing.text(subject) if mode == "ansi" else drawing.rgb(subject)
