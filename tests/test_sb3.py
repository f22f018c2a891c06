"""The agents of Stable-Baselines3: learning, resuming, growing, masks, standardised rewards."""

import inspect
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import stable_baselines3 as sb3

from nasgym import Archive, Evaluation, NASEnv, NASVectorEnv
from nasgym.agents import make
from nasgym.agents.sb3.sb3 import DQN, PPO, MaskablePPO
from nasgym.agents.sb3.vec_env import NASVecEnv, RewardStandardiser
from nasgym.spaces import ConvSpace
from nasgym.testing import check_agent
from tests.spaces import Numbers, Stack

ON_POLICY: dict[str, dict[str, Any]] = {
    "ppo": {"n_epochs": 2},
    "a2c": {},
    "maskable_ppo": {"n_epochs": 2},
    "recurrent_ppo": {"n_epochs": 2},
}
QUICK = {**ON_POLICY, "dqn": {"gradient_steps": 4}}
"""All agents, with options that make them quick in tests that do not measure learning."""
SPACE = ConvSpace(layers=2, max_layers=2)


class Zeros:
    """Rewards the share of tokens that are 0, between 90 % and 91 %."""

    def evaluate(self, architectures: Sequence[Any]) -> list[Evaluation]:
        strings = [np.array(SPACE.encode(architecture)) for architecture in architectures]
        return [Evaluation(0.9 + 0.01 * float(np.mean(string == 0))) for string in strings]


@pytest.mark.parametrize("name", QUICK)
def test_conformance(name: str) -> None:
    check_agent(lambda seed: make(name, seed, **QUICK[name]), Stack())


@pytest.mark.parametrize("name", QUICK)
def test_it_learns_the_trivial_task_however_little_rewards_differ(name: str) -> None:
    envs = NASVectorEnv(SPACE, Zeros(), num_envs=8)
    make(name, seed=0).search(envs, 200)
    shares = [np.mean(np.array(trial.tokens) == 0) for trial in envs.archive]
    chance = np.mean([np.mean(np.array(tokens) == 0) for tokens in SPACE])
    assert np.mean(shares[-40:]) > chance + 0.2


def growing(archive: Archive | None = None) -> NASVectorEnv:
    return NASVectorEnv(
        ConvSpace(layers=1, max_layers=2), Numbers(), 4, grow_by=1, grow_every=32, archive=archive
    )


def strings(envs: NASVectorEnv) -> list[tuple[int, ...]]:
    return [trial.tokens for trial in envs.archive]


@pytest.mark.parametrize("name", ON_POLICY)
def test_it_is_resumed_bit_for_bit_from_its_state(name: str) -> None:
    """Also if the ceiling grows at 32 children, within what would be one rollout."""
    options = {**ON_POLICY[name], "children_per_update": 12}
    whole, parts = growing(), growing()
    make(name, seed=5, **options).search(whole, 80)
    agent = make(name, seed=5, **options)
    agent.search(parts, 12)
    agent.search(parts, 44)
    state = agent.state()
    assert state is not None
    agent = make(name, seed=5, **options)
    agent.restore(state)
    assert agent.state() == state
    agent.search(parts, 80)
    assert strings(parts) == strings(whole)


def test_dqn_is_resumed_by_replay_under_a_larger_budget() -> None:
    envs = growing()
    agent = make("dqn", seed=5, **QUICK["dqn"])
    agent.search(envs, 53)
    assert agent.state() is None
    resumed, whole = growing(envs.archive), growing()
    resumed.study.resume(0)
    make("dqn", seed=5, **QUICK["dqn"]).search(resumed, 80)
    make("dqn", seed=5, **QUICK["dqn"]).search(whole, 80)
    assert strings(resumed) == strings(whole)


@pytest.mark.parametrize("name", QUICK)
def test_it_searches_a_growing_space_and_a_single_environment(name: str) -> None:
    envs = growing()
    make(name, **QUICK[name]).search(envs, 41)
    depths = [len(trial.architecture["layers"]) for trial in envs.archive]
    assert depths == [1] * 32 + [2] * 9
    single = NASEnv(Stack(), Numbers())
    make(name, **QUICK[name]).search(single, 10)
    assert len(single.archive) == 10


def test_masks_keep_maskable_ppo_to_legal_actions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without masks, illegal actions are folded; a third of the actions here are illegal."""
    illegal = {"ppo": 0, "maskable_ppo": 0}
    for name in illegal:

        class Watched(NASVectorEnv):
            def step(self, actions: Any) -> Any:
                legal = self.action_masks()[np.arange(self.num_envs), actions]
                illegal[name] += int((~legal).sum())  # noqa: B023
                return super().step(actions)

        make(name).search(Watched(Stack(), Numbers(), num_envs=4), 24)
    assert illegal["ppo"] > 0
    assert illegal["maskable_ppo"] == 0


def test_rewards_are_standardised_by_earlier_children() -> None:
    class Given:
        """Gives the listed rewards, wave by wave."""

        def __init__(self, *waves: list[float]) -> None:
            self.waves = iter(waves)

        def evaluate(self, architectures: Sequence[Any]) -> list[Evaluation]:
            return [Evaluation(reward) for reward in next(self.waves)]

    envs = NASVectorEnv(Stack(1), Given([0.2, 0.4], [0.5, 0.3]), num_envs=2)
    paid = RewardStandardiser(NASVecEnv(envs), decay=0.5)
    paid.reset()
    waves = [[0, 1], [0, 0], [0, 0]], [[0, 1], [1, 1], [0, 0]]
    rewards = [paid.step(np.array(actions))[1] for wave in waves for actions in wave]
    mean = (0.5 * 0.2 + 0.4) / 1.5
    np.testing.assert_allclose(rewards[2], [-1, 1], rtol=1e-5)
    np.testing.assert_allclose(rewards[5], np.array([0.5 - mean, 0.3 - mean]) / 0.1, rtol=1e-5)
    assert not np.any([rewards[step] for step in (0, 1, 3, 4)])


def test_options_reach_the_algorithm() -> None:
    agent = MaskablePPO(gamma=0.9, n_epochs=2, batch_size=8, policy_kwargs={"net_arch": [8]})
    agent.search(NASVectorEnv(Stack(), Numbers(), num_envs=4), 24)
    model: Any = agent.model
    assert (model.gamma, model.n_epochs, model.batch_size) == (0.9, 2, 8)
    assert model.policy.net_arch == [8]


def test_the_signature_lists_the_options_of_the_algorithm() -> None:
    ppo = inspect.signature(PPO).parameters
    assert ppo["gamma"].default == 1.0 and ppo["learning_rate"].default == 1e-3
    assert ppo["n_epochs"].default == inspect.signature(sb3.PPO).parameters["n_epochs"].default
    assert ppo["children_per_update"].default == 24 and ppo["batch_size"].default is None
    assert not {"env", "n_steps", "options", "self"} & set(ppo)
    dqn = inspect.signature(DQN).parameters
    assert dqn["exploration_children"].default == 100 and dqn["batch_size"].default == 64


def test_mistakes_get_one_line() -> None:
    mistakes: list[tuple[str, dict[str, Any], str]] = [
        ("ppo", {"n_epoch": 4}, "agent 'ppo' has no option 'n_epoch'; did you mean 'n_epochs'?"),
        ("a2c", {"n_epochs": 2}, "agent 'a2c' has no option 'n_epochs'"),
        ("dqn", {"exploration_fraction": 0.1}, "agent 'dqn' has no option 'exploration_fraction'"),
        ("dqn", {"exploration_children": 0}, "exploration_children must be from 1, not 0"),
        ("ppo", {"children_per_update": 0}, "children_per_update must be from 1"),
        ("ppo", {"decay": 1.0}, r"decay in \[0, 1\)"),
        ("ppo", {"policy_kwargs": "small"}, "policy_kwargs must be a mapping, not 'small'"),
        ("ppo", {"batch_size": 1}, "PPO does not take .*batch_size=1.*`batch_size` must be"),
    ]
    for name, options, message in mistakes:
        with pytest.raises(ValueError, match=message) as error:
            make(name, **options).search(NASVectorEnv(Stack(), Numbers(), num_envs=4), 8)
        assert "\n" not in str(error.value)


def test_a_reward_that_is_no_number_is_named() -> None:
    envs = NASVectorEnv(Stack(), Numbers(), num_envs=4, reward=lambda _: float("inf"))
    with pytest.raises(ValueError, match="the reward of a child is inf: it must be finite"):
        make("a2c").search(envs, 8)
