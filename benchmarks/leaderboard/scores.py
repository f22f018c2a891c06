"""Scores: what is said of searches, how sure that is, and how two agents compare.

Agarwal et al. 2021, "Deep reinforcement learning at the edge of the statistical precipice", where
runs are few and their results far from normal: interquartile means, intervals from a bootstrap
within each task, probabilities of improvement and performance profiles.

A trace is what a search would have handed over after each child: the clean value of its best child
by reward so far, (children,); nought before any child was trained.
"""

from collections.abc import Callable, Sequence
from math import inf

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

RESAMPLES = 2000
"""Samples of the bootstrap."""

LEVEL = 0.95
"""How likely an interval holds the truth."""

TOLERANCE = 1e-12
"""Values closer than this are equal."""


def recommended(rewards: Floats, clean: Floats) -> Floats:
    """Return the trace of a search with such rewards and clean values, both (children,).

    The first of equal rewards counts. Children that failed have the reward -inf.
    """
    best = np.maximum.accumulate(rewards)
    first = np.concatenate([[True], rewards[1:] > best[:-1]])
    latest = np.maximum.accumulate(np.where(first, np.arange(len(rewards)), 0))
    return np.where(best > -inf, clean[latest], 0.0)


def children_to(trace: Floats, optimum: float) -> float:
    """Return after how many children the search would first have handed over the optimum.

    inf if never.
    """
    there = trace >= optimum - TOLERANCE
    return float(there.argmax() + 1) if there.any() else inf


def median(values: Sequence[float]) -> float:
    """Return the median, where inf stands for a run that never got there."""
    low, high = sorted(values)[(len(values) - 1) // 2], sorted(values)[len(values) // 2]
    return (low + high) / 2


def interquartile_mean(values: Floats, axis: int = -1) -> Floats:
    """Return the mean of what is left without the lowest and the highest quarter.

    Of n values int(n / 4) are left out at each end, so of fewer than four none.
    """
    count = values.shape[axis]
    cut = count // 4
    kept = np.sort(values, axis=axis).take(range(cut, count - cut), axis=axis)
    mean: Floats = kept.mean(axis=axis)
    return mean


def pooled(groups: Sequence[Floats]) -> Floats:
    """Return the interquartile mean of all values of all groups; axis 1 holds the runs."""
    return interquartile_mean(np.concatenate(groups, axis=1), axis=1)


def probability_of_improvement(pairs: Sequence[tuple[Floats, Floats]]) -> Floats:
    """Return how likely a run of one agent beats one of another, (samples,).

    A pair holds the scores of both in one task, (samples, runs) each, the more the better. Ties
    count half; tasks count the same (Mann & Whitney's U, averaged over tasks).
    """
    mean: Floats = np.mean([_beats(ours, theirs) for ours, theirs in pairs], axis=0)
    return mean


def _beats(ours: Floats, theirs: Floats) -> Floats:
    one, other = ours[:, :, None], theirs[:, None, :]
    mean: Floats = ((one > other) + 0.5 * (one == other)).mean(axis=(1, 2))
    return mean


def performance_profile(scores: Floats, thresholds: Floats) -> Floats:
    """Return the share of `scores` that reach each threshold, (thresholds,)."""
    share: Floats = (scores[None, :] >= thresholds[:, None] - TOLERANCE).mean(axis=1)
    return share


def estimate(groups: Sequence[Floats], resamples: int = RESAMPLES) -> Floats:
    """Return the interquartile mean over all groups and its interval: value, low, high.

    A group holds the runs of one task, (runs,) or (runs, points); the estimate is then (3,) or
    (3, points). The same numbers give the same interval.
    """
    return _bootstrap(groups, pooled, resamples)


def improvement(pairs: Sequence[tuple[Floats, Floats]], resamples: int = RESAMPLES) -> Floats:
    """Return the probability of improvement and its interval: value, low, high.

    A pair holds the scores of two agents in one task, (runs,) each.
    """

    def statistic(groups: Sequence[Floats]) -> Floats:
        return probability_of_improvement(list(zip(groups[::2], groups[1::2], strict=True)))

    return _bootstrap([group for pair in pairs for group in pair], statistic, resamples)


def _bootstrap(
    groups: Sequence[Floats], statistic: Callable[[Sequence[Floats]], Floats], resamples: int
) -> Floats:
    """Return `statistic` of the groups, and the percentiles of it when runs are drawn again.

    Each group is resampled by itself (stratified); `statistic` takes groups with samples first.
    """
    rng = np.random.default_rng(0)
    drawn = [group[rng.integers(len(group), size=(resamples, len(group)))] for group in groups]
    low, high = np.quantile(statistic(drawn), [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return np.stack([statistic([group[None] for group in groups])[0], low, high])
