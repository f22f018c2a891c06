"""The automaton against brute force and the paper's numbers."""

import itertools
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from nasgym import Decision, SearchSpace
from nasgym.spaces import PRESETS, ConvSpace
from nasgym.testing import check_space
from tests.spaces import Stack

SMALL = ConvSpace(layers=3, filter_heights=(1, 3), filter_widths=(1,), filters=(4, 8))
SPACES = {
    "stack": Stack(),
    "small": SMALL,
    "chain": ConvSpace(layers=2, skip_connections=False),
    **PRESETS,
}


@pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)
def test_conformance(space: SearchSpace) -> None:
    check_space(space)


def brute_force(space: SearchSpace) -> list[tuple[int, ...]]:
    """List the strings by following the grammar itself, not the compiled automaton."""

    def grow(decision: Decision | None, tokens: tuple[int, ...]) -> list[tuple[int, ...]]:
        if decision is None:
            return [tokens]
        return [
            string
            for token in range(len(decision.options))
            for string in grow(space.following(decision, token), (*tokens, token))
        ]

    return grow(space.first(), ())


@pytest.mark.parametrize("space", [Stack(), SMALL], ids=["stack", "small"])
def test_enumeration_size_and_length_equal_brute_force(space: SearchSpace) -> None:
    strings = brute_force(space)
    assert list(space) == strings
    assert space.size == len(strings)
    assert space.max_length == max(map(len, strings))


@pytest.mark.parametrize(
    ("layers", "v1", "v2"), [(6, 33, 45), (10, 75, 95), (15, 150, 180), (20, 250, 290)]
)
def test_the_papers_number_of_decisions(layers: int, v1: int, v2: int) -> None:
    """Acceptance check 3 (section 4.1): 3 or 5 a layer and a bit for each pair of layers."""
    assert PRESETS["v1"].with_layers(layers).max_length == v1
    assert PRESETS["v2"].with_layers(layers).max_length == v2


@pytest.mark.parametrize("layers", [1, 6, 15])
def test_the_papers_size_of_the_space(layers: int) -> None:
    space = ConvSpace(layers=layers)
    assert space.size == 64**layers * 2 ** math.comb(layers, 2)


def test_sampling_by_strings_and_by_decisions_differ_as_they_must() -> None:
    space, rng, draws = Stack(deepest=1), np.random.default_rng(0), 20_000
    by_decision = Counter(space.sample(rng) for _ in range(draws))
    by_string = Counter(space.sample_uniform(rng) for _ in range(draws))
    for tokens in space:
        probability = math.prod(1 / len(d.options) for d, _ in space.walk(tokens))
        tolerance = 4 * math.sqrt(0.25 / draws)
        assert abs(by_decision[tokens] / draws - probability) < tolerance
        assert abs(by_string[tokens] / draws - 1 / space.size) < tolerance


def test_uniform_sampling_of_a_space_beyond_64_bits() -> None:
    space, rng = ConvSpace(layers=20), np.random.default_rng(0)
    bits = [space.decode(space.sample_uniform(rng)).layers[19].inputs for _ in range(200)]
    share = sum(map(len, bits)) / (200 * 19)
    assert abs(share - 0.5) < 4 * math.sqrt(0.25 / (200 * 19))


def test_mutation_changes_one_decision_and_keeps_the_rest() -> None:
    space, rng = ConvSpace(layers=4), np.random.default_rng(1)
    for _ in range(200):
        parent = space.sample(rng)
        mutant = space.mutate(parent, rng)
        assert sum(a != b for a, b in zip(parent, mutant, strict=True)) == 1


def test_mutation_reaches_every_neighbour_and_only_keeps_what_is_legal() -> None:
    space, rng = Stack(deepest=2), np.random.default_rng(2)
    tokens = space.encode(
        [["kind", 1, "conv"], ["size", 1, 5], ["width", 1, 8], ["kind", 2, "pool"], ["size", 2, 2]]
    )
    mutants = {space.mutate(tokens, rng) for _ in range(600)}
    assert set(space.neighbours(tokens)) <= mutants
    to_pool = next(t for t in space.neighbours(tokens) if t[0] == 1)
    assert space.decode(to_pool)[0] == ["kind", 1, "pool"]


def test_a_string_from_a_shallower_space_mutates_into_a_deeper_one() -> None:
    shallow, rng = ConvSpace(layers=3), np.random.default_rng(3)
    tokens = shallow.sample(rng)
    deeper = shallow.with_layers(5)
    mutant = deeper.mutate(tokens, rng)
    assert deeper.contains(mutant)
    assert sum(a != b for a, b in zip(tokens, mutant, strict=False)) == 1


def test_one_space_in_another_order_of_tokens() -> None:
    order = ("filter_height", "filter_width", "stride_height", "stride_width", "filters", "skip")
    space, usual = ConvSpace(layers=3, order=order), ConvSpace(layers=3)
    assert space.size == usual.size
    names = [d.name for d, _ in space.walk(space.string(0))]
    assert (
        names
        == ["filter_height", "filter_width", "filters"] * 2 + ["skip"] + names[:3] + ["skip"] * 2
    )
    architecture = usual.decode(usual.sample(np.random.default_rng(0)))
    assert space.decode(space.encode(architecture)) == architecture


def test_canonical_form_identifies_exactly_the_renumbered_networks() -> None:
    """All networks of three tiny layers: equal canonical forms if and only if isomorphic."""
    space = ConvSpace(layers=3, filter_heights=(1,), filter_widths=(1,), filters=(4, 8))
    architectures = [space.decode(tokens) for tokens in space]
    for one, other in itertools.combinations(architectures, 2):
        same = any(
            all(
                one.layers[a].hyper_parameters == other.layers[b].hyper_parameters
                and {order[i - 1] + 1 for i in one.layers[a].inputs} == set(other.layers[b].inputs)
                for a, b in enumerate(order)
            )
            for order in itertools.permutations(range(3))
        )
        assert (space.canonical(one) == space.canonical(other)) is same


class Circle(SearchSpace):
    def first(self) -> Decision:
        return Decision("again", ("yes", "no"))

    def following(self, decision: Decision, token: int) -> Decision | None:
        return decision if token == 0 else None

    def decode(self, tokens: Sequence[int]) -> int:
        return len(tokens)


def test_mistakes_in_a_grammar_are_named() -> None:
    with pytest.raises(ValueError, match="leads in a circle"):
        _ = Circle().size
    with pytest.raises(ValueError, match="at least one option"):
        Decision("empty", ())
    with pytest.raises(ValueError, match="layers must be a whole number from 1 to max_layers"):
        ConvSpace(layers=21)
    with pytest.raises(ValueError, match="filters must be whole numbers from 1"):
        ConvSpace(filters=(0,))


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        ((9,), "token 9 at position 0 is none of the 3 options of 'kind'"),
        ((2, 0), "has 2 tokens but ends after 1"),
        ((0, 1), "stops after 2 tokens, before 'width'"),
        ((-1,), "token -1"),
    ],
)
def test_strings_outside_the_space_are_named(tokens: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Stack().decode(tokens)
    assert not Stack().contains(tokens)


class Unchecked(Stack):
    def decode(self, tokens: Sequence[int]) -> list[list[Any]]:
        return [list(tokens)]


def test_a_decode_that_accepts_other_strings_fails_the_conformance_check() -> None:
    with pytest.raises(AssertionError, match="decode does not raise ValueError for"):
        check_space(Unchecked())
