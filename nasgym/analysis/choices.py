"""Preferences: which options a search has come to choose, decision by decision, over time.

Read off the strings themselves, so it works for every agent, with a policy or without.
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nasgym.archive import Trial
from nasgym.spaces.base import Automaton, SearchSpace

SHOWN = 24
"""Decisions of a search that are drawn."""

POINTS = 24
"""Points in a search at which the strings are looked at, at most."""

FEWEST, USUAL = 10, 50
"""Strings that a point looks back on: a quarter of the search, between these two, or more in a
long search, so that every string is looked at."""

Codes = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Preference:
    """How often each option of one decision was chosen as the search went on."""

    decision: str
    """What was to choose, in words."""
    options: tuple[Hashable, ...]
    """What there was to choose from."""
    shares: NDArray[np.float64]
    """(points, options): the share of each option; NaN where no string came to the decision."""

    @property
    def change(self) -> float:
        """Return how far the last shares are from the first: half the sum of differences."""
        known = self.shares[~np.isnan(self.shares).any(axis=1)]
        return float(np.abs(known[-1] - known[0]).sum() / 2)

    @property
    def latest(self) -> NDArray[np.float64]:
        """Return the last shares that are known."""
        last: NDArray[np.float64] = self.shares[~np.isnan(self.shares).any(axis=1)][-1]
        return last


@dataclass(frozen=True, eq=False)
class Preferences:
    """All decisions of a search at some points of it."""

    children: NDArray[np.int64]
    """(points,): children finished at each point."""
    width: int
    """Children that a point looks back on, fewer at the beginning."""
    decisions: tuple[Preference, ...]
    """The decisions that some string came to, in the order of the string."""

    @property
    def open(self) -> tuple[Preference, ...]:
        """Return the decisions that leave a choice."""
        return tuple(one for one in self.decisions if len(one.options) > 1)

    @property
    def changed(self) -> list[Preference]:
        """Return the SHOWN decisions whose shares changed most, in the order of the string."""
        most = sorted(self.open, key=lambda one: -one.change)[:SHOWN]
        return [one for one in self.open if one in most]

    def entropy(self) -> NDArray[np.float64]:
        """Return the mean entropy of the decisions come to at each point, in nats, (points,)."""
        entropies = []
        for one in self.decisions:
            shares = np.where(one.shares == 0, 1.0, one.shares)  # 0 log 0 is 0
            entropies.append(-(shares * np.log(shares)).sum(axis=1))
        mean: NDArray[np.float64] = np.nanmean(entropies, axis=0)
        return mean

    def uniform(self) -> NDArray[np.float64]:
        """Return what `entropy` would be if every option were chosen as often as any other."""
        entropies = [
            np.where(np.isnan(one.shares[:, 0]), np.nan, np.log(len(one.options)))
            for one in self.decisions
        ]
        mean: NDArray[np.float64] = np.nanmean(entropies, axis=0)
        return mean


def preferences(trials: Sequence[Trial], space: SearchSpace | None) -> Preferences:
    """Return what the strings of `trials`, one or more, chose.

    `space` names the decisions: the deepest there was. Without it, or if a string is none of its
    strings' beginnings, a decision is a place in the string and an option a number.
    """
    tokens = _matrix([trial.tokens for trial in trials])
    read = None if space is None else _read(tokens, space)
    names, options, place, option = read or _numbered(tokens)
    count = len(trials)
    width = max(min(USUAL, max(FEWEST, count // 4)), count // POINTS)
    ends = np.unique(np.linspace(min(width, count), count, POINTS).round().astype(np.int64))
    widest = max(map(len, options))
    shares = np.array(
        [
            _shares(place[max(0, end - width) : end], option[max(0, end - width) : end], shape)
            for shape in [(len(names), widest)]
            for end in ends
        ]
    )
    decisions = [
        Preference(name, own, shares[:, number, : len(own)])
        for number, (name, own) in enumerate(zip(names, options, strict=True))
        if not np.isnan(shares[:, number, 0]).all()
    ]
    return Preferences(ends, width, tuple(decisions))


def _matrix(strings: Sequence[Sequence[int]]) -> Codes:
    """Return the strings below each other, -1 beyond their ends."""
    tokens = np.full((len(strings), max(map(len, strings))), -1, dtype=np.int64)
    for row, string in zip(tokens, strings, strict=True):
        row[: len(string)] = string
    return tokens


def _shares(place: Codes, option: Codes, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return the share of each option at each place, NaN where no string came."""
    written = place >= 0
    codes = place[written] * shape[1] + option[written]
    counts = np.bincount(codes, minlength=shape[0] * shape[1]).reshape(shape)
    total = counts.sum(axis=1, keepdims=True)
    return np.where(total > 0, counts / np.maximum(total, 1), np.nan)


Read = tuple[list[str], list[tuple[Hashable, ...]], Codes, Codes]
"""The decisions' names and options; for each token the decision and the option, -1 for none."""


def _numbered(tokens: Codes) -> Read:
    """Read strings of which nothing is known."""
    columns = tokens.shape[1]
    names = [f"token {number}" for number in range(1, columns + 1)]
    options: list[tuple[Hashable, ...]] = [
        tuple(range(most + 1)) for most in tokens.max(axis=0).tolist()
    ]
    place = np.where(tokens >= 0, np.arange(columns), -1)
    return names, options, place, tokens


def _read(tokens: Codes, space: SearchSpace) -> Read | None:
    """Read strings of `space`, or return None if one is not."""
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
    """Return the places of a network, and from states and tokens to places and their options.

    Decisions at one place are one, whatever led to them; their options are put together.
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
    """Return a decision's place in words."""
    words = name.replace("_", " ")
    if layer:
        words += f", layer {layer}"
    return words if source is None else f"{words} from {source}"
