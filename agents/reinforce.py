"""REINFORCE with the paper's controller (Zoph & Le 2017, sections 3.2 and 4.1)."""

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np
import torch

from nasgym.agents.base import AskTellAgent, generator_from, generator_state
from nasgym.agents.controller import Controller
from nasgym.archive import Trial
from nasgym.space import SearchSpace, Tokens

SMALLEST_SPREAD = 1e-6
"""Rewards closer together than this are equal; nothing is divided by less."""


@dataclass(frozen=True)
class Settings:
    """How the controller learns."""

    lr: float = 0.0006
    """Adam's learning rate."""
    batch: int = 8
    """m: children whose gradients make one update."""
    decay: float = 0.95
    """Of the baseline, an exponential moving average of the rewards; the paper gives none."""
    entropy: float = 0.0
    """Weight of the mean entropy of a decision, in units of the reward's spread in the batch."""
    standardise: bool = False
    """Whether advantages are divided by their spread, a moving average like the baseline."""
    hidden: int = 35
    """Units of each LSTM layer."""

    def __post_init__(self) -> None:
        if self.lr <= 0 or self.batch < 1 or not 0 <= self.decay < 1 or self.hidden < 1:
            raise ValueError(
                f"lr must be above 0, batch and hidden from 1, decay in [0, 1): not {self}"
            )


PRESETS: Mapping[str, Settings] = {
    "paper": Settings(),
    "short": Settings(lr=0.02, decay=0.9, entropy=0.5, standardise=True),
}
"""Settings by name: the paper's, for thousands of children, and some for hundreds."""


class Reinforce(AskTellAgent):
    """Sample m strings, train their children, follow the gradient of the expected reward.

    The loss is -(1/m) sum_k log P(string k) (R_k - b), with b the average of earlier rewards alone:
    it does not depend on the strings it is subtracted for, so the gradient is not biased. For the
    first batch there is none, and its own mean serves.
    """

    def __init__(self, seed: int = 0, *, preset: str = "paper", **options: Any) -> None:
        """`preset` is "paper" or "short"; `options` are fields of `Settings` and override it."""
        if preset not in PRESETS:
            raise ValueError(f"preset {preset!r} is none of {', '.join(PRESETS)}")
        known = [field.name for field in fields(Settings)]
        for name in options:
            if name not in known:
                raise ValueError(f"reinforce has no option {name!r}; there are {', '.join(known)}")
        self.settings = replace(PRESETS[preset], **options)
        self.batch = self.settings.batch
        self.seed = seed
        self.rng = np.random.default_rng(seed)
        self.baseline = MovingAverage(self.settings.decay)
        self.spread = MovingAverage(self.settings.decay)
        self.controller: Controller | None = None
        self._optimizer: torch.optim.Optimizer | None = None
        self._restored: Mapping[str, Any] | None = None
        self._entropy: list[tuple[int, float]] = []

    def propose(self, space: SearchSpace, count: int) -> list[Tokens]:
        """Sample `count` strings."""
        return self._policy(space).sample(count, self.rng, space)

    def learn(self, trials: Sequence[Trial]) -> None:
        """Make one update from the children of a batch."""
        assert self.controller is not None and self._optimizer is not None
        rewards = np.array([trial.reward for trial in trials])
        advantages = rewards - (rewards.mean() if self.baseline.empty else self.baseline.value)
        scale = 1.0
        if self.settings.standardise:
            squares = np.square(advantages)
            scale = float(np.sqrt(squares.mean() if self.spread.empty else self.spread.value))
            self.spread.update(squares)
        self.baseline.update(rewards)

        with one_thread():
            log_prob, entropy = self.controller.score([trial.tokens for trial in trials])
            weights = torch.tensor(advantages / max(scale, SMALLEST_SPREAD), dtype=log_prob.dtype)
            loss = -(log_prob * weights).mean() - self.settings.entropy * entropy.mean()
            self._optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self._optimizer.step()
        self._entropy.append((trials[-1].number + 1, entropy.mean().item()))

    def entropy(self) -> list[tuple[int, float]]:
        """Return (children finished, mean entropy of a decision in nats) after each batch."""
        return list(self._entropy)

    def _policy(self, space: SearchSpace) -> Controller:
        """Return the controller, made for the depths of `space` at the first proposal."""
        if self.controller is None:
            controller = Controller(space, hidden=self.settings.hidden, seed=self.seed)
            optimizer = torch.optim.Adam(controller.parameters(), self.settings.lr, fused=True)
            if self._restored is not None:
                controller.load_state_dict(self._restored["controller"])
                optimizer.load_state_dict(self._restored["optimizer"])
            self.controller, self._optimizer = controller, optimizer
        return self.controller

    def state(self) -> bytes | None:
        """Return weights, Adam's moments, averages and the generator."""
        if self.controller is None or self._optimizer is None:
            return None
        state = {
            "controller": self.controller.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "averages": [asdict(average) for average in (self.baseline, self.spread)],
            "generator": generator_state(self.rng),
            "entropy": self._entropy,
        }
        buffer = io.BytesIO()
        torch.save(state, buffer)
        return buffer.getvalue()

    def restore(self, state: bytes) -> None:
        """Go back to what `state` returned."""
        self._restored = known = torch.load(io.BytesIO(state), weights_only=True)
        self.controller = self._optimizer = None
        self.baseline, self.spread = (MovingAverage(**values) for values in known["averages"])
        self.rng = generator_from(known["generator"])
        self._entropy = [tuple(point) for point in known["entropy"]]


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread: matrices of 35 columns gain nothing from a second one.

    On busy cores they lose several times by waiting for it, and one thread gives the same bits
    everywhere.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@dataclass
class MovingAverage:
    """An exponential moving average, corrected for its start from nothing."""

    decay: float
    """What is left of a value's weight after the next one."""
    total: float = 0.0
    """The weighted sum of the values."""
    weight: float = 0.0
    """The sum of the weights; 0 before the first value."""

    @property
    def empty(self) -> bool:
        """Return whether there was no value yet."""
        return self.weight == 0.0

    @property
    def value(self) -> float:
        """Return the average of the values so far, of which there must be one."""
        return self.total / self.weight

    def update(self, values: Iterable[float]) -> None:
        """Take in `values`, one after the other."""
        for value in values:
            self.total = self.decay * self.total + (1 - self.decay) * float(value)
            self.weight = self.decay * self.weight + (1 - self.decay)
