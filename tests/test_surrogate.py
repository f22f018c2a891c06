"""The surrogate and its features, against counts, dense linear algebra and mpmath."""

import itertools
import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from nasgym.agents.model_based.features import Features
from nasgym.agents.model_based.surrogate import (
    DECAYS,
    NOISES,
    Surrogate,
    log_excess,
    quantiles,
    ranks,
)
from nasgym.spaces import ConvSpace, RecurrentSpace
from nasgym.spaces.base import SearchSpace, Tokens, deepest
from tests.spaces import Stack

Matrix = NDArray[np.float64]


def differing(space: SearchSpace, one: Tokens, other: Tokens) -> int:
    """Count the places where two strings differ, or where only one of them has a decision."""
    a, b = (
        {
            decision.key: decision.options[token]
            for decision, token in deepest(space).walk_prefix(each)
        }
        for each in (one, other)
    )
    return sum(
        (place in a, a.get(place)) != (place in b, b.get(place)) for place in a.keys() | b.keys()
    )


@pytest.mark.parametrize(
    "space", [Stack(4), ConvSpace(layers=3, max_layers=4), RecurrentSpace(base=2)]
)
def test_rows_count_what_differs(space: SearchSpace) -> None:
    rng = np.random.default_rng(0)
    strings = [space.sample(rng) for _ in range(12)]
    if space.max_layers is not None:
        strings += [space.with_layers(layers).sample(rng) for layers in (1, 2, 4)]
    rows = Features(space).rows(strings)
    counted = rows.sum(1)[:, None] - rows @ rows.T
    expected = [[differing(space, one, other) for other in strings] for one in strings]
    assert counted.tolist() == expected
    assert ((rows == 0) | (rows == 1)).all()


def test_a_network_has_one_form_however_it_is_numbered() -> None:
    space = ConvSpace(layers=3, max_layers=3, filter_heights=(1, 3), filter_widths=(3,))
    features = Features(space)
    rng = np.random.default_rng(1)
    forms: dict[str, set[Tokens]] = {}
    for tokens in [space.sample(rng) for _ in range(600)]:
        form = features.canonical_form(space, tokens)
        assert form.key == form.tokens
        network = space.canonical(space.decode(tokens))
        assert space.decode(form.tokens) == network
        forms.setdefault(repr(network), set()).add(form.tokens)
    assert all(len(written) == 1 for written in forms.values())
    assert len(forms) < len({tokens for tokens in (space.sample(rng) for _ in range(600))})


def test_a_space_that_writes_no_form_still_knows_equal_children() -> None:
    class Bag(Stack):
        def canonical(self, architecture: list[list[object]]) -> list[list[object]]:
            return sorted([name, 0, option] for name, _, option in architecture)

    space = Bag(2)
    features = Features(space)
    conv_then_pool, pool_then_conv = (0, 1, 0, 1, 1), (1, 1, 0, 1, 0)
    one, other = (
        features.canonical_form(space, conv_then_pool),
        features.canonical_form(space, pool_then_conv),
    )
    assert one.key == other.key
    assert (one.tokens, other.tokens) == (conv_then_pool, pool_then_conv)
    assert features.canonical_form(space, (2,)).key != one.key


# The process ----------------------------------------------------------------------------------


def data(count: int = 30) -> tuple[Features, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return rows and rewards of random strings, and rows of others."""
    space = Stack(4)
    rng = np.random.default_rng(2)
    strings = list({space.sample(rng): None for _ in range(500)})
    features = Features(space)
    rows = features.rows(strings[: count + 10])
    return features, rows[:count], torch.from_numpy(rng.random(count)), rows[count:]


def covariance(a: torch.Tensor, b: torch.Tensor, decay: float) -> Matrix:
    one, other = a.numpy(), b.numpy()
    kernel = np.empty((len(one), len(other)))
    for i, j in itertools.product(range(len(one)), range(len(other))):
        kernel[i, j] = math.exp(-decay * (one[i].sum() - one[i] @ other[j]))
    return kernel


def test_predictions_equal_dense_algebra() -> None:
    _, rows, rewards, others = data()
    model = Surrogate.with_kernel(rows, quantiles(rewards), decay=0.2, noise=0.05)
    within = covariance(rows, rows, 0.2) + 0.05 * np.eye(len(rows))
    across = covariance(rows, others, 0.2)
    mean, variance = model.predict(others)
    solved = np.linalg.solve(within, across)
    np.testing.assert_allclose(mean.numpy(), solved.T @ quantiles(rewards).numpy(), atol=1e-10)
    np.testing.assert_allclose(variance.numpy(), 1 - (across * solved).sum(0), atol=1e-10)


def test_conditioning_on_a_prediction_is_conditioning_on_its_mean() -> None:
    _, rows, rewards, others = data()
    model = Surrogate.with_kernel(rows, quantiles(rewards), decay=0.2, noise=0.05)
    for row in others[:3]:
        expected = model.predict(row[None])[0]
        given = Surrogate.with_kernel(
            torch.cat([model.rows, row[None]]),
            torch.cat([model.targets, expected]),
            decay=0.2,
            noise=0.05,
        )
        conditioned = model.condition_on(row)
        for one, other in zip(conditioned.predict(others), given.predict(others), strict=True):
            torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-10)
        torch.testing.assert_close(conditioned.predict(others)[0], model.predict(others)[0])
        model = conditioned


def test_the_fit_is_the_likeliest_of_the_grid() -> None:
    _, rows, rewards, _ = data()
    model = Surrogate.fit(rows, rewards)
    targets = quantiles(rewards).numpy()
    mean = (rows.sum(1)[:, None] - rows @ rows.T).mean().item()
    likelihoods = {}
    for decay, noise in itertools.product(DECAYS, NOISES):
        within = covariance(rows, rows, decay / mean) + noise * np.eye(len(rows))
        fit = targets @ np.linalg.solve(within, targets) + np.linalg.slogdet(within)[1]
        likelihoods[decay / mean, noise] = -fit
    assert (model.decay, model.noise) == max(likelihoods, key=likelihoods.__getitem__)


def test_it_learns_what_decisions_are_worth() -> None:
    """Of an additive function of 6 decisions, 60 of 15,625 values tell the rest."""
    rng = np.random.default_rng(3)
    space = ConvSpace(layers=2, max_layers=2, skip_connections=False)
    worth = rng.normal(size=(space.max_length, space.max_options))
    strings = list({space.sample(rng): None for _ in range(300)})
    rewards = torch.tensor([worth[np.arange(len(s)), s].sum() for s in strings])
    rows = Features(space).rows(strings)
    mean, variance = Surrogate.fit(rows[:60], rewards[:60]).predict(rows[60:])
    assert np.corrcoef(mean.numpy(), rewards[60:].numpy())[0, 1] > 0.85
    assert variance.min() > 0


def test_only_the_order_of_rewards_counts() -> None:
    _, rows, rewards, others = data()
    once = Surrogate.fit(rows, rewards).predict(others)
    again = Surrogate.fit(rows, (5 * rewards).exp() - 100).predict(others)
    assert all(torch.equal(one, other) for one, other in zip(once, again, strict=True))


def test_ranks_share_their_mean_among_equals() -> None:
    values = torch.tensor([0.3, -math.inf, 0.7, 0.3, -math.inf, -math.inf])
    assert ranks(values).tolist() == [4.0, 1.5, 5.5, 4.0, 1.5, 1.5]
    equal = quantiles(torch.zeros(5))
    assert equal.tolist() == [0.0] * 5


# The expected improvement ---------------------------------------------------------------------

MPMATH = {
    5.0: 1.6094379231264313851,
    1.0: 0.080026218849306940029,
    0.0: -0.91893853320467274178,
    -0.5: -1.6205162643873199193,
    -0.999: -2.4832171154475854429,
    -1.0: -2.4851210257126413368,
    -1.001: -2.4870256579553894227,
    -3.0: -7.8696860596030285171,
    -10.0: -55.553122036122355927,
    -100.0: -5010.1295788002497923,
    -9999.0: -49990019.839419297162,
    -10001.0: -50010019.839819297152,
    -1e6: -500000000028.54995965,
}
"""log(phi(z) + z Phi(z)) to 20 digits."""


def test_log_excess_is_exact_far_below_the_best() -> None:
    found = log_excess(torch.tensor(list(MPMATH), dtype=torch.float64))
    np.testing.assert_allclose(found.numpy(), list(MPMATH.values()), rtol=1e-13, atol=1e-7)
    near = [z for z in MPMATH if z > -200]
    found = log_excess(torch.tensor(near, dtype=torch.float64))
    np.testing.assert_allclose(found.numpy(), [MPMATH[z] for z in near], rtol=1e-12)


def test_log_improvement_is_that_of_the_predicted_distribution() -> None:
    _, rows, rewards, others = data()
    model = Surrogate.with_kernel(rows, quantiles(rewards), decay=0.2, noise=0.05)
    best = model.predict(rows)[0].max().item()
    mean, variance = (values.numpy()[:, None] for values in model.predict(others))
    y = np.linspace(-12, 12, 200_001)
    density = np.exp(-((y - mean) ** 2) / (2 * variance)) / np.sqrt(2 * np.pi * variance)
    expected = (np.maximum(y - best, 0) * density).sum(1) * (y[1] - y[0])
    np.testing.assert_allclose(model.log_improvement(others).exp().numpy(), expected, rtol=1e-6)
