import itertools
from math import comb, inf

import numpy as np
import pytest

from nasgym.benchmarks.leaderboard.scores import (
    children_to,
    estimate,
    improvement,
    interquartile_mean,
    performance_profile,
    probability_of_improvement,
    recommended,
)


def array(*values: float) -> np.ndarray:
    return np.array(values, float)


def test_recommendation_is_chosen_by_reward_and_scored_by_clean_value() -> None:
    rewards, clean = array(0.5, 0.7, 0.6, 0.9), array(0.4, 0.8, 0.9, 0.3)
    assert recommended(rewards, clean).tolist() == [0.4, 0.8, 0.8, 0.3]


def test_the_first_of_equal_rewards_is_recommended() -> None:
    assert recommended(array(0.7, 0.7, 0.1), array(0.2, 0.9, 0.5)).tolist() == [0.2, 0.2, 0.2]


def test_a_failed_child_is_never_recommended() -> None:
    trace = recommended(array(-inf, -inf, 0.1, -inf), array(0.9, 0.9, 0.2, 0.9))
    assert trace.tolist() == [0.0, 0.0, 0.2, 0.2]


def test_children_to_the_optimum() -> None:
    assert children_to(array(0.1, 0.5, 0.9, 0.9), 0.9) == 3
    assert children_to(array(0.1, 0.9, 0.4), 0.9) == 2  # noise makes the search give it up again
    assert children_to(array(0.1, 0.5), 0.9) == inf


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 4, 6, 100], 5),  # one left out at each end
        ([1, 2, 9], 4),  # of three, none
        ([7, 1, 2, 3, 4, 5, 6, 8], 4.5),  # 3 to 6
        ([-50, 1, 2, 3, 90], 2),  # int(5 / 4) = 1 at each end
    ],
)
def test_interquartile_mean(values: list[float], expected: float) -> None:
    assert interquartile_mean([array(*values)[None]]) == pytest.approx(expected)


def test_probability_of_improvement_counts_ties_half_and_tasks_alike() -> None:
    one = array(1, 2, 3)[None], array(2, 4)[None]  # 3 > 2 wins, 2 = 2 ties: 1.5 of 6
    other = array(5)[None], array(1, 2, 3, 4)[None]  # all 4 of 4
    assert probability_of_improvement([one]) == pytest.approx(0.25)
    assert probability_of_improvement([one, other]) == pytest.approx((0.25 + 1) / 2)


def test_probability_of_improvement_of_an_agent_over_itself_is_a_half() -> None:
    runs = np.random.default_rng(0).random(20)
    value, low, high = improvement([(runs, runs)])
    assert value == 0.5
    assert low < 0.5 < high


def test_performance_profile() -> None:
    profile = performance_profile(array(0.2, 0.5, 1.0, 1.0), array(0.0, 0.5, 0.7, 1.0))
    assert profile.tolist() == [1.0, 0.75, 0.5, 0.5]


def test_interval_is_that_of_all_resamples() -> None:
    # All 4^4 resamples of four runs, one by one; the interquartile mean is that of the middle two.
    runs = array(0, 1, 2, 10)
    means = [sum(sorted(drawn)[1:3]) / 2 for drawn in itertools.product(runs, repeat=4)]
    value, low, high = estimate([runs], resamples=20_000)
    assert value == 1.5
    assert low == np.quantile(means, 0.025) == 0.0
    assert high == np.quantile(means, 0.975) == 10.0


def test_bootstrap_keeps_the_tasks_apart() -> None:
    # A task whose runs are all equal cannot vary, however often it is drawn: 2 x 0 and 2 x 1
    # always, of which the middle two are 0 and 1. Drawn from one pool they would vary.
    value, low, high = estimate([array(0, 0), array(1, 1)])
    assert value == low == high == 0.5


def test_interval_covers_the_truth_at_about_its_level() -> None:
    rng = np.random.default_rng(1)
    covered = 0
    for _ in range(200):
        _, low, high = estimate([rng.normal(size=20)], resamples=400)
        covered += low <= 0 <= high
    # 95 % of 200 is 190; a percentile bootstrap over 20 runs covers a little less.
    assert 175 <= covered <= 200


def test_estimates_of_curves_are_those_of_their_points() -> None:
    curves = np.random.default_rng(2).random((6, 3))
    together = estimate([curves])
    assert together.shape == (3, 3)
    for point in range(3):
        assert together[:, point] == pytest.approx(estimate([curves[:, point]]))


def test_the_same_runs_give_the_same_interval() -> None:
    runs = np.random.default_rng(3).random(10)
    assert estimate([runs]).tolist() == estimate([runs]).tolist()


def test_improvement_interval_agrees_with_the_binomial_distribution() -> None:
    # Against one run that always loses to ours above it, the wins of n resampled runs are binomial.
    ours, theirs = array(*[1] * 7, *[0] * 3), array(0.5)
    value, low, high = improvement([(ours, theirs)], resamples=20_000)
    cumulative = np.cumsum([comb(10, k) * 0.7**k * 0.3 ** (10 - k) for k in range(11)])
    assert value == pytest.approx(0.7)
    assert low == pytest.approx(np.searchsorted(cumulative, 0.025) / 10)
    assert high == pytest.approx(np.searchsorted(cumulative, 0.975) / 10)
