"""Scores of searches, with confidence intervals, and probabilities that one agent beats another.

Runs are few and their results are far from normal. So we follow Agarwal et al. 2021, "Deep
reinforcement learning at the edge of the statistical precipice": interquartile means, a bootstrap
stratified by task, probabilities of improvement and performance profiles.

A trace, (children,), holds the clean value of the network that a search would recommend after each
child: its best child by reward so far. It is zero before the first child is trained.
"""

from collections.abc import Callable, Sequence
from math import inf

import numpy as np
from numpy.typing import NDArray
from scipy.stats import trim_mean

Floats = NDArray[np.float64]

RESAMPLES = 2000
"""Bootstrap samples."""

LEVEL = 0.95
"""Confidence level of the intervals."""

TOLERANCE = 1e-12
"""Largest difference between values that count as equal."""


def recommended(rewards: Floats, clean: Floats) -> Floats:
    """Return the trace of a search from its rewards and clean values, both (children,).

    Of equal rewards the first counts. Failed children have the reward -inf.
    """
    best = np.maximum.accumulate(rewards)
    first = np.concatenate([[True], rewards[1:] > best[:-1]])
    latest = np.maximum.accumulate(np.where(first, np.arange(len(rewards)), 0))
    return np.where(best > -inf, clean[latest], 0.0)


def children_to(trace: Floats, optimum: float) -> float:
    """Return the number of children until the search first recommends the optimum; inf if never."""
    there = trace >= optimum - TOLERANCE
    return float(there.argmax() + 1) if there.any() else inf


def interquartile_mean(groups: Sequence[Floats]) -> Floats:
    """Return the mean of the middle half of all values of all groups; axis 1 holds the runs.

    Of n values, int(n / 4) are left out at each end.
    """
    mean: Floats = trim_mean(np.concatenate(groups, axis=1), 0.25, axis=1)
    return mean


def probability_of_improvement(pairs: Sequence[tuple[Floats, Floats]]) -> Floats:
    """Return the probability that a run of one agent beats a run of another, (samples,).

    A pair holds both agents' scores on one task, (samples, runs) each; higher is better. Ties
    count half, and all tasks weigh the same (Mann & Whitney's U, averaged over tasks).
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
    (3, points). The same values give the same interval.
    """
    return _bootstrap(groups, interquartile_mean, resamples)


def improvement(pairs: Sequence[tuple[Floats, Floats]], resamples: int = RESAMPLES) -> Floats:
    """Return the probability of improvement and its interval: value, low, high.

    A pair holds two agents' scores on one task, (runs,) each.
    """

    def statistic(groups: Sequence[Floats]) -> Floats:
        return probability_of_improvement(list(zip(groups[::2], groups[1::2], strict=True)))

    return _bootstrap([group for pair in pairs for group in pair], statistic, resamples)


def _bootstrap(
    groups: Sequence[Floats], statistic: Callable[[Sequence[Floats]], Floats], resamples: int
) -> Floats:
    """Return `statistic` of the groups and the percentiles of its values on resampled runs.

    The runs of each group are resampled separately. `statistic` takes groups with a leading axis of
    samples. `scipy.stats.bootstrap` draws the same samples, but refuses a group of a single run.
    """
    rng = np.random.default_rng(0)
    drawn = [group[rng.integers(len(group), size=(resamples, len(group)))] for group in groups]
    low, high = np.quantile(statistic(drawn), [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return np.stack([statistic([group[None] for group in groups])[0], low, high])
