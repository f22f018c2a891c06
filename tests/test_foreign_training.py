"""Training that knows nothing of our agents: Stable-Baselines3's own scripts, and RL Zoo's."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import sb3_contrib
import stable_baselines3 as sb3

from nasgym import Archive, NASEnv
from nasgym.agents.sb3.sb3 import OneHot
from tests.spaces import Numbers, Stack
from tests.test_tables import nas_bench_201, write

SCRIPT = """
import gymnasium as gym
from stable_baselines3 import PPO
import nasgym

env = gym.make("NAS-Bench-201-v0")
steps = 20 * env.unwrapped.episode_length
model = PPO("MlpPolicy", env, n_steps=steps, batch_size=steps, gamma=1.0, seed=0)
model.learn(2 * steps)
print(len(env.unwrapped.archive), env.unwrapped.archive.best().reward)
env.close()
"""


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write(tmp_path / "nas-bench-201.csv.gz", nas_bench_201())
    monkeypatch.setenv("NASGYM_DATA", str(tmp_path))
    return tmp_path


def test_a_plain_script_trains(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(SCRIPT, "script.py", "exec"), {})
    children, best = capsys.readouterr().out.split()
    assert int(children) == 40 and 0.0 < float(best) < 1.0


@pytest.mark.parametrize(
    ("algorithm", "policy", "options"),
    [
        (sb3.A2C, "MlpPolicy", {}),
        (sb3.DQN, "MlpPolicy", {"learning_starts": 10}),
        (sb3.PPO, "MlpPolicy", {"n_steps": 64}),
        (sb3_contrib.MaskablePPO, "MlpPolicy", {"n_steps": 64}),
        (sb3_contrib.QRDQN, "MlpPolicy", {"learning_starts": 10}),
        (
            sb3_contrib.RecurrentPPO,
            "MlpLstmPolicy",
            {"n_steps": 64, "policy_kwargs": {"features_extractor_class": OneHot}},
        ),
        (sb3_contrib.TRPO, "MlpPolicy", {"n_steps": 128}),
    ],
)
def test_every_algorithm_for_discrete_actions_trains(
    algorithm: Any, policy: str, options: dict[str, Any]
) -> None:
    env = NASEnv(Stack(), Numbers())
    algorithm(policy, env, device="cpu", **options).learn(128)
    assert len(env.archive) == 128 // Stack().max_length


@pytest.mark.skipif(importlib.util.find_spec("rl_zoo3") is None, reason="RL Zoo is not installed")
def test_the_command_line_of_rl_zoo_trains(data: Path) -> None:
    archive = data / "archive.db"
    arguments = [
        *("--algo", "ppo", "--env", "NAS-Bench-201-v0", "--gym-packages", "nasgym"),
        *("--n-timesteps", "240", "--eval-freq", "-1", "--log-folder", str(data)),
        *("--hyperparams", "n_steps:120", "batch_size:120", "gamma:1.0"),
        *("--env-kwargs", f"archive:'{archive}'"),
    ]
    ran = subprocess.run(
        [sys.executable, "-m", "rl_zoo3.train", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    assert len(Archive(archive, read_only=True)) == 40
