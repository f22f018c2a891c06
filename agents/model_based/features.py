"""Features of networks for the surrogate: one indicator for each option of each decision.

A network is represented by the string of its canonical form if its space can encode it, so that the
numbering of its layers does not matter; otherwise by the string that was proposed.
"""

from collections.abc import Hashable, Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from nasgym.spaces.base import SearchSpace, Tokens, deepest
from nasgym.spaces.plain import digest

FORMS_KEPT = 2**16
"""Size of the cache of canonical forms; finding one takes 0.2 ms for six layers, 0.5 for twelve."""


class CanonicalForm(NamedTuple):
    """The child that a string stands for."""

    key: Hashable
    """Equal for all strings that stand for the same child."""
    tokens: Tokens
    """The string of the canonical network, or the string itself if none can be encoded."""


class Features:
    """Strings of a space, at all its depths, as rows of indicators.

    Decisions of two networks correspond if they have the same place: name, layer and source. Each
    place has an indicator for each of its options and one for "absent", and exactly one of them is
    1. So the dot product of two rows is the number of places at which the networks agree.
    """

    def __init__(self, space: SearchSpace) -> None:
        """Number the options of all places of `space`."""
        self._automaton = deepest(space).automaton
        self._forms: dict[Tokens, CanonicalForm] = {}
        decisions = self._automaton.decisions
        places = {place: number for number, place in enumerate({one.key: 0 for one in decisions})}
        columns: dict[Hashable, int] = {}
        self._place = np.zeros(len(decisions), np.int64)
        self._column = np.zeros((len(decisions), self._automaton.mask.shape[1]), np.int64)
        for state, decision in enumerate(decisions):
            self._place[state] = places[decision.key]
            for token, option in enumerate(decision.options):
                column = columns.setdefault((decision.key, option), len(places) + len(columns))
                self._column[state, token] = column
        self._absent, self._width = len(places), len(places) + len(columns)

    def canonical_form(self, space: SearchSpace, tokens: Tokens) -> CanonicalForm:
        """Return the canonical form of a string; `space` is the space at any of its depths."""
        if tokens not in self._forms:
            if len(self._forms) == FORMS_KEPT:
                self._forms.clear()
            self._forms[tokens] = _canonical_form(space, tokens)
        return self._forms[tokens]

    def rows(self, strings: Sequence[Tokens]) -> Tensor:
        """Return the indicators of m strings, (m, indicators) in double precision."""
        lengths = np.array([len(tokens) for tokens in strings])
        tokens = np.zeros((len(strings), lengths.max(initial=0)), np.int64)
        written = np.arange(tokens.shape[1]) < lengths[:, None]
        tokens[written] = list(chain.from_iterable(strings))
        states = np.zeros_like(tokens)
        for step in range(1, tokens.shape[1]):
            states[:, step] = self._automaton.successor[states[:, step - 1], tokens[:, step - 1]]
        indicators = np.zeros((len(strings), self._width))
        indicators[:, : self._absent] = 1.0
        string, met = np.repeat(np.arange(len(strings)), lengths), states[written]
        indicators[string, self._place[met]] = 0.0
        indicators[string, self._column[met, tokens[written]]] = 1.0
        return torch.from_numpy(indicators)


def _canonical_form(space: SearchSpace, tokens: Tokens) -> CanonicalForm:
    if not _overrides(space, "canonical"):
        return CanonicalForm(tokens, tokens)
    network = space.canonical(space.decode(tokens))
    if _overrides(space, "choice"):  # otherwise `encode` would enumerate the space
        try:
            encoded = space.encode(network)
            return CanonicalForm(encoded, encoded)
        except ValueError:
            pass
    return CanonicalForm(digest(network), tokens)


def _overrides(space: SearchSpace, method: str) -> bool:
    """Return whether the space defines an optional `method` itself."""
    return getattr(type(space), method) is not getattr(SearchSpace, method)
