"""Local search: it climbs, restarts, repeats no string, and finds optima in few children."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest

from nasgym import Decision, Evaluation, NASVectorEnv
from nasgym.agents.local_search import LocalSearch
from nasgym.evaluation.evaluator import EvaluatesBatches
from nasgym.spaces import ConvSpace
from nasgym.spaces.base import SearchSpace, Tokens
from nasgym.testing import check_agent
from tests.spaces import Numbers, Stack


class Chain(SearchSpace):
    """Six decisions of five options each: the shape of NAS-Bench-201."""

    def first(self) -> Decision:
        return Decision("operation", tuple(range(5)), 1)

    def following(self, decision: Decision, token: int) -> Decision | None:
        layer = decision.layer + 1
        return Decision("operation", tuple(range(5)), layer) if layer <= 6 else None

    def decode(self, tokens: Sequence[int]) -> list[int]:
        return list(tokens)


class Smooth:
    """Rewards the sum of the tokens; fails where the first three are all 0."""

    def evaluate(self, architectures: Sequence[Any]) -> list[Evaluation]:
        return [self._one(tokens) for tokens in architectures]

    def _one(self, tokens: Sequence[int]) -> Evaluation:
        if not any(tokens[:3]):
            return Evaluation(status="nan", error="made to fail")
        return Evaluation(accuracy=sum(tokens) / 24)


def search(
    space: SearchSpace,
    evaluator: EvaluatesBatches,
    budget: int,
    *,
    seed: int = 0,
    num_envs: int = 1,
) -> NASVectorEnv:
    envs = NASVectorEnv(space, evaluator, num_envs)
    LocalSearch(seed).search(envs, budget)
    assert len(envs.archive) == budget
    return envs


@pytest.mark.parametrize("space", [ConvSpace(layers=2, max_layers=2), Stack(), Chain()])
def test_conformance(space: SearchSpace) -> None:
    check_agent(LocalSearch, space)


def test_it_climbs_by_the_first_better_neighbour() -> None:
    """Follow the rules child by child, as long as the climb meets unseen strings only."""
    space, current, starts = Chain(), None, 0
    tried: set[Tokens] = set()
    for trial in search(space, Smooth(), 40, seed=3).archive:
        if current is None or tried.issuperset(space.neighbours(current.tokens)):
            starts += 1
            current = trial
        else:
            assert trial.tokens in space.neighbours(current.tokens)
            if trial.reward > current.reward:
                current = trial
        tried.add(trial.tokens)
    assert starts == 1
    assert current is not None and current.reward > 0.8


def test_one_climb_reaches_the_only_optimum() -> None:
    """24 neighbours a string, at most 24 steps up; half the neighbours of most are better."""
    for seed in range(3):
        rewards = [trial.reward for trial in search(Chain(), Smooth(), 150, seed=seed).archive]
        assert max(rewards) == 1.0


def test_it_starts_again_at_a_local_optimum() -> None:
    """Random rewards have an optimum about every 25 strings, so each climb is short."""
    space = Chain()
    strings = [trial.tokens for trial in search(space, Numbers(), 400).archive]
    jumps = sum(
        sum(one != other for one, other in zip(a, b, strict=True)) > 2 for a, b in pairwise(strings)
    )
    assert 4 <= jumps <= 40


@pytest.mark.parametrize("num_envs", [1, 8])
def test_no_string_is_repeated_until_all_were_tried(num_envs: int) -> None:
    space = Stack(2)
    strings = [
        trial.tokens
        for trial in search(space, Numbers(), space.size + 20, num_envs=num_envs).archive
    ]
    assert set(strings[: space.size]) == set(space)


def test_it_climbs_over_known_strings() -> None:
    """It moves to a better known string in its turn and tries that one's neighbours too."""
    space, current, better = Chain(), (1, 1, 1, 1, 1, 1), (1, 1, 1, 1, 1, 2)
    ahead, beyond = set(space.neighbours(current)), set(space.neighbours(better))
    found = []
    for seed in range(40):
        agent = LocalSearch(seed)
        agent.current, agent.seen = current, {current: 0.5, better: 0.9}
        found += agent.propose(space, 1)
    assert ahead.union(beyond).issuperset(found)
    assert not ahead.issuperset(found) and not beyond.issuperset(found)


def test_it_follows_a_growing_ceiling() -> None:
    space = ConvSpace(layers=1, max_layers=3)
    envs = NASVectorEnv(space, Numbers(), num_envs=8, grow_by=1, grow_every=48)
    LocalSearch().search(envs, 144)
    lengths = [len(trial.tokens) for trial in envs.archive]
    assert lengths == [3] * 48 + [7] * 48 + [12] * 48


@pytest.mark.parametrize("num_envs", [1, 8])
def test_a_restored_agent_goes_on_bit_for_bit(num_envs: int) -> None:
    undisturbed = LocalSearch(seed=4)
    envs = NASVectorEnv(Stack(3), Numbers(), num_envs)
    undisturbed.search(envs, 40)
    state = undisturbed.state()
    undisturbed.search(envs, 90)

    resumed = LocalSearch(seed=99)
    resumed.restore(state)
    assert resumed.state() == state
    again = NASVectorEnv(Stack(3), Numbers(), num_envs)
    again.study.play([trial.tokens for trial in envs.archive][:40])
    resumed.search(again, 90)
    assert [trial.tokens for trial in again.archive] == [trial.tokens for trial in envs.archive]
    assert resumed.state() == undisturbed.state()


def test_it_can_be_saved_before_the_first_proposal() -> None:
    fresh = LocalSearch(seed=2)
    restored = LocalSearch(seed=1)
    restored.restore(fresh.state())
    assert restored.propose(Stack(), 4) == fresh.propose(Stack(), 4)
