"""Choices: how often a search chose each option of each decision, over time.

Read from the proposed strings, so it works for every agent, with or without a policy.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nasgym.archive import Trial
from nasgym.spaces.base import Automaton, SearchSpace

SHOWN = 24
"""Maximum number of decisions that are drawn."""

POINTS = 24
"""Maximum number of points in a search at which shares are computed."""

MIN_WIDTH, MAX_WIDTH = 10, 50
"""Bounds on the strings per point, otherwise a quarter of the search. A long search has more, so
that every string counts at some point."""

Codes = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class DecisionHistory:
    """How often each option of one decision was chosen, over time."""

    decision: str
    """Name of the decision."""
    options: tuple[Hashable, ...]
    """The options."""
    shares: NDArray[np.float64]
    """(points, options): the share of each option; NaN where no string has the decision."""

    @property
    def change(self) -> float:
        """Return the total variation distance between the first and the last known shares."""
        known = self._known
        return float(np.abs(known[-1] - known[0]).sum() / 2)

    @property
    def latest(self) -> NDArray[np.float64]:
        """Return the last known shares."""
        last: NDArray[np.float64] = self._known[-1]
        return last

    @property
    def _known(self) -> NDArray[np.float64]:
        return self.shares[~np.isnan(self.shares).any(axis=1)]


@dataclass(frozen=True, eq=False)
class ChoiceHistory:
    """The choices of a search, over time."""

    children: NDArray[np.int64]
    """(points,): children finished at each point."""
    width: int
    """Number of last strings that a point counts; fewer at the beginning."""
    decisions: tuple[DecisionHistory, ...]
    """The decisions that some string has, in the order of the string."""

    @property
    def open(self) -> tuple[DecisionHistory, ...]:
        """Return the decisions with more than one option."""
        return tuple(one for one in self.decisions if len(one.options) > 1)

    @property
    def changed(self) -> list[DecisionHistory]:
        """Return the SHOWN decisions whose shares changed most, in the order of the string."""
        most = sorted(self.open, key=lambda one: -one.change)[:SHOWN]
        return [one for one in self.open if one in most]

    def entropy(self) -> NDArray[np.float64]:
        """Return the mean entropy of the decisions at each point, in nats, (points,)."""
        entropies = []
        for one in self.decisions:
            shares = np.where(one.shares == 0, 1.0, one.shares)  # 0 log 0 is 0
            entropies.append(-(shares * np.log(shares)).sum(axis=1))
        mean: NDArray[np.float64] = np.nanmean(entropies, axis=0)
        return mean

    def uniform(self) -> NDArray[np.float64]:
        """Return the value of `entropy` if all options were equally likely, (points,)."""
        entropies = [
            np.where(np.isnan(one.shares[:, 0]), np.nan, np.log(len(one.options)))
            for one in self.decisions
        ]
        mean: NDArray[np.float64] = np.nanmean(entropies, axis=0)
        return mean


def choice_history(trials: Sequence[Trial], space: SearchSpace | None) -> ChoiceHistory:
    """Return the choices in the strings of `trials`, at least one.

    `space`, the deepest one of the search, names the decisions. Without it, or if a string is not
    the beginning of a string of it, a decision is a position in the string and an option a number.
    """
    tokens = _matrix([trial.tokens for trial in trials])
    named = None if space is None else _named(tokens, space)
    names, options, place, option = named or _numbered(tokens)
    count = len(trials)
    width = max(min(MAX_WIDTH, max(MIN_WIDTH, count // 4)), count // POINTS)
    ends = np.unique(np.linspace(min(width, count), count, POINTS).round().astype(np.int64))
    shape = len(names), max(map(len, options))
    windows = [slice(max(0, end - width), end) for end in ends]
    shares = np.array([_shares(place[window], option[window], shape) for window in windows])
    decisions = [
        DecisionHistory(name, own, shares[:, number, : len(own)])
        for number, (name, own) in enumerate(zip(names, options, strict=True))
        if not np.isnan(shares[:, number, 0]).all()
    ]
    return ChoiceHistory(ends, width, tuple(decisions))


def _matrix(strings: Sequence[Sequence[int]]) -> Codes:
    """Return the strings as rows, padded with -1."""
    tokens = np.full((len(strings), max(map(len, strings))), -1, dtype=np.int64)
    for row, string in zip(tokens, strings, strict=True):
        row[: len(string)] = string
    return tokens


def _shares(place: Codes, option: Codes, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return the share of each option at each place, NaN where no string has the place."""
    written = place >= 0
    codes = place[written] * shape[1] + option[written]
    counts = np.bincount(codes, minlength=shape[0] * shape[1]).reshape(shape)
    total = counts.sum(axis=1, keepdims=True)
    return np.where(total > 0, counts / np.maximum(total, 1), np.nan)


Decisions = tuple[list[str], list[tuple[Hashable, ...]], Codes, Codes]
"""The names and options of all decisions; for each token its decision and its option, or -1."""


def _numbered(tokens: Codes) -> Decisions:
    """Return the decisions in strings of an unknown space."""
    columns = tokens.shape[1]
    names = [f"token {number}" for number in range(1, columns + 1)]
    options: list[tuple[Hashable, ...]] = [
        tuple(range(most + 1)) for most in tokens.max(axis=0).tolist()
    ]
    place = np.where(tokens >= 0, np.arange(columns), -1)
    return names, options, place, tokens


def _named(tokens: Codes, space: SearchSpace) -> Decisions | None:
    """Return the decisions in strings of `space`, or None if a string is not in it."""
    automaton = space.automaton
    names, options, places, translated = _places(automaton)
    place, option = np.full_like(tokens, -1), np.full_like(tokens, -1)
    states = np.zeros(len(tokens), dtype=np.int64)
    for column in range(tokens.shape[1]):
        written = np.flatnonzero(tokens[:, column] >= 0)
        state, token = states[written], tokens[written, column]
        if ((state == automaton.end) | (token >= automaton.num_options[state])).any():
            return None
        place[written, column] = places[state]
        option[written, column] = translated[state, token]
        states[written] = automaton.successor[state, token]
    return names, options, place, option


def _places(automaton: Automaton) -> tuple[list[str], list[tuple[Hashable, ...]], Codes, Codes]:
    """Return the places of a network, and maps from states and tokens to places and options.

    Decisions at the same place of the network count as one, with the union of their options.
    """
    numbers: dict[tuple[str, int, int | None], int] = {}
    options: list[dict[Hashable, int]] = []
    places = np.full(len(automaton.decisions), -1, dtype=np.int64)
    translated = np.zeros_like(automaton.successor)
    for state, decision in enumerate(automaton.decisions):
        number = numbers.setdefault(decision.key, len(numbers))
        places[state] = number
        if number == len(options):
            options.append({})
        for token, value in enumerate(decision.options):
            translated[state, token] = options[number].setdefault(value, len(options[number]))
    names = [_words(*place) for place in numbers]
    return names, [tuple(own) for own in options], places, translated


def _words(name: str, layer: int, source: int | None) -> str:
    """Return the name of a decision."""
    words = name.replace("_", " ")
    if layer:
        words += f", layer {layer}"
    return words if source is None else f"{words} from {source}"
