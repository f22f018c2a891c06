"""Every registered id: what Gymnasium, SB3 and their vector environments ask of it."""

import json
import pickle
import warnings
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as sb3_check_env
from stable_baselines3.common.vec_env import SubprocVecEnv

from nasgym import NASEnv, NASVectorEnv
from nasgym.data.documentation import load_documentation
from nasgym.environments.env import RENDER_MODES
from nasgym.environments.registry import ENVIRONMENTS
from nasgym.spaces import PRESETS, ConvSpace, RecurrentSpace
from nasgym.spaces.base import SearchSpace

QUICK: dict[str, Any] = {
    "epochs": 1,
    "layers": 2,
    "workers": 1,
    "train_size": 100,
    "valid_size": 100,
}


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Any]]:
    """A data folder, and the options each id needs with it."""
    monkeypatch.setenv("NASGYM_DATA", str(tmp_path))
    batches = tmp_path / "cifar-10-batches-bin"
    batches.mkdir()
    for name in [*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"]:
        with (batches / name).open("wb") as file:
            file.truncate(10_000 * 3073)  # all black and all airplanes, and nothing on the disk
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (60, 8, 8, 3)).astype(np.uint8)
    np.savez(tmp_path / "mine.npz", images=images, labels=np.arange(60) % 3)
    monkeypatch.setattr("nasgym.data.text.load_ptb", load_documentation)  # there is no small one
    return {
        "NAS-Digits-v0": {},
        "NAS-CIFAR10-v0": {},
        "NAS-Images-v0": {"data": str(tmp_path / "mine.npz")},
        "NAS-PTB-v0": {"train_size": 2000, "valid_size": 200},
        "NAS-Text-v0": {"unit": "characters", "train_size": 2000, "valid_size": 200},
        "NAS-Digits-Table-v0": {},
    }


CHANGED: dict[str, tuple[dict[str, Any], SearchSpace]] = {
    "image": ({"layers": 3, "filter_heights": [1, 3]}, ConvSpace(layers=3, filter_heights=(1, 3))),
    "table": ({"noise": "seed", "reward": "accuracy_cubed"}, PRESETS["digits-table"]),
    "text": ({"base": 2, "activations": ["tanh"]}, RecurrentSpace(2, activations=("tanh",))),
}
"""Options of each kind of environment, and the space they ask for."""

IDS = [name for name in ENVIRONMENTS if not name.startswith("NAS-Bench")]
"""Those whose data are here; tests/test_tables.py makes the tables of the others."""


@pytest.mark.parametrize("name", IDS)
def test_both_env_checkers_pass_without_a_warning(name: str, data: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for mode in (None, *RENDER_MODES):
            env = gym.make(name, render_mode=mode, **data[name])
            check_env(env.unwrapped)
            sb3_check_env(env.unwrapped)
            env.close()


@pytest.mark.parametrize("name", IDS)
def test_the_spec_survives_json_and_pickle(name: str, data: dict[str, Any]) -> None:
    options = ENVIRONMENTS[name]
    kind = "table" if "table" in options else "text" if "corpus" in options else "image"
    changes, space = CHANGED[kind]
    spec = gym.make(name, **data[name], **{"reward": "nll", **changes}).spec
    assert spec is not None
    for again in (EnvSpec.from_json(spec.to_json()), pickle.loads(pickle.dumps(spec))):
        assert again == spec
        env = gym.make(again).unwrapped
        assert isinstance(env, NASEnv)
        assert env.study.space.automaton.decisions[:1] == space.automaton.decisions[:1]
        assert env.study.space.layers == space.layers
        env.close()


@pytest.mark.parametrize("name", IDS)
def test_make_vec_gives_the_native_environment(name: str, data: dict[str, Any]) -> None:
    envs = gym.make_vec(name, num_envs=3, **data[name])
    assert isinstance(envs.unwrapped, NASVectorEnv)
    assert envs.unwrapped.num_envs == 3
    envs.close()
    assert gym.make(f"nasgym:{name}", **data[name]).spec is not None


def test_the_papers_settings() -> None:
    env = gym.make("NAS-CIFAR10-v0").unwrapped
    assert isinstance(env, NASEnv)
    assert (
        env.study.ceiling.grow_by,
        env.study.ceiling.grow_every,
        env.study.space.layers,
        env.study.space.max_layers,
    ) == (2, 1600, 6, 20)
    assert env.episode_length == 33
    assert env.observation_space.shape == (250,)
    assert env.action_space.n == 4


def test_masks_are_found_through_wrappers() -> None:
    env = gym.make("NAS-Digits-v0")
    env.reset()
    masks = env.get_wrapper_attr("action_masks")()
    assert masks.dtype == np.bool_ and masks.tolist() == [True, True, True, False]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epoch": 3}, "there is no option 'epoch'; did you mean 'epochs'"),
        ({"space": "v9"}, "space 'v9' is none of v1, v2, v3, "),
        ({"layers": 0}, "layers must be a whole number from 1"),
        ({"filters": ["many"]}, "filters must be a list of whole numbers, not"),
        ({"reward": "speed"}, "reward 'speed' is none of"),
        ({"reward": 3}, "reward must be text, not 3"),
        ({"reward": "perplexity"}, "reward 'perplexity' cannot be measured here: choose accuracy"),
        ({"skip_connections": "maybe"}, "skip_connections must be true or false, not 'maybe'"),
        *[
            (options, f"{next(iter(options))} must be .*, not ")
            for options in (
                {"layers": "two"},
                {"max_layers": "x"},
                {"filters": 5},
                {"order": 5},
                {"data": 5},
                {"recipe": ["short"]},
                {"space": [1]},
                {"archive": 3},
                {"grow_by": "x"},
                {"grow_every": "x"},
                {"time_limit": "x"},
                {"memory_limit": "x"},
            )
        ],
        ({"render_mode": "human"}, "render_mode 'human' is none of"),
        ({"workers": -1}, "workers"),
        ({"grow_by": -2}, "grow_by must be 0 or more"),
    ],
)
def test_bad_options_get_one_line(options: dict[str, Any], message: str) -> None:
    for make in (gym.make, gym.make_vec):
        with pytest.raises(ValueError, match=message) as error:
            make("NAS-Digits-v0", **options)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": 3}, "there is no option 'layers'"),
        ({"base": 0}, "base must be a whole number from 1"),
        ({"base": "8"}, "base must be a whole number, not '8'"),
        ({"combinations": ["minus"]}, "combinations must be some of add, elem_mult, max"),
        ({"activations": []}, "activations must be some of identity"),
        ({"corpus": "no/such/book.txt"}, "no/such/book.txt"),
        ({"unit": "letters"}, "unit must be words or characters"),
        ({"vocabulary_size": 1}, "vocabulary_size must be 2 or more"),
        ({"train_size": 10**9}, "train_size must be from"),
        ({"recipe": "long"}, "recipe 'long' is none of short, paper"),
        ({"parameters": 10}, "cannot be met"),
        ({"reward_constant": 0}, "reward_constant must be above 0"),
        ({"reward_constant": "x"}, "reward_constant must be a number, not 'x'"),
        ({"vocabulary_size": "x"}, "vocabulary_size must be a whole number, not 'x'"),
        ({"shared_embeddings": "maybe"}, "shared_embeddings must be true or false, not 'maybe'"),
    ],
)
def test_bad_options_of_texts_get_one_line(options: dict[str, Any], message: str) -> None:
    for make in (gym.make, gym.make_vec):
        with pytest.raises((ValueError, FileNotFoundError), match=message) as error:
            make("NAS-Text-v0", **options)
        assert "\n" not in str(error.value)


def test_cells_are_searched_with_the_papers_reward() -> None:
    """c / perplexity^2 of the validation text; c is an option (Zoph & Le 2017, section 4.2)."""
    options: dict[str, Any] = {"unit": "characters", "train_size": 3000, "valid_size": 500}
    options["workers"] = 0
    env = gym.make("NAS-Text-v0", base=2, parameters=20_000, reward_constant=5, **options).unwrapped
    assert isinstance(env, NASEnv)
    (trial,) = env.study.play([env.study.space.sample(np.random.default_rng(0))])
    assert trial.status == "ok" and trial.architecture["kind"] == "recurrent"
    assert trial.reward == pytest.approx(5 / trial.metrics["perplexity"] ** 2)
    assert 1 < trial.metrics["perplexity"] < 110 and trial.metrics["parameters"] > 10_000
    env.close()


def finish_episodes(envs: Any, episodes: int) -> list[float]:
    """Play random episodes in a vector environment of either library; return their rewards."""
    envs.reset()
    rewards: list[float] = []
    rng = np.random.default_rng(0)
    while len(rewards) < episodes:
        outcome = envs.step(rng.integers(3, size=envs.num_envs))
        done = outcome[2] if len(outcome) == 4 else outcome[2] | outcome[3]
        rewards += [float(reward) for reward, ended in zip(outcome[1], done, strict=True) if ended]
    return rewards


def make_digits() -> gym.Env[Any, Any]:
    return gym.make("nasgym:NAS-Digits-v0", **QUICK)


def test_children_really_train_inside_other_vector_environments() -> None:
    """Gymnasium's AsyncVectorEnv and SB3's SubprocVecEnv run daemons, which may not have children
    of multiprocessing's kind; all ways give the same rewards."""
    native = gym.make_vec("NAS-Digits-v0", num_envs=2, **QUICK)
    expected = finish_episodes(native, 2)
    native.close()
    assert all(0.0 < reward < 1.0 for reward in expected)
    gymnasium = gym.vector.AsyncVectorEnv([make_digits] * 2, context="forkserver")
    assert finish_episodes(gymnasium, 2) == expected
    gymnasium.close()
    sb3 = SubprocVecEnv([make_digits] * 2, start_method="forkserver")
    assert finish_episodes(sb3, 2) == expected
    sb3.close()


def test_specs_name_plain_data_only() -> None:
    for options in ENVIRONMENTS.values():
        assert json.loads(json.dumps(options)) == options
