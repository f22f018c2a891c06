"""Model-based search: conforming, never a child twice, resumed bit for bit, better than chance."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from nasgym import Evaluation, NASEnv, NASVectorEnv
from nasgym.agents.model_based.model_based import ModelBased
from nasgym.agents.model_based.surrogate import Surrogate
from nasgym.spaces import ConvSpace, RecurrentSpace
from nasgym.spaces.base import SearchSpace, Tokens
from nasgym.testing import check_agent
from tests.spaces import Numbers, Stack

SPACE = ConvSpace(layers=2, max_layers=2)
SKIPS = ConvSpace(layers=3, max_layers=3, filter_heights=(1, 3), filter_widths=(3,))
QUICK: dict[str, Any] = {"updates": 2, "imagined": 16, "mutants": 8, "hidden": 16}


class Bag(Stack):
    """Stacks whose order does not matter; no string encodes their canonical form."""

    def canonical(self, architecture: list[list[Any]]) -> list[list[Any]]:
        return sorted([name, 0, str(option)] for name, _, option in architecture)


class Ones:
    """Rewards the share of first options; with `fails`, fails where the first decision is not."""

    def __init__(self, fails: bool = False) -> None:
        self.fails = fails

    def evaluate(self, architectures: Sequence[Any]) -> list[Evaluation]:
        return [self.one(SPACE.encode(architecture)) for architecture in architectures]

    def one(self, tokens: Tokens) -> Evaluation:
        if self.fails and tokens[0] != 0:
            return Evaluation(status="exception", error="made to fail")
        return Evaluation(sum(token == 0 for token in tokens) / len(tokens))


def search(agent: ModelBased, space: SearchSpace, budget: int, num_envs: int = 4) -> NASVectorEnv:
    envs = NASVectorEnv(space, Numbers(), num_envs=num_envs)
    agent.search(envs, budget)
    return envs


@pytest.mark.parametrize("space", [SPACE, Bag()], ids=["conv", "bag"])
def test_conformance(space: SearchSpace) -> None:
    check_agent(lambda seed: ModelBased(seed, **QUICK), space, budget=30)


@pytest.mark.parametrize("num_envs", [3, 30])
@pytest.mark.parametrize("space", [SKIPS, Bag()], ids=["skips", "bag"])
def test_no_child_is_trained_twice(space: SearchSpace, num_envs: int) -> None:
    envs = search(ModelBased(0, **QUICK), space, 60, num_envs)
    assert not any(trial.cached for trial in envs.archive)


@pytest.mark.parametrize("num_envs", [1, 8])
def test_a_space_is_exhausted_before_a_child_is_repeated(num_envs: int) -> None:
    envs = search(ModelBased(0, **QUICK, first=4), Stack(1), 20, num_envs)
    repeated = [trial.cached for trial in envs.archive]
    assert repeated == [False] * Stack(1).size + [True] * (20 - Stack(1).size)


@pytest.mark.parametrize("space", [SKIPS, Stack(), Bag()], ids=["skips", "stack", "bag"])
@pytest.mark.parametrize("before", [8, 32])
def test_a_restored_agent_goes_on_bit_for_bit(space: SearchSpace, before: int) -> None:
    undisturbed = ModelBased(4, **QUICK)
    envs = search(undisturbed, space, before)
    state = undisturbed.state()
    assert state is not None
    undisturbed.search(envs, 48)

    resumed = ModelBased(99, **QUICK)
    resumed.restore(state)
    assert resumed.state() == state  # also before the first proposal
    again = NASVectorEnv(space, Numbers(), num_envs=4)
    again.study.play([trial.tokens for trial in envs.archive][:before])
    resumed.search(again, 48)
    assert [t.tokens for t in again.archive] == [t.tokens for t in envs.archive]
    assert resumed.state() == undisturbed.state()
    assert resumed.entropy() == undisturbed.entropy()


@pytest.mark.parametrize("mutants", [0, 64], ids=["policy", "mutants"])
def test_it_finds_the_best_of_thousands_in_dozens(mutants: int) -> None:
    """Of 8,192 strings 60 are trained: uniform ones would find the best 1 time in 137."""
    envs = NASVectorEnv(SPACE, Ones(), num_envs=4)
    ModelBased(0, mutants=mutants, imagined=64, first=12).search(envs, 60)
    assert max(trial.reward for trial in envs.archive) == 1.0


def test_it_keeps_away_from_what_fails() -> None:
    """Three of four uniform strings fail."""
    envs = NASVectorEnv(SPACE, Ones(fails=True), num_envs=4)
    ModelBased(0, **QUICK).search(envs, 60)
    failed = [trial.status != "ok" for trial in envs.archive]
    assert np.mean(failed[:12]) > 0.5 and np.mean(failed[12:]) < 0.25


def test_updates_on_the_model_make_the_policy_imagine_better_strings() -> None:
    agent = ModelBased(2, updates=20, imagined=64, mutants=0)
    envs = NASVectorEnv(SPACE, Ones(), num_envs=12)
    agent.search(envs, 12)
    controller, _, features = agent.learner
    rng = np.random.default_rng(0)
    before = controller.sample(200, rng)
    agent.propose(SPACE, 1)
    after = controller.sample(200, rng)
    children = list(agent.children.values())
    rewards = torch.tensor([reward for _, reward in children])
    model = Surrogate.fit(features.rows([tokens for tokens, _ in children]), rewards)
    worth = [model.log_improvement(features.rows(strings)).median() for strings in (before, after)]
    assert worth[1] > worth[0] + 0.5


def test_it_follows_a_growing_ceiling_and_remembers_shallow_children() -> None:
    envs = NASVectorEnv(
        ConvSpace(layers=1, max_layers=3), Numbers(), num_envs=4, grow_by=1, grow_every=16
    )
    agent = ModelBased(0, **QUICK)
    agent.search(envs, 48)
    depths = [len(trial.architecture["layers"]) for trial in envs.archive]
    assert depths == [1] * 16 + [2] * 16 + [3] * 16
    assert len(agent.children) == 48


def test_it_searches_cells_and_single_environments() -> None:
    env = NASEnv(RecurrentSpace(base=2), Numbers())
    ModelBased(0, **QUICK).search(env, 16)
    assert len({trial.tokens for trial in env.archive}) == 16


def test_of_many_children_it_remembers_the_best_and_some_others() -> None:
    agent = ModelBased(0, **QUICK, remembered=20)
    envs = search(agent, SPACE, 48)
    rows = agent._model().rows
    rewards = {trial.tokens: trial.reward for trial in envs.archive}
    features = agent.learner.features
    ranked = sorted(rewards, key=rewards.__getitem__, reverse=True)
    best = features.rows([features.canonical_form(SPACE, tokens).tokens for tokens in ranked])
    kept = [int((best == row).all(1).nonzero()[0]) for row in rows]
    assert kept[:11] == list(range(11)) and kept[-1] == 47
    assert len(set(kept)) == 20


def test_entropy_is_reported_from_the_first_update_on() -> None:
    agent = ModelBased(0, **QUICK)
    search(agent, SPACE, 24)
    assert [children for children, _ in agent.entropy()] == [12, 16, 20, 24]
    assert all(0 < nats < np.log(4) for _, nats in agent.entropy())


def test_mistakes_get_one_line() -> None:
    mistakes: list[tuple[dict[str, Any], str]] = [
        ({"updates": "many"}, "updates must be a whole number, not 'many'"),
        ({"imagined": 0}, "imagined must be from 1, not 0"),
        ({"lr": 0.0}, "lr above 0: not 64, 0.5 and 0.0"),
    ]
    for options, message in mistakes:
        with pytest.raises(ValueError, match=message):
            ModelBased(**options)
    agent = ModelBased()
    (trial,) = search(ModelBased(), Stack(1), 1, num_envs=1).archive
    with pytest.raises(RuntimeError, match="propose strings first"):
        _ = agent.learner
    agent.propose(Stack(1), 1)
    with pytest.raises(ValueError, match="the reward of child 0 is nan: it must be finite"):
        agent.learn([replace(trial, reward=float("nan"))])
