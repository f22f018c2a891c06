"""Agents: found by name, conforming, better than chance on a trivial task, resumed bit for bit."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nasgym import Evaluation, NASEnv, NASVectorEnv
from nasgym.agents import Agent, make, registered
from nasgym.spaces import ConvSpace
from nasgym.testing import check_agent
from tests.spaces import Numbers, Stack

OURS = ["evolution", "local_search", "model_based", "random", "reinforce"]
"""Our own agents; tests/test_sb3.py tests those of Stable-Baselines3."""
SPACE = ConvSpace(layers=2, max_layers=2)


class Ones:
    """Rewards the share of decisions that are the first option: the trivial task."""

    def evaluate(self, architectures: Sequence[Any]) -> list[Evaluation]:
        return [Evaluation(self.share(architecture)) for architecture in architectures]

    @staticmethod
    def share(architecture: Any) -> float:
        tokens = SPACE.encode(architecture)
        return sum(token == 0 for token in tokens) / len(tokens)


def test_all_of_ours_are_registered() -> None:
    assert set(OURS) <= set(registered())


@pytest.mark.parametrize("name", OURS)
@pytest.mark.parametrize("space", [SPACE, Stack()], ids=["conv", "stack"])
def test_conformance(name: str, space: Any) -> None:
    check_agent(lambda seed: make(name, seed), space)


@pytest.mark.parametrize(
    ("name", "options", "budget"),
    [
        ("evolution", {"population": 20, "sample": 5}, 200),
        ("reinforce", {"preset": "short"}, 400),
        ("reinforce", {"preset": "clipped"}, 400),
        ("model_based", {}, 80),
    ],
)
def test_it_learns_the_trivial_task(name: str, options: dict[str, Any], budget: int) -> None:
    envs = NASVectorEnv(SPACE, Ones(), num_envs=8)
    make(name, seed=0, **options).search(envs, budget)
    rewards = np.array([trial.reward for trial in envs.archive])
    chance = np.mean([Ones.share(SPACE.decode(tokens)) for tokens in SPACE])
    error = rewards.std() / np.sqrt(40)
    assert rewards[-40:].mean() > chance + max(4 * error, 0.2)


@pytest.mark.parametrize("name", OURS)
def test_state_and_restore_continue_bit_for_bit(name: str) -> None:
    def strings(halves: bool) -> list[tuple[int, ...]]:
        envs = NASVectorEnv(SPACE, Numbers(), num_envs=4)
        agent = make(name, seed=5)
        if halves:
            agent.search(envs, 48)
            state = agent.state()
            assert state is not None
            agent = make(name, seed=5)
            agent.restore(state)
        agent.search(envs, 96)
        return [trial.tokens for trial in envs.archive]

    assert strings(halves=True) == strings(halves=False)


@pytest.mark.parametrize("name", OURS)
def test_it_searches_a_growing_space_and_a_single_environment(name: str) -> None:
    growing = NASVectorEnv(
        ConvSpace(layers=1, max_layers=2), Numbers(), 4, grow_by=1, grow_every=16
    )
    make(name).search(growing, 37)
    depths = [len(trial.architecture["layers"]) for trial in growing.archive]
    assert depths == [1] * 16 + [2] * 21
    single = NASEnv(Stack(), Numbers())
    make(name).search(single, 10)
    assert len(single.archive) == 10


def test_mistakes_get_one_line() -> None:
    mistakes: list[tuple[str, dict[str, Any], str]] = [
        ("reinforcce", {}, "there is no agent 'reinforcce'; did you mean 'reinforce'"),
        ("random", {"colour": 1}, "agent 'random' has no option 'colour'"),
        ("reinforce", {"rate": 0.1}, "agent 'reinforce'.*'rate'"),
        ("model_based", {"colour": 1}, "agent 'model_based'.*'colour'"),
        ("evolution", {"population": "all"}, "population must be a whole number, not 'all'"),
        ("evolution", {"sample": 100}, "sample must be from 1 to population"),
        ("no.such:Agent", {}, "agent 'no.such:Agent' cannot be loaded: No module named 'no'"),
    ]
    for name, options, message in mistakes:
        with pytest.raises(ValueError, match=message) as error:
            make(name, **options)
        assert "\n" not in str(error.value)


FOREIGN = '''
class FirstString:
    """Takes the first option forever: uses no base class, no budget and no play()."""
    def __init__(self, seed):
        pass
    def search(self, env, budget):
        env.reset()
        while True:
            env.step([0] * env.num_envs)
'''


def test_a_foreign_package_plugs_in(tmp_path: Path) -> None:
    """An agent of another distribution is found by its entry point and stops at the budget."""
    (tmp_path / "foreign.py").write_text(FOREIGN)
    information = tmp_path / "foreign-1.0.dist-info"
    information.mkdir()
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: foreign\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text("[nasgym.agents]\nfirst = foreign:FirstString\n")
    script = """
import sys
sys.path.insert(0, sys.argv[1])
from nasgym import NASVectorEnv
from nasgym.agents import make
from tests.spaces import Numbers, Stack
envs = NASVectorEnv(Stack(), Numbers(), num_envs=4)
make("first").search(envs, 10)
print(len(envs.archive))
"""
    ran = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert ran.stdout == "10\n", ran.stderr


def test_an_agent_may_be_named_by_its_module() -> None:
    assert isinstance(make("nasgym.agents.random_search:RandomSearch"), Agent)
