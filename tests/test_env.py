"""Both environments: Gymnasium's contract, the paper's schedule, lock-step as one by one.

Wrong actions, and anything in any order, are in tests/faults/test_environment.py.
"""

import warnings
from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as sb3_check_env

from nasgym import Archive, Evaluation, NASEnv, NASVectorEnv
from nasgym.agents.random_search import RandomSearch
from nasgym.environments.budget import BudgetSpent
from nasgym.environments.resume import ReplayError
from nasgym.spaces import PRESETS, ConvSpace
from tests.spaces import Numbers, Stack

SPACES = [Stack(), ConvSpace(layers=3, max_layers=5)]


def episode(
    env: NASEnv, rng: np.random.Generator, *, masked: bool
) -> tuple[list[int], float, dict[str, Any]]:
    _, info = env.reset()
    actions = []
    while True:
        legal = np.flatnonzero(info["action_mask"]) if masked else np.arange(env.action_space.n)
        actions.append(int(rng.choice(legal)))
        _, reward, terminated, truncated, info = env.step(np.int64(actions[-1]))
        assert not truncated
        if terminated:
            return actions, reward, info
        assert reward == 0.0


@pytest.mark.parametrize("space", SPACES, ids=["stack", "conv"])
@pytest.mark.parametrize("mode", [None, "ansi", "rgb_array"])
def test_both_env_checkers_pass_without_a_warning(space: Any, mode: str | None) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        env = NASEnv(space, Numbers(), render_mode=mode)
        check_env(env, skip_render_check=True)
        sb3_check_env(env)


@pytest.mark.parametrize("space", SPACES, ids=["stack", "conv"])
@pytest.mark.parametrize("masked", [True, False], ids=["masked", "folded"])
def test_lock_step_equals_single_environments(space: Any, masked: bool) -> None:
    waves, m = 4, 5
    singles = [NASEnv(space, Numbers()) for _ in range(m)]
    rng = np.random.default_rng(0)
    played = [[episode(env, rng, masked=masked) for env in singles] for _ in range(waves)]
    envs = NASVectorEnv(space, Numbers(), num_envs=m)
    for env in singles:
        env.reset()
    for wave in played:
        observations, info = envs.reset()
        for env in singles:
            env.reset()
        for step in range(envs.episode_length):
            actions = np.array([actions[step] for actions, _, _ in wave])
            masks = info["action_mask"]
            for env, mask in zip(singles, masks, strict=True):
                assert (env.action_masks() == mask).all()
            observations, rewards, terminated, _, info = envs.step(actions)
            for i, env in enumerate(singles):
                assert (env.step(actions[i])[0] == observations[i]).all()
        assert terminated.all()
        assert rewards.tolist() == [reward for _, reward, _ in wave]
        assert list(info["architecture"]) == [last["architecture"] for _, _, last in wave]
        assert list(info["status"]) == ["ok"] * m
    assert len(envs.archive) == waves * m


def test_a_wave_trains_as_one_batch_without_repeats() -> None:
    evaluator = Numbers()
    envs = NASVectorEnv(ConvSpace(layers=2), evaluator, num_envs=6)
    string = envs.study.space.string(5)
    trials = envs.study.play([string, string, envs.study.space.string(6), string])
    assert [trial.cached for trial in trials] == [False, True, False, True]
    assert len(evaluator.asked) == 2
    envs.study.play([string])
    assert len(evaluator.asked) == 2


def test_strings_of_one_network_share_a_training() -> None:
    space, evaluator = ConvSpace(layers=2, filters=(8, 16)), Numbers()
    envs = NASVectorEnv(space, evaluator, num_envs=2)
    apart = [space.decode(tokens) for tokens in space if not space.decode(tokens).layers[1].inputs]
    one = next(a for a in apart if a.layers[0] != a.layers[1])
    other = type(one)(one.layers[::-1])
    first, second = envs.study.play([space.encode(one), space.encode(other)])
    assert first.reward == second.reward
    assert second.cached
    assert first.architecture != second.architecture
    assert len(evaluator.asked) == 1


def test_the_next_step_after_a_wave_resets() -> None:
    envs = NASVectorEnv(Stack(), Numbers(), num_envs=2)
    envs.reset()
    for _ in range(envs.episode_length):
        _, _, terminated, _, _ = envs.step(np.array([2, 2]))
    assert terminated.all()
    observations, rewards, terminated, _, _ = envs.step(np.array([1, 1]))
    assert not observations.any() and not rewards.any() and not terminated.any()


class Free:
    """An evaluator that costs nothing."""

    def evaluate(self, architectures: Sequence[Any]) -> list[Evaluation]:
        return [Evaluation(accuracy=0.5)] * len(architectures)


def test_the_papers_growing_ceiling() -> None:
    """Acceptance check 1 (section 4.1)."""
    env = NASEnv(PRESETS["v1"], Numbers(), grow_by=2, grow_every=1600)
    ceilings = {}
    for trials in (0, 1599, 1600, 3200, 12_799, 99_999):
        env.study.trials = trials
        ceilings[trials] = env.study.space.layers
    assert ceilings == {0: 6, 1599: 6, 1600: 8, 3200: 10, 12_799: 20, 99_999: 20}


def test_the_ceiling_grows_over_the_papers_12_800_children() -> None:
    """Acceptance check 1, in a whole search; without connections, which only take time."""
    space, search = ConvSpace(skip_connections=False), RandomSearch(seed=0)
    envs = NASVectorEnv(space, Free(), num_envs=64, grow_by=2, grow_every=1600)
    search.search(envs, 12_800)
    depths = [len(trial.architecture["layers"]) for trial in envs.archive]
    assert depths == [6 + 2 * (number // 1600) for number in range(12_800)]


def test_the_ceiling_grows_over_all_parallel_episodes() -> None:
    envs = NASVectorEnv(ConvSpace(layers=1, max_layers=3), Numbers(), 4, grow_by=1, grow_every=8)
    lengths = []
    for _ in range(6):
        envs.reset()
        lengths.append(envs.episode_length)
        for _ in range(envs.episode_length):
            envs.step(np.zeros(4, np.int64))
    assert lengths == [3, 3, 7, 7, 12, 12]
    assert envs.observation_space.shape == (4, 12)


def test_one_episode_at_another_depth() -> None:
    env = NASEnv(ConvSpace(layers=2, max_layers=4), Numbers())
    env.reset(options={"layers": 4})
    assert env.episode_length == 18
    for _ in range(18):
        _, _, terminated, _, info = env.step(np.int64(0))
    assert terminated and len(info["architecture"]["layers"]) == 4
    env.reset()
    assert env.episode_length == 7


class Failing:
    def evaluate(self, architectures: Sequence[Any]) -> list[Evaluation]:
        return [Evaluation(status="oom", error="no memory") for _ in architectures]


def test_a_failed_child_is_data() -> None:
    env = NASEnv(Stack(), Failing(), reward="nll")
    _, reward, info = episode(env, np.random.default_rng(0), masked=True)
    assert (reward, info["status"], info["error"]) == (0.0, "oom", "no memory")
    envs = NASVectorEnv(Stack(), Failing(), num_envs=2)
    envs.reset()
    for _ in range(envs.episode_length):
        _, rewards, _, _, infos = envs.step(np.array([0, 1]))
    assert not rewards.any()
    assert list(infos["error"]) == ["no memory"] * 2


@pytest.mark.parametrize(
    ("reward", "paid"),
    [
        ("accuracy", 0.93),
        ("accuracy_cubed", 0.804357),
        ("nll", 0.6065306597),
        (lambda e: 2 * e.accuracy, 1.86),
    ],
)
def test_rewards(reward: Any, paid: float) -> None:
    """Acceptance check 9 (section 4.1): the cube of 0.93 is 0.804357."""

    class Fixed:
        def evaluate(self, architectures: Sequence[Any]) -> list[Evaluation]:
            return [Evaluation(0.93, metrics={"nll": 0.5}) for _ in architectures]

    env = NASEnv(Stack(), Fixed(), reward=reward)
    assert episode(env, np.random.default_rng(0), masked=True)[1] == pytest.approx(paid)


def test_observations_and_masks_are_fresh_arrays() -> None:
    for env in (NASEnv(Stack(), Numbers()), NASVectorEnv(Stack(), Numbers(), num_envs=2)):
        first, info = env.reset()
        kept = first.copy(), info["action_mask"].copy()
        first[:], info["action_mask"][:] = 1, 0
        again, fresh = env.reset()
        assert (again == kept[0]).all() and (fresh["action_mask"] == kept[1]).all()


def test_budget_and_replay() -> None:
    envs = NASVectorEnv(Stack(), Numbers(), num_envs=4)
    strings = list(envs.study.space)[:10]
    with envs.study.limited_to(6):
        envs.study.play(strings[:4])
        with pytest.raises(BudgetSpent):
            envs.study.play(strings[4:8])
    assert envs.study.trials == len(envs.archive) == 6
    envs.study.resume(2)
    trials = envs.study.play(strings[2:8])
    assert [trial.number for trial in trials] == [2, 3, 4, 5, 6, 7]
    assert len(envs.archive) == 8
    envs.study.resume(0)
    with pytest.raises(ReplayError, match="trial 0 cannot be replayed"):
        envs.study.play(strings[5:6])


def test_an_archive_is_continued_and_its_children_are_not_trained_again(tmp_path: Any) -> None:
    path, evaluator = tmp_path / "archive.db", Numbers()
    for turn in range(2):
        envs = NASVectorEnv(Stack(), evaluator, num_envs=2, archive=path)
        envs.study.play([envs.study.space.string(0), envs.study.space.string(turn)])
        envs.close()
    with pytest.raises(ValueError, match="reward 'speed' is none of"):
        NASEnv(Stack(), evaluator, reward="speed")
    trials = list(Archive(path, read_only=True))
    assert [trial.cached for trial in trials] == [False, True, True, False]
    assert len(evaluator.asked) == 2


def test_rendering_shows_the_string_then_the_network() -> None:
    env = NASEnv(ConvSpace(layers=2, max_layers=2), Numbers(), render_mode="ansi")
    env.reset()
    env.step(np.int64(1))
    assert "filter_height" in env.render() and "3" in env.render()
    for _ in range(env.episode_length - 1):
        env.step(np.int64(0))
    assert "24" in env.render()
    picture = NASVectorEnv(Stack(), Numbers(), num_envs=2, render_mode="rgb_array")
    picture.reset()
    (first, _) = picture.render() or (None, None)
    assert first is not None and first.dtype == np.uint8 and first.ndim == 3


def test_gymnasiums_own_vector_environments_agree() -> None:
    space = Stack()
    native = NASVectorEnv(space, Numbers(), num_envs=3)
    generic = gym.vector.SyncVectorEnv([lambda: NASEnv(space, Numbers())] * 3)
    assert native.single_observation_space == generic.single_observation_space
    assert native.observation_space == generic.observation_space
    assert native.action_space == generic.action_space
    rng = np.random.default_rng(0)
    native.reset(), generic.reset()
    for _ in range(3 * native.episode_length):
        actions = rng.integers(native.single_action_space.n, size=3)
        for ours, theirs in zip(native.step(actions)[:4], generic.step(actions)[:4], strict=True):
            assert np.array_equal(ours, theirs)
