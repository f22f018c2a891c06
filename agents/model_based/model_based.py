"""Model-based search: a policy that practises on a model of the rewards between children.

A child takes seconds to hours to train, imagining one takes microseconds. So the controller is
trained by policy gradient on strings that are only imagined, and paid by what a model fitted to all
children trained so far expects of them (the idea of Dyna: Sutton 1991).
"""

import json
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from nasgym.agents.advantages import rewards_of
from nasgym.agents.base import AskTellAgent, generator_from, generator_state
from nasgym.agents.controller.controller import Controller
from nasgym.agents.model_based.features import Form, Likeness
from nasgym.agents.model_based.surrogate import Surrogate, ranks
from nasgym.agents.torch_state import one_thread, packed, unpacked, with_options
from nasgym.archive import Trial
from nasgym.spaces.base import SearchSpace, Tokens

DRAWS = 100
"""An unseen string is drawn for so often before a small space is looked through for one."""

MOST_LISTED = 20_000
"""Strings of the largest space that is looked through."""


@dataclass(frozen=True)
class Settings:
    """How the policy practises, and on what."""

    first: int = 10
    """Children drawn uniformly before there is a model."""
    updates: int = 6
    """Updates of the policy before each proposal."""
    imagined: int = 128
    """Strings that the policy imagines for each update."""
    mutants: int = 64
    """Strings imagined without the policy, one decision away from the best children; 0 leaves all
    to the policy."""
    parents: int = 5
    """Children that mutants are made of."""
    lr: float = 0.003
    """Adam's learning rate."""
    entropy: float = 0.5
    """Weight of the mean entropy of a decision, in nats, beside rewards with a spread of 1."""
    hidden: int = 64
    """Units of the controller's LSTM."""
    remembered: int = 500
    """Children the model is fitted to: the best half, and of the others some evenly by rank."""

    def __post_init__(self) -> None:
        for name in ("first", "updates", "imagined", "parents", "hidden", "remembered"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be from 1, not {getattr(self, name)}")
        if self.mutants < 0 or self.entropy < 0 or self.lr <= 0:
            raise ValueError(
                f"mutants and entropy must be from 0, lr above 0: not {self.mutants}, "
                f"{self.entropy} and {self.lr}"
            )


class Learner(NamedTuple):
    """What is made for a space, at all its depths."""

    controller: Controller
    """The policy."""
    adam: torch.optim.Adam
    """Its optimiser."""
    likeness: Likeness
    """How its strings are compared."""


Pool = dict[Hashable, tuple[Tokens, Tokens]]
"""Strings that might be trained, with the tokens of their forms, by the key of the child."""


class ModelBased(AskTellAgent):
    """Fit a model to all trials, practise on it, and train the best string imagined.

    After the first children, every proposal takes three steps. A Gaussian process is fitted to the
    ranks of the rewards. The policy makes some updates of REINFORCE, each from a batch of imagined
    strings whose rewards are the standardised ranks of their expected improvement under the model,
    the lowest for children that were trained. Proposed is the unseen string, among all imagined,
    whose expected improvement is greatest. Those that follow it in a batch are chosen as if the
    children before them had turned out as the model predicts.
    """

    one_by_one = True

    def __init__(self, seed: int = 0, **options: Any) -> None:
        """`options` are fields of `Settings`."""
        self.settings = with_options(Settings(), options, "model_based")
        self.seed = seed
        self.rng = np.random.default_rng(seed)
        self.children: dict[Hashable, tuple[Tokens, float]] = {}
        self._learner: Learner | None = None
        self._saved: bytes | None = None
        self._pending: dict[Tokens, Form] = {}
        self._entropy: list[tuple[int, float]] = []
        self._nats: float | None = None

    @property
    def learner(self) -> Learner:
        """Return what was made for the space that is searched."""
        if self._learner is None:
            raise RuntimeError("propose strings first: the controller is made for their space")
        return self._learner

    def propose(self, space: SearchSpace, count: int) -> list[Tokens]:
        """Return uniform strings until there are enough children, then the best imagined."""
        if self._learner is None:
            self._learner = self._begin(space)
        pending = list(self._pending.values())
        known = len(self.children) + len(pending)
        missing = self.settings.first - known if self.children else count
        uniform = self._unseen(space, {*self.children, *(form.key for form in pending)})
        strings = list(islice(uniform, max(0, min(missing, count))))
        with one_thread():
            if len(strings) < count:
                others = pending + self._forms(space, strings)
                strings += self._best(space, count - len(strings), others)
        self._pending |= zip(strings, self._forms(space, strings), strict=True)
        return strings

    def learn(self, trials: Sequence[Trial]) -> None:
        """Take in the children; the model is fitted when it is asked."""
        for trial, reward in zip(trials, rewards_of(trials), strict=True):
            form = self._pending.pop(trial.tokens, None)
            if form is not None:  # else the string was proposed twice and is known by now
                self.children[form.key] = form.tokens, reward
        if self._nats is not None:
            self._entropy.append((trials[-1].number + 1, self._nats))

    def entropy(self) -> list[tuple[int, float]]:
        """Return (children finished, mean entropy of a decision in nats) after each batch."""
        return list(self._entropy)

    def state(self) -> bytes | None:
        """Return weights, Adam's moments, children and the generator; None before the first."""
        if self._learner is not None:
            controller, adam, _ = self._learner
            weights = {"controller": controller.state_dict(), "adam": adam.state_dict()}
        elif self._saved is not None:
            known = unpacked(self._saved)
            weights = {name: known[name] for name in ("controller", "adam")}
        else:
            return None
        state = {
            **weights,
            "children": json.dumps([(key, *child) for key, child in self.children.items()]),
            "pending": json.dumps([(tokens, *form) for tokens, form in self._pending.items()]),
            "generator": generator_state(self.rng),
            "entropy": self._entropy,
            "nats": self._nats,
        }
        return packed(state)

    def restore(self, state: bytes) -> None:
        """Go back to what `state` returned."""
        known = unpacked(state)
        self.children = {
            _hashable(key): (tuple(tokens), reward)
            for key, tokens, reward in json.loads(known["children"])
        }
        self._pending = {
            tuple(tokens): Form(_hashable(key), tuple(form))
            for tokens, key, form in json.loads(known.get("pending", "[]"))
        }
        self._nats = known.get("nats")
        self.rng = generator_from(known["generator"])
        self._entropy = list(known["entropy"])
        self._learner, self._saved = None, state

    def _begin(self, space: SearchSpace) -> Learner:
        """Make the controller for every depth of `space`, as it was saved if it was."""
        controller = Controller(space, hidden=self.settings.hidden, layers=1, seed=self.seed)
        adam = torch.optim.Adam(controller.parameters(), self.settings.lr, fused=True)
        if self._saved is not None:
            known = unpacked(self._saved)
            controller.load_state_dict(known["controller"])
            adam.load_state_dict(known["adam"])
        return Learner(controller, adam, Likeness(space))

    # A proposal -------------------------------------------------------------------------------

    def _best(self, space: SearchSpace, count: int, others: Sequence[Form]) -> list[Tokens]:
        """Return the best strings imagined that are none of the `others`."""
        likeness, model = self.learner.likeness, self._model()
        for form in others:
            model = model.believing(likeness.rows([form.tokens])[0])
        pool = self._imagine(space, model)
        taken = {*self.children, *(form.key for form in others)}
        pool = {key: candidate for key, candidate in pool.items() if key not in taken}
        strings: list[Tokens] = []
        while pool and len(strings) < count:
            keys = list(pool)
            rows = likeness.rows([pool[key][1] for key in keys])
            best = int(model.log_improvement(rows).argmax())
            strings.append(pool.pop(keys[best])[0])
            taken.add(keys[best])
            model = model.believing(rows[best])
        return strings + list(islice(self._unseen(space, taken), count - len(strings)))

    def _model(self) -> Surrogate:
        """Return the model of the children, or of some if there are many."""
        children = self._ranked()
        most = self.settings.remembered
        if len(children) > most:
            rest = np.linspace(most // 2, len(children) - 1, most - most // 2).astype(int)
            children = children[: most // 2] + [children[place] for place in rest]
        rows = self.learner.likeness.rows([tokens for tokens, _ in children])
        return Surrogate.fit(rows, torch.tensor([reward for _, reward in children]).double())

    def _ranked(self) -> list[tuple[Tokens, float]]:
        """Return form and reward of all children, the best first, the earlier of equals."""
        return sorted(self.children.values(), key=lambda child: -child[1])

    def _imagine(self, space: SearchSpace, model: Surrogate) -> Pool:
        """Practise, and return all strings that were imagined."""
        controller = self.learner.controller
        parents = self._ranked()[: self.settings.parents]
        chosen = (parents[number % len(parents)][0] for number in range(self.settings.mutants))
        strings = [space.mutate(parent, self.rng) for parent in chosen]
        for _ in range(self.settings.updates):
            imagined = controller.sample(self.settings.imagined, self.rng, space)
            self._update(imagined, self._improvements(self._forms(space, imagined), model))
            strings += imagined
        forms = self._forms(space, strings)
        return {
            form.key: (tokens, form.tokens) for tokens, form in zip(strings, forms, strict=True)
        }

    def _improvements(self, forms: Sequence[Form], model: Surrogate) -> Tensor:
        """Return the log of each one's expected improvement, -inf for children there are."""
        improvement = model.log_improvement(self.learner.likeness.rows([f.tokens for f in forms]))
        improvement[torch.tensor([form.key in self.children for form in forms])] = -torch.inf
        return improvement

    def _update(self, strings: Sequence[Tokens], rewards: Tensor) -> None:
        """Follow the gradient of the expected rank of the rewards."""
        controller, adam, _ = self.learner
        log_prob, entropy = controller.score(strings)
        objective = (log_prob * _standardised(ranks(rewards))).mean()
        objective = objective + self.settings.entropy * entropy.mean()
        adam.zero_grad()
        (-objective).backward()  # type: ignore[no-untyped-call]
        adam.step()
        self._nats = entropy.mean().item()

    def _forms(self, space: SearchSpace, strings: Sequence[Tokens]) -> list[Form]:
        return [self.learner.likeness.form(space, tokens) for tokens in strings]

    def _unseen(self, space: SearchSpace, taken: set[Hashable]) -> Iterator[Tokens]:
        """Yield strings drawn uniformly, no child twice and none in `taken` if that can be."""
        while True:
            drawn = (space.sample(self.rng) for _ in range(DRAWS))
            listed: Iterable[Tokens] = space if space.size <= MOST_LISTED else ()
            for tokens in chain(drawn, listed):
                (form,) = self._forms(space, [tokens])
                if form.key not in taken:
                    break
            taken.add(form.key)
            yield tokens


def _hashable(key: Any) -> Hashable:
    """Return a key that was saved as JSON, which knows no tuples, as it was."""
    return tuple(key) if isinstance(key, list) else key


def _standardised(values: Tensor) -> Tensor:
    """Return `values` with a mean of 0 and a spread of 1, or zeros if all are equal."""
    deviations = values - values.mean()
    return (deviations / deviations.square().mean().sqrt().clamp_min(1e-9)).float()
