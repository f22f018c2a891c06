"""The surrogate: a Gaussian process that predicts the rewards of networks from those trained.

Networks are the more alike the fewer of their decisions differ. Rewards are replaced by the normal
quantiles of their ranks: failed and useless children lie far below the rest, and it is the order
among the good ones that a search needs.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

DECAYS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Grid of the kernel's decay over the mean distance between the networks trained."""

NOISES = (0.001, 0.01, 0.03, 0.1, 0.3)
"""Grid of the variance of the noise; that of the process is 1."""

COMPARED = 200
"""Networks by which the grid is judged, if there are more; the cost of that is cubic."""

SMALLEST_VARIANCE = 1e-9
"""What rounding could leave of the variance of a network that is known."""

FAR_BELOW = -1e4
"""Below it only the first term of the series of `log_excess` counts in double precision."""


@dataclass(frozen=True, eq=False)
class Surrogate:
    """A Gaussian process with k(a, b) = exp(-decay x differing decisions), told of n networks."""

    rows: Tensor
    """(n, indicators): the networks, as `Likeness.rows` gives them."""
    targets: Tensor
    """(n,): how good each is, in units of the process."""
    decay: float
    """The decay for each decision that differs."""
    noise: float
    """The variance of a target about what the process says of its network."""
    whitening: Tensor
    """(n, n): the inverse of the Cholesky factor of the targets' covariance."""

    @classmethod
    def of(cls, rows: Tensor, targets: Tensor, decay: float, noise: float) -> "Surrogate":
        """Return the process with this decay and noise, told of `targets`."""
        factor = _factor(_differing(rows, rows), decay, noise)
        identity = torch.eye(len(rows), dtype=rows.dtype)
        whitening = torch.linalg.solve_triangular(factor, identity, upper=False)
        return cls(rows, targets, decay, noise, whitening)

    @classmethod
    def fit(cls, rows: Tensor, rewards: Tensor) -> "Surrogate":
        """Return the process under which the ranks of `rewards`, (n,), are likeliest."""
        targets = quantiles(rewards)
        some = torch.linspace(0, len(rows) - 1, min(len(rows), COMPARED)).long()
        decay, noise = _likeliest(_differing(rows[some], rows[some]), targets[some])
        return cls.of(rows, targets, decay, noise)

    def predict(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and variance of what the process says of each network, (m,) both."""
        whitened = self._whitened(rows)
        mean = (self.whitening @ self.targets) @ whitened
        return mean, (1.0 - whitened.square().sum(0)).clamp_min(SMALLEST_VARIANCE)

    def log_improvement(self, rows: Tensor) -> Tensor:
        """Return the logarithm of the expected improvement of each network on the best, (m,).

        The best is what the process says of it, not its luckiest target. With noise of half a
        percentage point on NAS-Bench-201 (24 seeds, 8 children at a time, the best string of all)
        21 searches then find the optimum in 120 children; with the luckiest target 16 do.
        """
        mean, variance = self.predict(rows)
        deviation = variance.sqrt()
        noise = self.noise * (self.whitening.T @ (self.whitening @ self.targets))
        return deviation.log() + log_excess((mean - (self.targets - noise).max()) / deviation)

    def believing(self, row: Tensor) -> "Surrogate":
        """Return the process told that a network, (indicators,), is as it predicts."""
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
    """Return the standard normal's quantile for the rank of each value."""
    result: Tensor = torch.special.ndtri(ranks(values) / len(values))
    return result


def ranks(values: Tensor) -> Tensor:
    """Return the rank of each value, 0.5 for the smallest; equal values share their mean rank."""
    counted = torch.unique(values, return_inverse=True, return_counts=True)
    _, place, count = counted
    ranks: Tensor = count.cumsum(0).double() - 0.5 * count
    return ranks[place]


def log_excess(z: Tensor) -> Tensor:
    """Return log(phi(z) + z Phi(z)): the log of what a standard normal exceeds -z by, expected.

    Exact however far below 0, where the two terms cancel (Ament et al. 2023, "Unexpected
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
    """Return how many decisions of each network in `a` differ from each in `b`, (n, m)."""
    return a.sum(1, keepdim=True) - a @ b.T


def _factor(differing: Tensor, decay: float, noise: float) -> Tensor:
    """Return the Cholesky factor of the targets' covariance."""
    covariance = torch.exp(differing * -decay)
    covariance.diagonal().add_(noise)
    factor: Tensor = torch.linalg.cholesky(covariance)
    return factor


def _likeliest(differing: Tensor, targets: Tensor) -> tuple[float, float]:
    """Return the decay and the noise of the grid that make `targets` likeliest."""
    scale = max(1.0, differing.mean().item())
    grid = [(decay / scale, noise) for decay in DECAYS for noise in NOISES]

    def log_likelihood(pair: tuple[float, float]) -> float:
        factor = _factor(differing, *pair)
        whitened = torch.linalg.solve_triangular(factor, targets[:, None], upper=False)
        value = whitened.square().sum() / 2 + factor.diagonal().log().sum()
        return -float(value)

    return max(grid, key=log_likelihood)
