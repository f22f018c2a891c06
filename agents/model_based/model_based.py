"""Model-based search: a policy that is trained on a surrogate model of the rewards.

A child takes seconds to hours to train; imagining one takes microseconds. So policy gradients train
the controller on imagined strings, whose rewards are predicted by a model fitted to all children
trained so far (the idea of Dyna: Sutton 1991).
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
from nasgym.agents.model_based.features import CanonicalForm, Features
from nasgym.agents.model_based.surrogate import Surrogate, ranks
from nasgym.agents.settings import check_types, with_options
from nasgym.agents.torch_state import one_thread, packed, unpacked
from nasgym.archive import Trial
from nasgym.errors import InvalidInput
from nasgym.spaces.base import SearchSpace, Tokens

DRAWS = 100
"""Random draws for an unseen string before a small space is enumerated."""

MOST_LISTED = 20_000
"""Size of the largest space that is enumerated."""


@dataclass(frozen=True)
class ModelBasedSettings:
    """How the policy and the model learn."""

    first: int = 10
    """Children drawn uniformly before the first model is fitted."""
    updates: int = 6
    """Updates of the policy before each proposal."""
    imagined: int = 128
    """Strings sampled from the policy for each update."""
    mutants: int = 64
    """Candidates that differ in one decision from the best children; 0: the policy imagines all."""
    parents: int = 5
    """Number of best children that are mutated."""
    lr: float = 0.003
    """Adam's learning rate."""
    entropy: float = 0.5
    """Weight of the mean entropy of a decision, in nats, relative to rewards with a spread of 1."""
    hidden: int = 64
    """Units of the controller's LSTM layer."""
    remembered: int = 500
    """Maximum number of children the model is fitted to: the best for one half, for the other half
    children evenly spaced by rank."""

    def __post_init__(self) -> None:
        check_types(self)
        for name in ("first", "updates", "imagined", "parents", "hidden", "remembered"):
            if getattr(self, name) < 1:
                raise InvalidInput(f"{name} must be from 1, not {getattr(self, name)}")
        if self.mutants < 0 or self.entropy < 0 or self.lr <= 0:
            raise InvalidInput(
                f"mutants and entropy must be from 0, lr above 0: not {self.mutants}, "
                f"{self.entropy} and {self.lr}"
            )


class Learner(NamedTuple):
    """Policy, optimiser and features for a space at all its depths."""

    controller: Controller
    """The policy."""
    adam: torch.optim.Adam
    """Its optimiser."""
    features: Features
    """The model's inputs."""


Candidates = dict[Hashable, tuple[Tokens, Tokens]]
"""Imagined strings and the tokens of their canonical forms, by the key of the child."""


class ModelBased(AskTellAgent):
    """Fit a model to all trials, train the policy on it, propose the best imagined string.

    After the first children, every proposal takes three steps. First, a Gaussian process is fitted
    to the ranks of the rewards. Second, the policy makes some updates of REINFORCE, each on a batch
    of imagined strings. Their rewards are the standardised ranks of their expected improvement
    under the model; trained children get the lowest rank. Third, the agent proposes the unseen
    string with the greatest expected improvement of all imagined ones. For the next strings of a
    batch, the model assumes its own predictions for the strings before them.
    """

    one_by_one = True

    def __init__(
        self,
        seed: int = 0,
        *,
        first: int | None = None,
        updates: int | None = None,
        imagined: int | None = None,
        mutants: int | None = None,
        parents: int | None = None,
        lr: float | None = None,
        entropy: float | None = None,
        hidden: int | None = None,
        remembered: int | None = None,
    ) -> None:
        """The options are documented in `ModelBasedSettings`; None means its default."""
        options = {
            "first": first,
            "updates": updates,
            "imagined": imagined,
            "mutants": mutants,
            "parents": parents,
            "lr": lr,
            "entropy": entropy,
            "hidden": hidden,
            "remembered": remembered,
        }
        self.settings = with_options(ModelBasedSettings(), options)
        self.seed = seed
        self.rng = np.random.default_rng(seed)
        self.children: dict[Hashable, tuple[Tokens, float]] = {}
        self._learner: Learner | None = None
        self._saved: bytes | None = None
        self._pending: dict[Tokens, CanonicalForm] = {}
        self._entropy: list[tuple[int, float]] = []
        self._nats: float | None = None

    @property
    def learner(self) -> Learner:
        """Return the learner of the space that is searched."""
        if self._learner is None:
            raise RuntimeError("propose strings first: the controller depends on their space")
        return self._learner

    def propose(self, space: SearchSpace, count: int) -> list[Tokens]:
        """Return uniform strings until there are enough children, then the best imagined ones."""
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
        """Record the children; the next proposal fits the model."""
        for trial, reward in zip(trials, rewards_of(trials), strict=True):
            form = self._pending.pop(trial.tokens, None)
            if form is not None:  # None: it was proposed twice and is recorded already
                self.children[form.key] = form.tokens, reward
        if self._nats is not None:
            self._entropy.append((trials[-1].number + 1, self._nats))

    def entropy(self) -> list[tuple[int, float]]:
        """Return (children finished, mean entropy of a decision in nats) after each batch."""
        return list(self._entropy)

    def state(self) -> bytes | None:
        """Return weights, Adam's moments, children and generator; None before a proposal."""
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
        """Load what `state` returned."""
        known = unpacked(state)
        self.children = {
            _hashable(key): (tuple(tokens), reward)
            for key, tokens, reward in json.loads(known["children"])
        }
        self._pending = {
            tuple(tokens): CanonicalForm(_hashable(key), tuple(form))
            for tokens, key, form in json.loads(known.get("pending", "[]"))
        }
        self._nats = known.get("nats")
        self.rng = generator_from(known["generator"])
        self._entropy = list(known["entropy"])
        self._learner, self._saved = None, state

    def _begin(self, space: SearchSpace) -> Learner:
        """Create the controller for every depth of `space`, or load the saved one."""
        controller = Controller(space, hidden=self.settings.hidden, layers=1, seed=self.seed)
        adam = torch.optim.Adam(controller.parameters(), self.settings.lr, fused=True)
        if self._saved is not None:
            known = unpacked(self._saved)
            controller.load_state_dict(known["controller"])
            adam.load_state_dict(known["adam"])
        return Learner(controller, adam, Features(space))

    # A proposal -------------------------------------------------------------------------------

    def _best(
        self, space: SearchSpace, count: int, others: Sequence[CanonicalForm]
    ) -> list[Tokens]:
        """Return the best imagined strings, without trained children and `others`."""
        features, model = self.learner.features, self._model()
        for form in others:
            model = model.condition_on(features.rows([form.tokens])[0])
        imagined = self._imagine(space, model)
        taken = {*self.children, *(form.key for form in others)}
        candidates = {key: each for key, each in imagined.items() if key not in taken}
        strings: list[Tokens] = []
        while candidates and len(strings) < count:
            keys = list(candidates)
            rows = features.rows([candidates[key][1] for key in keys])
            best = int(model.log_improvement(rows).argmax())
            strings.append(candidates.pop(keys[best])[0])
            taken.add(keys[best])
            model = model.condition_on(rows[best])
        return strings + list(islice(self._unseen(space, taken), count - len(strings)))

    def _model(self) -> Surrogate:
        """Fit the model to the children, or to a part of them if there are many."""
        children = self._ranked()
        most = self.settings.remembered
        if len(children) > most:
            rest = np.linspace(most // 2, len(children) - 1, most - most // 2).astype(int)
            children = children[: most // 2] + [children[place] for place in rest]
        rows = self.learner.features.rows([tokens for tokens, _ in children])
        return Surrogate.fit(rows, torch.tensor([reward for _, reward in children]).double())

    def _ranked(self) -> list[tuple[Tokens, float]]:
        """Return form and reward of all children, best first; of equals, the earliest first."""
        return sorted(self.children.values(), key=lambda child: -child[1])

    def _imagine(self, space: SearchSpace, model: Surrogate) -> Candidates:
        """Train the policy on the model, and return all imagined strings."""
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

    def _improvements(self, forms: Sequence[CanonicalForm], model: Surrogate) -> Tensor:
        """Return the log of each form's expected improvement, -inf for trained children."""
        improvement = model.log_improvement(self.learner.features.rows([f.tokens for f in forms]))
        improvement[torch.tensor([form.key in self.children for form in forms])] = -torch.inf
        return improvement

    def _update(self, strings: Sequence[Tokens], rewards: Tensor) -> None:
        """Update the policy along the gradient of the expected rank of the rewards."""
        controller, adam, _ = self.learner
        log_prob, entropy = controller.score(strings)
        objective = (log_prob * _standardised(ranks(rewards))).mean()
        objective = objective + self.settings.entropy * entropy.mean()
        adam.zero_grad()
        (-objective).backward()  # type: ignore[no-untyped-call]
        adam.step()
        self._nats = entropy.mean().item()

    def _forms(self, space: SearchSpace, strings: Sequence[Tokens]) -> list[CanonicalForm]:
        return [self.learner.features.canonical_form(space, tokens) for tokens in strings]

    def _unseen(self, space: SearchSpace, taken: set[Hashable]) -> Iterator[Tokens]:
        """Yield uniform strings, without repeating a child or one in `taken` where possible."""
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
    """Return a key loaded from JSON, with lists as the tuples that they were."""
    return tuple(key) if isinstance(key, list) else key


def _standardised(values: Tensor) -> Tensor:
    """Return `values` with a mean of 0 and a spread of 1, or zeros if all are equal."""
    deviations = values - values.mean()
    return (deviations / deviations.square().mean().sqrt().clamp_min(1e-9)).float()
