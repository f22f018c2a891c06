"""The environments under whatever an agent, a script or a framework may do to them."""

import copy
import json
import pickle
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.error import ClosedEnvironmentError, InvalidAction, ResetNeeded
from gymnasium.vector import AsyncVectorEnv
from hypothesis import HealthCheck, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from stable_baselines3.common.vec_env import SubprocVecEnv

from nasgym import Evaluation, NASEnv, NASVectorEnv, SearchSpace
from nasgym.spaces import ConvSpace, RecurrentSpace
from tests.faults.table import Seen
from tests.faults.tiers import Scale
from tests.spaces import Numbers, Stack

SPACES: dict[str, SearchSpace] = {
    "conv": ConvSpace(layers=2, max_layers=3, filters=(8, 16)),
    "cell": RecurrentSpace(2),
    "stack": Stack(),
}

# Wrong actions ----------------------------------------------------------------------------------

NO_ACTIONS: list[Any] = [
    *(-1, -(10**30), 10**30, 2**63, 0.5, 1.0, float("nan"), float("inf"), True, False),
    *("0", b"0", "", None, [0], (0,), {0}, {"action": 0}, object(), slice(0), 1j),
    *(np.array([0]), np.array([[0]]), np.array([]), np.float32(1), np.float64("nan"), np.True_),
    *(np.datetime64("2017"), np.array("0")),
]
"""What is no whole number of the action space; and so is the number of actions."""


def unchanged(env: NASEnv, act: Callable[[], object], error: type[Exception]) -> None:
    """Assert that `act` raises `error`, in one line, and leaves everything as it was."""
    before = env._observation.copy(), env._steps, env._state, env.study.trials
    with pytest.raises(error) as raised:
        act()
    assert "\n" not in str(raised.value)
    assert (env._observation == before[0]).all()
    assert (env._steps, env._state, env.study.trials) == before[1:]


@pytest.mark.fault("F26", "actions that are none, steps before reset, after the end, after close")
def test_f26_wrong_actions_are_refused_and_change_nothing(seen: Seen) -> None:
    count = 0
    for space in SPACES.values():
        env = NASEnv(space, Numbers())
        unchanged(env, lambda env=env: env.step(np.int64(0)), ResetNeeded)  # type: ignore[misc]
        env.reset()
        env.step(np.int64(1))
        wrong = [
            *NO_ACTIONS,
            env.action_space.n,
            np.int64(env.action_space.n),
            np.uint64(2**64 - 1),
        ]
        for action in wrong:
            unchanged(env, lambda env=env, action=action: env.step(action), InvalidAction)  # type: ignore[misc]
        for options in ({"layers": 99}, {"layers": 0}, {"depth": 2}, {"layers": "two"}):
            unchanged(env, lambda env=env, options=options: env.reset(options=options), ValueError)  # type: ignore[misc]
        while env.step(np.int64(0))[2] is False:
            pass
        unchanged(env, lambda env=env: env.step(np.int64(0)), ResetNeeded)  # type: ignore[misc]
        env.close()
        env.close()
        for act in (lambda env=env: env.step(np.int64(0)), env.reset):
            unchanged(env, act, ClosedEnvironmentError)
        count += len(wrong) + 8
    seen(count, "the documented error each, nothing changed")


@pytest.mark.fault("F26", "waves of actions that are none, of a wrong shape, masked out")
def test_f26_wrong_waves_are_refused_and_masked_actions_are_folded(seen: Seen) -> None:
    count = 0
    for space in SPACES.values():
        envs = NASVectorEnv(space, Numbers(), num_envs=2)
        with pytest.raises(ResetNeeded):
            envs.step(np.array([0, 0]))
        first = envs.reset()[0]
        wrong: list[Any] = [
            [one, 0] for one in (-1, envs.single_action_space.n, 10**18, 0.5, "0", None)
        ]
        wrong += [[0], [0, 0, 0], [[0, 0]], 0, None, "00", [], [True, False]]
        wrong += [
            np.array([0.0, 1.0]),
            np.array([0, -1]),
            np.array([0, envs.single_action_space.n], np.uint8),
        ]
        for actions in wrong:
            with pytest.raises(InvalidAction) as error:
                envs.step(actions)
            assert "\n" not in str(error.value)
            assert (envs._observations == first).all() and envs._steps == 0
        single = NASEnv(space, Numbers())
        single.reset()
        while single._steps < single.episode_length:
            legal = int(single.action_masks().sum())
            action = single.action_space.n - 1  # beyond the mask of most decisions
            written = single.step(np.int64(action))[0]
            place = single._steps - 1
            assert written[place] in (0, action % legal + 1)
        envs.close()
        with pytest.raises(ClosedEnvironmentError):
            envs.step(np.array([0, 0]))
        with pytest.raises(ClosedEnvironmentError):
            envs.reset()
        count += len(wrong) + 3 + single.episode_length
    seen(count, "the documented error each, nothing changed; masked ones folded")


# Anything in any order --------------------------------------------------------------------------


class Surprising:
    """Pays, and fails, by a fixed rule."""

    def evaluate(self, architectures: Sequence[Any]) -> list[Evaluation]:
        paid = Numbers().evaluate(architectures)
        return [
            one if one.accuracy > 0.3 else Evaluation(status="oom", error="no memory")
            for one in paid
        ]


class AnyOrder(RuleBasedStateMachine):
    """An environment, and beside it the string that it should have written."""

    episodes = 0
    """Finished by all runs."""

    def __init__(self) -> None:
        super().__init__()
        self.env: NASEnv
        self.string: list[int] | None = None
        self.info: dict[str, Any] = {}
        self.closed = False

    @initialize(
        space=st.sampled_from(list(SPACES)), mode=st.sampled_from([None, "ansi", "rgb_array"])
    )
    def make(self, space: str, mode: str | None) -> None:
        self.env = NASEnv(SPACES[space], Surprising(), render_mode=mode)

    @property
    def under_way(self) -> bool:
        return self.string is not None and not self.closed

    @rule(layers=st.sampled_from([None, 1, 2, 3, 9]), seed=st.sampled_from([None, 0, 7]))
    def reset(self, layers: int | None, seed: int | None) -> None:
        options = None if layers is None else {"layers": layers}
        base = self.env.study.ceiling.space
        deepest = getattr(base, "max_layers", None) if base.layers else None
        if self.closed:
            with pytest.raises(ClosedEnvironmentError):
                self.env.reset(seed=seed, options=options)
        elif layers is not None and (deepest is None or layers > deepest):
            with pytest.raises(ValueError, match=r"^[^\n]+$"):
                self.env.reset(seed=seed, options=options)
        else:
            observation, self.info = self.env.reset(seed=seed, options=options)
            assert not observation.any()
            self.string = []

    @rule(choice=st.integers(0, 10**6), masked=st.booleans())
    @precondition(lambda self: self.under_way)
    def step_to_the_end(self, choice: int, masked: bool) -> None:
        while self.under_way:
            self.step(choice, masked)
            choice = choice * 31 % 10**6

    @rule(choice=st.integers(0, 10**6), masked=st.booleans())
    def step(self, choice: int, masked: bool) -> None:
        if not self.under_way:
            with pytest.raises(ClosedEnvironmentError if self.closed else ResetNeeded):
                self.env.step(np.int64(0))
            return
        assert self.string is not None
        legal = np.flatnonzero(self.info["action_mask"])
        assert (self.env.action_masks() == self.info["action_mask"]).all()
        assert (legal == np.arange(len(legal))).all()
        action = choice % len(legal) if masked else choice % self.env.action_space.n
        observation, reward, terminated, truncated, self.info = self.env.step(np.int64(action))
        place = len(self.string)
        assert observation[place] in (0, action % len(legal) + 1)
        self.string.append(int(observation[place]))
        assert observation[: place + 1].tolist() == self.string
        assert observation in self.env.observation_space
        assert np.isfinite(reward) and not truncated
        assert terminated == (len(self.string) == self.env.episode_length)
        if terminated:
            trial = self.env.archive[-1:][0]
            assert (trial.reward, trial.status) == (reward, self.info["status"])
            assert [token + 1 for token in trial.tokens] == [one for one in self.string if one]
            assert ("error" in self.info) == (trial.status != "ok")
            self.string = None
            AnyOrder.episodes += 1
        else:
            assert reward == 0.0 and "status" not in self.info

    @rule(action=st.sampled_from([-1, 10**9, 0.5, "0", None]))
    @precondition(lambda self: self.under_way)
    def step_wrongly(self, action: Any) -> None:
        unchanged(self.env, lambda: self.env.step(action), InvalidAction)

    @rule(chance=st.integers(0, 9))
    @precondition(lambda self: hasattr(self, "env"))
    def render(self, chance: int) -> None:
        if (
            self.env.render_mode == "rgb_array" and chance != 7
        ):  # a picture takes a tenth of a second
            return
        picture = self.env.render()
        mode = self.env.render_mode
        assert isinstance(picture, {"ansi": str, "rgb_array": np.ndarray, None: type(None)}[mode])

    @rule(copied=st.sampled_from([copy.copy, copy.deepcopy, pickle.dumps]))
    def copy(self, copied: Callable[[Any], Any]) -> None:
        with pytest.raises(TypeError, match="cannot be copied or pickled: make another one"):
            copied(self.env)
        again = pickle.loads(pickle.dumps(self.env.study.space))
        assert again.string(1) == self.env.study.space.string(1)

    @rule(chance=st.integers(0, 9))
    def close(self, chance: int) -> None:
        if chance == 7:  # after it there is little left to see
            self.env.close()
            self.closed = True

    @invariant()
    def the_archive_is_whole(self) -> None:
        if hasattr(self, "env") and not self.closed:
            assert len(self.env.archive) == self.env.study.trials

    def teardown(self) -> None:
        """Whatever was done before, an episode can still be played."""
        if not hasattr(self, "env"):
            return
        if not self.closed:
            self.reset(None, None)
            self.step_to_the_end(1, True)
        self.env.close()


@pytest.mark.fault("F28", "reset, step, render, close, copy and pickle in any order")
def test_f28_whatever_the_order_errors_are_the_documented_ones(
    seed: int, scale: Scale, seen: Seen
) -> None:
    runs, steps = scale(30, 200), scale(30, 50)
    chosen = settings(
        max_examples=runs,
        stateful_step_count=steps,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    AnyOrder.episodes = 0
    run_state_machine_as_test(seeded(seed)(AnyOrder), settings=chosen)
    assert runs / 2 < AnyOrder.episodes
    words = f"{AnyOrder.episodes} episodes to their end; no other error, masks as steps take them"
    seen(runs * steps, words)


# Other people's processes -----------------------------------------------------------------------

SMALL_TASK: dict[str, Any] = {
    **{"train_size": 60, "valid_size": 60, "epochs": 1},
    **{"layers": 1, "max_layers": 1},
}

FORKED = """
import json, multiprocessing, time, torch
import gymnasium as gym, numpy as np
import nasgym

def play(sender, workers):
    env = gym.make("NAS-Digits-v0", workers=workers, **{options!r})
    env.reset(seed=0)
    terminated = False
    while not terminated:
        _, reward, terminated, _, info = env.step(np.int64(0))
    sender.send([reward, info["status"]])
    env.close()

torch.set_num_threads(2)
a = torch.rand(600, 600, requires_grad=True)
(a @ a).sum().backward()
torch.rand(10**6).sum()
for workers in (1, 0):
    receiver, sender = multiprocessing.Pipe(duplex=False)
    process = multiprocessing.get_context("fork").Process(target=play, args=(sender, workers))
    began = time.monotonic()
    process.start()
    answer = receiver.recv() if receiver.poll(45) else None
    print(json.dumps([answer, time.monotonic() - began]), flush=True)
    process.kill()
"""


@pytest.mark.fault("F36", "an environment in a fork of a process in which torch has used 2 threads")
def test_f36_an_environment_in_a_fork_answers(seen: Seen) -> None:
    """What vector environments do that fork."""
    code = FORKED.replace("{options!r}", repr(SMALL_TASK))
    command = [sys.executable, "-c", code]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert ran.returncode == 0, ran.stderr
    answers, seconds = zip(*map(json.loads, ran.stdout.splitlines()), strict=True)
    assert answers[0] is not None and answers[0] == answers[1]
    reward, status = answers[0]
    assert status == "ok" and 0 < reward <= 1
    seen(2, f"one answer, with a worker after {seconds[0]:.0f} s, without after {seconds[1]:.0f} s")


def task(time_limit: float | None) -> Callable[[], gym.Env[Any, Any]]:
    """Return what makes a small environment whose children train for real."""

    def make() -> gym.Env[Any, Any]:
        import nasgym  # noqa: F401 (in the process of its own, which registers the ids)

        return gym.make("NAS-Digits-v0", workers=1, time_limit=time_limit, **SMALL_TASK)

    return make


IMPOSSIBLE = 0.001
"""Seconds in which nothing can be trained."""


@pytest.mark.fault("F37", "a failing child in SB3's SubprocVecEnv and Gymnasium's AsyncVectorEnv")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_f37_why_a_child_failed_comes_through_the_processes_of_others(seen: Seen) -> None:
    makers = [task(None), task(IMPOSSIBLE)]
    alone = makers[0]()
    length = alone.unwrapped.episode_length  # type: ignore[attr-defined]
    alone.close()

    theirs = SubprocVecEnv(makers[1:], start_method="forkserver")
    theirs.reset()
    for _ in range(length):
        _, rewards, dones, infos = theirs.step(np.zeros(1, np.int64))
    theirs.close()
    assert (dones.tolist(), rewards.tolist()) == ([True], [0.0])
    assert infos[0]["status"] == "timeout"
    assert "longer than the time limit" in infos[0]["error"]

    gyms = AsyncVectorEnv(makers)
    gyms.reset()
    for _ in range(length):
        _, paid, terminated, _, info = gyms.step(np.zeros(2, np.int64))
    gyms.close()
    assert terminated.all() and paid[0] > 0 and paid[1] == 0
    assert list(info["status"]) == ["ok", "timeout"]
    assert info["error"][1] == infos[0]["error"]
    seen(2, "status and reason in info, no EOFError")
