"""Likeness: which decisions two networks have in common.

A network is compared as the string of its canonical form, where its space can write that string:
numbering its layers differently then changes nothing. Elsewhere it is compared as it was written.
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
"""Forms remembered at a time; to find that of six layers takes 0.2 ms, of twelve 0.5 ms."""


class Form(NamedTuple):
    """What a string is compared by."""

    key: Hashable
    """The same for all strings that mean the same child."""
    tokens: Tokens
    """The string of the canonical form, or the string itself if none can be written."""


class Likeness:
    """The strings of a space, at all its depths, as rows of indicators.

    Decisions are matched by their place in the network: name, layer and source. Each place has one
    indicator for each of its options and one for "absent". A row has a single 1 among those of a
    place, so the product of two rows is the number of places that two networks have in common.
    """

    def __init__(self, space: SearchSpace) -> None:
        """Number all options of all places."""
        self._automaton = deepest(space).automaton
        self._forms: dict[Tokens, Form] = {}
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

    def form(self, space: SearchSpace, tokens: Tokens) -> Form:
        """Return the form of a string of `space`, which is the space at any of its depths."""
        if tokens not in self._forms:
            if len(self._forms) == FORMS_KEPT:
                self._forms.clear()
            self._forms[tokens] = _form(space, tokens)
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


def _form(space: SearchSpace, tokens: Tokens) -> Form:
    if type(space).canonical is SearchSpace.canonical:
        return Form(tokens, tokens)
    network = space.canonical(space.decode(tokens))
    if type(space).choice is not SearchSpace.choice:  # else encoding looks through the whole space
        try:
            written = space.encode(network)
            return Form(written, written)
        except ValueError:
            pass
    return Form(digest(network), tokens)
