"""REINFORCE with the paper's controller (Zoph & Le 2017, sections 3.2 and 4.1), or PPO's clip."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from nasgym.agents.advantages import Advantages, rewards_of
from nasgym.agents.base import AskTellAgent, generator_from, generator_state
from nasgym.agents.controller.controller import Controller
from nasgym.agents.reinforce.presets import AUTO, PresetAgent
from nasgym.agents.settings import check_types
from nasgym.agents.torch_state import one_thread, packed, unpacked
from nasgym.archive import Trial
from nasgym.environments.env import NASEnv
from nasgym.environments.vector import NASVectorEnv
from nasgym.errors import InvalidInput
from nasgym.spaces.base import SearchSpace, Tokens


@dataclass(frozen=True)
class ReinforceSettings:
    """How the controller learns. The defaults are the preset "paper"."""

    lr: float = 0.0006
    """Adam's learning rate."""
    batch: int = 8
    """m: children whose gradients make one update."""
    decay: float = 0.95
    """Decay of the baseline, an exponential moving average of the rewards; the paper gives none."""
    entropy: float = 0.0
    """Weight of the mean entropy of a decision, in nats, relative to the rewards or, if these are
    standardised, to rewards with a spread of 1."""
    standardise: bool = False
    """Whether to divide advantages by their spread, a moving average like the baseline."""
    hidden: int = 35
    """Units of each LSTM layer."""
    clip: float = 0.0
    """If above 0: use the clipped objective of PPO (Schulman et al. 2017, equation 7), a string
    being one action. Children whose probability has changed by more than this factor have no
    further gradient."""
    passes: int = 1
    """Updates from each batch; more than one need a clip."""

    def __post_init__(self) -> None:
        check_types(self)
        if self.lr <= 0 or self.batch < 1 or not 0 <= self.decay < 1 or self.hidden < 1:
            raise InvalidInput(
                f"lr must be above 0, batch and hidden from 1, decay in [0, 1): not {self}"
            )
        if self.clip < 0 or self.passes < 1 or (self.passes > 1 and not self.clip):
            raise InvalidInput(
                f"clip must be from 0 and passes from 1, and more than one pass needs a clip "
                f"(0.2 is usual): not clip {self.clip}, passes {self.passes}"
            )


SHORT = ReinforceSettings(lr=0.02, decay=0.9, entropy=0.5, standardise=True)
"""The preset "short"."""

PRESETS: Mapping[str, ReinforceSettings] = {
    "paper": ReinforceSettings(),
    "short": SHORT,
    "clipped": replace(SHORT, clip=0.2, passes=4),
}
"""Settings by name: the paper's, for thousands of children, and two for hundreds.

"short" is not sensitive to its values. It was chosen on strings of 18 decisions, with rewards
predicted from 1,020 trained children of NAS-Digits and with random functions half made of
interactions, on 20 seeds of 300 children each. With lr 0.01 to 0.02 and batches of 4 to 16 the last
50 children are equally good within 3 % of their gain over random ones; lr 0.03 is not safe, and the
paper's gains a fifth as much. The entropy costs nothing and leaves a quarter fewer repeated
strings. Other decays, clipped gradients, ranks instead of rewards, and 24 or 64 units made no
difference.

"clipped" is "short" with PPO's objective. It serves to find one good network, "short" to have good
ones on average. It draws a quarter more different strings. On NAS-Bench-201 with CIFAR-10 the best
of 500 children is 0.031 +- 0.014 points of validation accuracy below the optimum ("short": 0.071 +-
0.025; 20 seeds, standard errors), with CIFAR-100 0.26 +- 0.13 (0.62 +- 0.18). It settles less
reliably: on another table, of 8,000 strings of 15 decisions, the best of 300 children was 0.43 +-
0.20 points below the optimum (0.87 +- 0.25), but the mean of the last 50 was 0.8 +- 0.4 points
lower.
"""


class Reinforce(PresetAgent[ReinforceSettings], AskTellAgent):
    """Sample m strings, train their children, follow the gradient of the expected reward.

    The gradient is (1/m) sum_k grad log P(string k) (R_k - b), where b averages earlier rewards:
    see `Advantages`.
    """

    def __init__(
        self,
        seed: int = 0,
        *,
        preset: str = AUTO,
        lr: float | None = None,
        batch: int | None = None,
        decay: float | None = None,
        entropy: float | None = None,
        standardise: bool | None = None,
        hidden: int | None = None,
        clip: float | None = None,
        passes: int | None = None,
    ) -> None:
        """`preset` is "paper", "short", "clipped", or "auto": the one that suits the budget.

        The other options override the preset's values and are documented in `ReinforceSettings`;
        None keeps the preset's value.
        """
        options = {
            "lr": lr,
            "batch": batch,
            "decay": decay,
            "entropy": entropy,
            "standardise": standardise,
            "hidden": hidden,
            "clip": clip,
            "passes": passes,
        }
        self.seed = seed
        self.rng = np.random.default_rng(seed)
        self._learner: tuple[Controller, torch.optim.Adam] | None = None
        self._saved: bytes | None = None
        self._entropy: list[tuple[int, float]] = []
        super().__init__(PRESETS, preset, options)

    def _use(self, preset: str) -> None:
        super()._use(preset)
        self.batch = self.settings.batch
        self.advantages = Advantages(self.settings.decay, self.settings.standardise)

    def search(self, env: NASEnv | NASVectorEnv, budget: int) -> None:
        """Search `env` until it has finished `budget` children."""
        self._choose_preset(budget)
        super().search(env, budget)

    def propose(self, space: SearchSpace, count: int) -> list[Tokens]:
        """Sample `count` strings."""
        if self._learner is None:
            self._choose_preset(None)
            self._learner = self._begin(space)
        with one_thread():
            return self._learner[0].sample(count, self.rng, space)

    def learn(self, trials: Sequence[Trial]) -> None:
        """Update the controller from a batch of children."""
        if self._learner is None:
            raise RuntimeError("propose strings first: the controller depends on their space")
        controller, adam = self._learner
        advantages = torch.from_numpy(self.advantages.update(rewards_of(trials)))
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
        """Return weights, Adam's moments, averages and generator; None before a proposal."""
        if self._learner is None:
            return self._saved
        controller, adam = self._learner
        state = {
            "controller": controller.state_dict(),
            "adam": adam.state_dict(),
            "averages": self.advantages.state(),
            "generator": generator_state(self.rng),
            "entropy": self._entropy,
            **self._preset_state(),
        }
        return packed(state)

    def restore(self, state: bytes) -> None:
        """Load what `state` returned."""
        known = unpacked(state)
        self._restore_preset(known)
        self.advantages.restore(known["averages"])
        self.rng = generator_from(known["generator"])
        self._entropy = list(known["entropy"])
        self._learner, self._saved = None, state

    def _begin(self, space: SearchSpace) -> tuple[Controller, torch.optim.Adam]:
        """Create the controller for every depth of `space`, or load the saved one."""
        controller = Controller(space, hidden=self.settings.hidden, seed=self.seed)
        adam = torch.optim.Adam(controller.parameters(), self.settings.lr, fused=True)
        if self._saved is not None:
            known = unpacked(self._saved)
            controller.load_state_dict(known["controller"])
            adam.load_state_dict(known["adam"])
        return controller, adam


def gains(log_prob: Tensor, before: Tensor, advantages: Tensor, clip: float) -> Tensor:
    """Return each string's term of the objective, (m,).

    Without a clip it is REINFORCE's log P A. With a clip c it is min(r A, clip(r, 1 - c, 1 + c) A),
    where r is the ratio of the string's probability now to that when it was sampled. At r = 1 both
    have the same gradient.
    """
    if not clip:
        return log_prob * advantages
    ratio = (log_prob - before).exp()
    return torch.minimum(ratio * advantages, ratio.clamp(1 - clip, 1 + clip) * advantages)
