"""The controller: exact on every kind of space, against a plain reference and by enumeration."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from nasgym.agents.controller.controller import Controller
from nasgym.spaces import ConvSpace, RecurrentSpace
from nasgym.spaces.base import Decision, SearchSpace, Tokens
from tests.plain_controller import Choose, reference, spell
from tests.spaces import Stack


class Wired(SearchSpace):
    """Nodes that choose among earlier nodes and the image (0), at most `most` each.

    The grammar counts the connections made, so that the outcome of one decides whether the next is
    asked; nodes have nothing else to choose unless they have a kind.
    """

    def __init__(self, nodes: int = 3, most: int = 2, kinds: tuple[str, ...] = ()) -> None:
        self.nodes, self.most, self.kinds = nodes, most, kinds

    def first(self) -> Decision:
        return Decision("edge", (0, 1), layer=1, source=0, memory=0)

    def following(self, decision: Decision, token: int) -> Decision | None:
        layer, source = decision.layer, decision.source
        if source is not None:
            assert isinstance(decision.memory, int)
            made = decision.memory + token
            if source + 1 < layer and made < self.most:
                return Decision("edge", (0, 1), layer, source + 1, memory=made)
            if self.kinds:
                return Decision("kind", self.kinds[: made + 1], layer)
        if layer == self.nodes:
            return None
        return Decision("edge", (0, 1), layer + 1, source=0, memory=0)

    def decode(self, tokens: Sequence[int]) -> list[int]:
        return list(tokens)


class TotalSize(SearchSpace):
    """Sizes that add up to 8: the rest decides the options, and when the string ends."""

    def first(self) -> Decision:
        return Decision("size", (1, 2, 3, 4), layer=1, memory=8)

    def following(self, decision: Decision, token: int) -> Decision | None:
        assert isinstance(decision.memory, int)
        left = decision.memory - int(str(decision.options[token]))
        if left == 0:
            return None
        options = tuple(range(1, min(left, 4) + 1))
        return Decision("size", options[-2:], layer=decision.layer + 1, memory=left)

    def decode(self, tokens: Sequence[int]) -> list[int]:
        return list(tokens)


SMALL: dict[str, Any] = {"filter_heights": (1, 3), "filter_widths": (3,), "filters": (8, 16)}
FILTERS_FIRST = (
    "filters",
    "filter_height",
    "filter_width",
    "stride_height",
    "stride_width",
    "skip",
)
SPACES: dict[str, SearchSpace] = {
    "plain": ConvSpace(layers=3, max_layers=3, skip_connections=False, **SMALL),
    "skips": ConvSpace(layers=3, max_layers=3, **SMALL),
    "skips last": ConvSpace(layers=3, max_layers=3, order=FILTERS_FIRST, **SMALL),
    "strides": ConvSpace(layers=1, max_layers=1, strides=(1, 2, 3)),
    "branches": Stack(2),
    "connections only": Wired(nodes=4, most=9),
    "successors depend on connections": Wired(nodes=4),
    "options depend on connections": Wired(kinds=("add", "multiply", "concatenate")),
    "memory": TotalSize(),
    "cells": RecurrentSpace(2, combinations=("add",), activations=("tanh", "relu")),
}
every_space = pytest.mark.parametrize("space", SPACES.values(), ids=SPACES)


def make(space: SearchSpace, *, scale: float = 12.0, seed: int = 0, layers: int = 2) -> Controller:
    """Return a controller whose distribution is far from uniform."""
    controller = Controller(space, hidden=10, layers=layers, seed=seed)
    with torch.no_grad():
        for parameter in controller.parameters():
            parameter.mul_(scale)
    return controller


@every_space
def test_probabilities_sum_to_one(space: SearchSpace) -> None:
    controller = make(space).double()
    strings = list(space)
    probabilities = controller.log_prob(strings).exp().detach()
    assert len(strings) > 10
    assert probabilities.max() > 1.4 / len(strings)  # not nearly uniform
    assert float(probabilities.sum()) == pytest.approx(1, abs=1e-12)


@every_space
@pytest.mark.parametrize("layers", [1, 3])
def test_log_prob_equals_the_reference(space: SearchSpace, layers: int) -> None:
    controller = make(space, layers=layers).double()
    rng = np.random.default_rng(0)
    strings = [space.sample_uniform(rng) for _ in range(10)]
    log_prob, entropy = controller.score(strings)
    for row, tokens in enumerate(strings):
        _, expected, entropies = reference(controller, space, spell(tokens))
        torch.testing.assert_close(log_prob[row], expected)
        torch.testing.assert_close(entropy[row], entropies / len(tokens))


@pytest.mark.parametrize("layers", [6, 20])
@pytest.mark.parametrize("scale", [1, 8])
def test_log_prob_equals_the_reference_in_the_papers_space(layers: int, scale: float) -> None:
    space = ConvSpace(layers=layers)
    controller = make(space, scale=scale)
    rng = np.random.default_rng(layers)
    strings = [space.sample(rng) for _ in range(4)]
    expected = [reference(controller, space, spell(tokens))[1] for tokens in strings]
    torch.testing.assert_close(
        controller.log_prob(strings), torch.stack(expected), rtol=1e-5, atol=1e-4
    )


@every_space
@pytest.mark.parametrize("baseline", [0.0, 0.7])
def test_the_expected_gradient_is_that_of_the_enumerated_objective(
    space: SearchSpace, baseline: float
) -> None:
    """Acceptance check 6: the gradient is exact, and a constant baseline leaves it where it is."""
    controller = make(space).double()
    strings = list(space)
    rewards = torch.from_numpy(np.random.default_rng(1).random(len(strings)))
    log_prob = controller.log_prob(strings)
    used = [p for p in controller.parameters() if p is not controller.head_weight or len(p) > 1]
    objective = (log_prob.exp() * rewards).sum()
    exact = torch.autograd.grad(objective, used, retain_graph=True, allow_unused=True)
    surrogate = (log_prob.exp().detach() * log_prob * (rewards - baseline)).sum()
    expected = torch.autograd.grad(surrogate, used, allow_unused=True)
    largest = max(float(gradient.abs().max()) for gradient in exact if gradient is not None)
    assert largest > 1e-3
    for one, other in zip(exact, expected, strict=True):
        assert (one is None) == (other is None)
        if one is not None and other is not None:
            torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


@every_space
@pytest.mark.parametrize("layers", [1, 3])
def test_the_sampler_draws_what_the_reference_draws(space: SearchSpace, layers: int) -> None:
    """Token for token, by inverse CDF from the same uniforms."""
    controller = make(space, layers=layers)
    count = 30
    drawn = controller.sample(count, np.random.default_rng(5))
    uniforms = np.random.default_rng(5).random((count, space.max_length), dtype=np.float32)

    for row, tokens in zip(uniforms, drawn, strict=True):
        expected, _, _ = reference(controller, space, invert(row))
        assert tokens == expected
    assert len(set(drawn)) > 3


def invert(uniforms: NDArray[np.float32]) -> Choose:
    return lambda place, p: int((p.cumsum(0)[:-1] <= uniforms[place]).sum())


@every_space
def test_sampled_frequencies_agree_with_log_prob(space: SearchSpace) -> None:
    controller = make(space, scale=5)
    count = 20_000
    drawn = Counter(controller.sample(count, np.random.default_rng(2)))
    strings = list(space)
    expected = count * controller.log_prob(strings).detach().exp().numpy()
    observed = np.array([drawn[tokens] for tokens in strings])
    assert observed.sum() == count
    rare = expected < 5
    cells = [(observed[~rare], expected[~rare]), (observed[rare].sum(), expected[rare].sum())]
    chi2 = sum(float((((o - e) ** 2) / np.maximum(e, 1)).sum()) for o, e in cells)
    freedom = int((~rare).sum())
    assert chi2 < freedom + 5 * np.sqrt(2 * freedom)


def test_one_controller_serves_every_depth() -> None:
    """Strings of shallower spaces are beginnings: their probability is the same at any depth."""
    deep = ConvSpace(layers=1, max_layers=4, **SMALL)
    controller = make(deep).double()
    shallow = [deep.with_layers(layers) for layers in (1, 2, 3)]
    for space in shallow:
        strings = list(space)
        probabilities = controller.log_prob(strings).exp().detach()
        assert float(probabilities.sum()) == pytest.approx(1, abs=1e-12)
    mixed = [next(iter(space)) for space in shallow]
    expected = [
        reference(controller, space, spell(tokens))[1]
        for space, tokens in zip(shallow, mixed, strict=True)
    ]
    torch.testing.assert_close(controller.log_prob(mixed), torch.stack(expected))


def test_it_samples_at_the_depth_asked_for() -> None:
    deep = ConvSpace(layers=1, max_layers=4, **SMALL)
    controller = make(deep)
    lengths = [
        {len(tokens) for tokens in controller.sample(5, np.random.default_rng(0), space)}
        for space in (deep, deep.with_layers(3), None)
    ]
    assert lengths == [{3}, {12}, {18}]


def test_strings_of_different_spaces_in_one_batch_do_not_touch_each_other() -> None:
    space = Stack(3)
    controller = make(space).double()
    rng = np.random.default_rng(0)
    strings = [space.sample(rng) for _ in range(20)]
    assert len({len(tokens) for tokens in strings}) > 2
    alone = [controller.log_prob([tokens])[0] for tokens in strings]
    torch.testing.assert_close(controller.log_prob(strings), torch.stack(alone))


def test_a_string_does_not_depend_on_the_others_of_its_batch() -> None:
    space = SPACES["branches"]
    controller = make(space)
    few = controller.sample(4, np.random.default_rng(0))
    many = controller.sample(40, np.random.default_rng(0))
    assert many[:4] == few


@pytest.mark.parametrize(
    "tokens",
    [
        (-1, 0, 0, 0, 0, 0, 0),  # no such option
        (0, 0, 2, 0, 0, 0, 0),
        (0, 0, 0, 0, 0, 2, 0),
        (0,) * 14,  # goes on after the end
        (0,) * 10,  # breaks off within the anchor of layer 3
    ],
)
def test_strings_of_no_space_are_refused(tokens: Tokens) -> None:
    controller = make(ConvSpace(layers=3, max_layers=3, **SMALL))
    with pytest.raises(ValueError):
        controller.log_prob([tokens])


def test_weights_are_drawn_by_the_seed_alone() -> None:
    space = ConvSpace()
    before = torch.get_rng_state()
    one, again, other = (Controller(space, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    flat = [torch.cat([p.detach().flatten() for p in c.parameters()]) for c in (one, again, other)]
    assert torch.equal(flat[0], flat[1])
    assert not torch.equal(flat[0], flat[2])
    assert 0.0799 < float(flat[0].abs().max()) <= 0.08
    assert one.lstm.hidden_size == 35
    assert one.lstm.num_layers == 2


def test_a_controller_grown_certain_still_draws() -> None:
    """Logits far beyond what exp can take in single precision."""
    space = SPACES["skips"]
    controller = make(space, scale=1000)
    drawn = controller.sample(50, np.random.default_rng(0))
    assert all(space.contains(tokens) for tokens in drawn)
    assert torch.isfinite(controller.log_prob(drawn)).all()
