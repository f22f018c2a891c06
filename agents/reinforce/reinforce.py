"""REINFORCE with the paper's controller (Zoph & Le 2017, sections 3.2 and 4.1), or PPO's clip."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from nasgym.agents.advantages import Advantages, rewards_of
from nasgym.agents.base import AskTellAgent, generator_from, generator_state
from nasgym.agents.controller.controller import Controller
from nasgym.agents.torch_state import one_thread, packed, unpacked, with_options
from nasgym.archive import Trial
from nasgym.spaces.base import SearchSpace, Tokens


@dataclass(frozen=True)
class Settings:
    """How the controller learns; by default as the paper's."""

    lr: float = 0.0006
    """Adam's learning rate."""
    batch: int = 8
    """m: children whose gradients make one update."""
    decay: float = 0.95
    """Of the baseline, an exponential moving average of the rewards; the paper gives none."""
    entropy: float = 0.0
    """Weight of the mean entropy of a decision, in nats, beside the rewards or, if these are
    standardised, beside rewards with a spread of 1."""
    standardise: bool = False
    """Whether advantages are divided by their spread, a moving average like the baseline."""
    hidden: int = 35
    """Units of each LSTM layer."""
    clip: float = 0.0
    """Above 0: the clipped objective of PPO (Schulman et al. 2017, equation 7), a string being one
    action; children whose probability has changed by more than this factor pull no further."""
    passes: int = 1
    """Updates from each batch; more than one need a clip."""

    def __post_init__(self) -> None:
        if self.lr <= 0 or self.batch < 1 or not 0 <= self.decay < 1 or self.hidden < 1:
            raise ValueError(
                f"lr must be above 0, batch and hidden from 1, decay in [0, 1): not {self}"
            )
        if self.clip < 0 or self.passes < 1 or (self.passes > 1 and not self.clip):
            raise ValueError(
                f"clip must be from 0 and passes from 1, and more than one pass needs a clip "
                f"(0.2 is usual): not clip {self.clip}, passes {self.passes}"
            )


SHORT = Settings(lr=0.02, decay=0.9, entropy=0.5, standardise=True)
"""The settings of the preset "short"."""

PRESETS: Mapping[str, Settings] = {
    "paper": Settings(),
    "short": SHORT,
    "clipped": replace(SHORT, clip=0.2, passes=4),
}
"""Settings by name: the paper's, for thousands of children, and two for hundreds.

"short" lies in the middle of a plain. Chosen on strings of 18 decisions, rewards predicted from
1,020 trained children of NAS-Digits or random functions half made of interactions, 20 seeds of 300
children each: with lr 0.01 to 0.02 and 4 to 16 children a batch the last 50 children are equally
good within 3 % of what they gain over random ones; 0.03 is not safe, and the paper's gains a fifth
as much. The entropy costs nothing and leaves a quarter fewer strings drawn twice. Other decays,
clipped gradients, ranks in place of rewards and 24 or 64 units made no difference.

"clipped" is "short" with PPO's objective: to find one good network, rather than to write good ones
on average. It draws a quarter more different strings. On NAS-Bench-201 with CIFAR-10 the best of
500 children is 0.031 +- 0.014 points of validation accuracy below the optimum ("short": 0.071 +-
0.025; 20 seeds, standard errors), with CIFAR-100 0.26 +- 0.13 (0.62 +- 0.18). It settles less
surely: 300 children of another table, of 8,000 strings of 15 decisions, brought a best 0.43 +- 0.20
points below the optimum (0.87 +- 0.25), but a mean of the last 50 that is 0.8 +- 0.4 points lower.
"""


class Reinforce(AskTellAgent):
    """Sample m strings, train their children, follow the gradient of the expected reward.

    The gradient is (1/m) sum_k grad log P(string k) (R_k - b), where b averages earlier rewards:
    see `Advantages`.
    """

    def __init__(self, seed: int = 0, *, preset: str = "paper", **options: Any) -> None:
        """`preset` is a name in `PRESETS`; `options` are fields of `Settings` and override it."""
        if preset not in PRESETS:
            raise ValueError(f"preset {preset!r} is none of {', '.join(PRESETS)}")
        self.settings = with_options(PRESETS[preset], options, "reinforce")
        self.batch = self.settings.batch
        self.seed = seed
        self.rng = np.random.default_rng(seed)
        self.advantages = Advantages(self.settings.decay, self.settings.standardise)
        self._learner: tuple[Controller, torch.optim.Adam] | None = None
        self._saved: bytes | None = None
        self._entropy: list[tuple[int, float]] = []

    def propose(self, space: SearchSpace, count: int) -> list[Tokens]:
        """Sample `count` strings."""
        if self._learner is None:
            self._learner = self._begin(space)
        with one_thread():
            return self._learner[0].sample(count, self.rng, space)

    def learn(self, trials: Sequence[Trial]) -> None:
        """Update the controller from the children of a batch."""
        if self._learner is None:
            raise RuntimeError("propose strings first: the controller is made for their space")
        controller, adam = self._learner
        advantages = torch.from_numpy(self.advantages.of(rewards_of(trials)))
        strings = [trial.tokens for trial in trials]
        before: Tensor | None = None
        with one_thread():
            for _ in range(self.settings.passes):
                log_prob, entropy = controller.score(strings)
                before = log_prob.detach() if before is None else before
                gain = gains(log_prob, before, advantages, self.settings.clip)
                objective = gain.mean() + self.settings.entropy * entropy.mean()
                adam.zero_grad()
                (-objective).backward()  # type: ignore[no-untyped-call]
                adam.step()
        self._entropy.append((trials[-1].number + 1, entropy.mean().item()))

    def entropy(self) -> list[tuple[int, float]]:
        """Return (children finished, mean entropy of a decision in nats) after each batch."""
        return list(self._entropy)

    def state(self) -> bytes | None:
        """Return weights, Adam's moments, averages and the generator; None before the first."""
        if self._learner is None:
            return self._saved
        controller, adam = self._learner
        state = {
            "controller": controller.state_dict(),
            "adam": adam.state_dict(),
            "averages": self.advantages.state(),
            "generator": generator_state(self.rng),
            "entropy": self._entropy,
        }
        return packed(state)

    def restore(self, state: bytes) -> None:
        """Go back to what `state` returned."""
        known = unpacked(state)
        self.advantages.restore(known["averages"])
        self.rng = generator_from(known["generator"])
        self._entropy = list(known["entropy"])
        self._learner, self._saved = None, state

    def _begin(self, space: SearchSpace) -> tuple[Controller, torch.optim.Adam]:
        """Make the controller for every depth of `space`, as it was saved if it was."""
        controller = Controller(space, hidden=self.settings.hidden, seed=self.seed)
        adam = torch.optim.Adam(controller.parameters(), self.settings.lr, fused=True)
        if self._saved is not None:
            known = unpacked(self._saved)
            controller.load_state_dict(known["controller"])
            adam.load_state_dict(known["adam"])
        return controller, adam


def gains(log_prob: Tensor, before: Tensor, advantages: Tensor, clip: float) -> Tensor:
    """Return what each string adds to the objective, (m,).

    Without a clip that is REINFORCE's log P A; with one min(r A, clip(r, 1 - c, 1 + c) A), where r
    is how many times as probable the string is as when it was sampled. At r = 1 both have the same
    gradient.
    """
    if not clip:
        return log_prob * advantages
    ratio = (log_prob - before).exp()
    return torch.minimum(ratio * advantages, ratio.clamp(1 - clip, 1 + clip) * advantages)
