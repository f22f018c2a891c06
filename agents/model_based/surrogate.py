"""The surrogate: a Gaussian process that predicts rewards from the networks trained so far.

Its kernel depends on the number of decisions in which two networks differ. Rewards are replaced by
the normal quantiles of their ranks, because failed and useless children lie far below the rest and
a search needs the order among the good ones.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

DECAYS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Grid of the kernel's decay, divided by the mean distance between the trained networks."""

NOISES = (0.001, 0.01, 0.03, 0.1, 0.3)
"""Grid of the noise variance; the process has variance 1."""

COMPARED = 200
"""Maximum number of networks used to choose from the grid; the cost is cubic in it."""

SMALLEST_VARIANCE = 1e-9
"""Lower bound of a predicted variance, which rounding could make 0 at a trained network."""

FAR_BELOW = -1e4
"""Below this, only the first term of the series in `log_excess` matters in double precision."""


@dataclass(frozen=True, eq=False)
class Surrogate:
    """A Gaussian process with k(a, b) = exp(-decay x differing decisions), given n networks."""

    rows: Tensor
    """(n, indicators): the networks, from `Features.rows`."""
    targets: Tensor
    """(n,): the targets, as normal quantiles."""
    decay: float
    """Decay of the covariance with each differing decision."""
    noise: float
    """Variance of a target around the process."""
    whitening: Tensor
    """(n, n): the inverse of the Cholesky factor of the targets' covariance."""

    @classmethod
    def with_kernel(cls, rows: Tensor, targets: Tensor, decay: float, noise: float) -> "Surrogate":
        """Return the process with this decay and noise, conditioned on `targets`."""
        factor = _factor(_differing(rows, rows), decay, noise)
        identity = torch.eye(len(rows), dtype=rows.dtype)
        whitening = torch.linalg.solve_triangular(factor, identity, upper=False)
        return cls(rows, targets, decay, noise, whitening)

    @classmethod
    def fit(cls, rows: Tensor, rewards: Tensor) -> "Surrogate":
        """Return the process of maximum likelihood for the ranks of `rewards`, (n,)."""
        targets = quantiles(rewards)
        some = torch.linspace(0, len(rows) - 1, min(len(rows), COMPARED)).long()
        decay, noise = _best_of_grid(_differing(rows[some], rows[some]), targets[some])
        return cls.with_kernel(rows, targets, decay, noise)

    def predict(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return the predicted mean and variance of each network, both (m,)."""
        whitened = self._whitened(rows)
        mean = (self.whitening @ self.targets) @ whitened
        return mean, (1.0 - whitened.square().sum(0)).clamp_min(SMALLEST_VARIANCE)

    def log_improvement(self, rows: Tensor) -> Tensor:
        """Return the log of each network's expected improvement over the best one, (m,).

        The best one is the highest prediction for a trained network, not the highest target. With
        noise of half a percentage point on NAS-Bench-201, where all strings are candidates, 21 of
        24 searches then find the optimum within 120 children, 8 at a time; with the highest target
        16 do.
        """
        mean, variance = self.predict(rows)
        deviation = variance.sqrt()
        noise = self.noise * (self.whitening.T @ (self.whitening @ self.targets))
        return deviation.log() + log_excess((mean - (self.targets - noise).max()) / deviation)

    def condition_on(self, row: Tensor) -> "Surrogate":
        """Return the process conditioned on its own prediction for a network, (indicators,)."""
        whitened = self._whitened(row[None])[:, 0]
        deviation = (1.0 + self.noise - whitened.square().sum()).sqrt()
        whitening = torch.nn.functional.pad(self.whitening, (0, 1, 0, 1))
        whitening[-1, :-1] = -(whitened @ self.whitening) / deviation
        whitening[-1, -1] = 1.0 / deviation
        target = (self.whitening @ self.targets) @ whitened
        rows = torch.cat([self.rows, row[None]])
        targets = torch.cat([self.targets, target[None]])
        return Surrogate(rows, targets, self.decay, self.noise, whitening)

    def _whitened(self, rows: Tensor) -> Tensor:
        covariance = torch.exp(_differing(self.rows, rows) * -self.decay)
        return self.whitening @ covariance


def quantiles(values: Tensor) -> Tensor:
    """Return the standard normal quantile of each value's rank."""
    result: Tensor = torch.special.ndtri(ranks(values) / len(values))
    return result


def ranks(values: Tensor) -> Tensor:
    """Return the rank of each value, from 0.5 up; equal values share their mean rank."""
    counted = torch.unique(values, return_inverse=True, return_counts=True)
    _, place, count = counted
    ranks: Tensor = count.cumsum(0).double() - 0.5 * count
    return ranks[place]


def log_excess(z: Tensor) -> Tensor:
    """Return log(phi(z) + z Phi(z)), the log of the mean of max(z + x, 0) for a standard normal x.

    It is accurate also far below 0, where the two terms cancel (Ament et al. 2023, "Unexpected
    improvements to expected improvement for Bayesian optimization", equation 9).
    """
    near, below = z.clamp_min(-1.0), z.clamp_max(-1.0)
    middle = below.clamp_min(FAR_BELOW)
    phi = torch.exp(-0.5 * near.square()) / math.sqrt(2 * math.pi)
    mills = math.sqrt(math.pi / 2) * torch.special.erfcx(middle / -math.sqrt(2))
    shrunk = torch.where(below > FAR_BELOW, torch.log1p(middle * mills), -2.0 * below.abs().log())
    log_phi = -0.5 * below.square() - 0.5 * math.log(2 * math.pi)
    return torch.where(z > -1.0, (phi + near * torch.special.ndtr(near)).log(), log_phi + shrunk)


def _differing(a: Tensor, b: Tensor) -> Tensor:
    """Return the number of decisions in which networks of `a` and `b` differ, (n, m)."""
    return a.sum(1, keepdim=True) - a @ b.T


def _factor(differing: Tensor, decay: float, noise: float) -> Tensor:
    """Return the Cholesky factor of the targets' covariance."""
    covariance = torch.exp(differing * -decay)
    covariance.diagonal().add_(noise)
    factor: Tensor = torch.linalg.cholesky(covariance)
    return factor


def _best_of_grid(differing: Tensor, targets: Tensor) -> tuple[float, float]:
    """Return the decay and noise of the grid with the highest likelihood of `targets`."""
    scale = max(1.0, differing.mean().item())
    grid = [(decay / scale, noise) for decay in DECAYS for noise in NOISES]

    def log_likelihood(pair: tuple[float, float]) -> float:
        factor = _factor(differing, *pair)
        whitened = torch.linalg.solve_triangular(factor, targets[:, None], upper=False)
        value = whitened.square().sum() / 2 + factor.diagonal().log().sum()
        return -float(value)

    return max(grid, key=log_likelihood)
