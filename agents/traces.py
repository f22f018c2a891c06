"""Traces: strings laid out side by side for one pass of the controller's LSTM.

Which token stands where, what may be chosen there and which hidden states a connection compares
depend on the steps of a string alone. They are indexed once for each trace, the sequence of
steps, and filled in for all strings that share it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from nasgym.agents.steps import Chart, Step
from nasgym.space import Tokens

CLOSED = -1e9
"""Added to the logit of an option that cannot be chosen: its probability is then exactly 0."""

TRACES_KEPT = 1024
"""Traces remembered; a space without branches has one for each depth."""

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Batch:
    """Strings side by side. Hidden states are counted through time: step * strings + string."""

    told: Floats
    """(steps + 1, strings, words): what the LSTM is told at each step, as weights of words: first
    "start", then what was decided at the step before."""
    closed: Floats
    """(steps, strings, options): 0 where an option may be chosen, CLOSED elsewhere."""
    lengths: Floats
    """(strings,): the number of tokens."""
    queries: Ints
    """(connections,): the hidden state at which each connection is decided."""
    keys: Ints
    """(connections,): the hidden state of its source; the words are counted after the last one."""
    signs: Floats
    """(connections,): 1 if it was chosen, else -1."""


class Traces:
    """The traces that strings of a space take."""

    def __init__(self, chart: Chart) -> None:
        """Follow the steps of `chart`."""
        self.chart = chart
        self._trace = lru_cache(TRACES_KEPT)(self._along)

    def batch(self, strings: Sequence[Tokens]) -> Batch:
        """Lay out `strings`, or beginnings of strings; raise ValueError if one is in no string."""
        groups: dict[Trace, list[int]] = {}
        for number, tokens in enumerate(strings):
            groups.setdefault(self._trace(self.chart.path(tokens)), []).append(number)
        words, width = self.chart.vocabulary, len(strings)
        steps = max(len(trace.closed) for trace in groups)
        told = np.zeros((steps + 1, width, words.size), np.float32)
        told[0, :, words.start] = 1.0
        closed = np.zeros((steps, width, words.num_options), np.float32)
        connections = []
        for trace, numbers in groups.items():
            tokens = np.array([strings[number] for number in numbers], np.int64)
            connections.append(trace.write(tokens, np.array(numbers), told, closed))
        step, string, source_step, word, bit = np.concatenate(connections, axis=1)
        return Batch(
            told,
            closed,
            lengths=np.array([len(tokens) for tokens in strings], np.float32),
            queries=step * width + string,
            keys=np.where(source_step < 0, steps * width + word, source_step * width + string),
            signs=(2 * bit - 1).astype(np.float32),
        )

    def _along(self, path: tuple[int, ...]) -> "Trace":
        steps = [self.chart.step(state) for state in path]
        return Trace(steps, self.chart.vocabulary.num_options)


class Trace:
    """What all strings that take the same steps have in common."""

    def __init__(self, steps: Sequence[Step], num_options: int) -> None:
        """Index the tokens of strings that take `steps`."""
        softmaxes = [number for number, step in enumerate(steps) if not step.sources]
        self.closed = np.full((len(steps), num_options), CLOSED, np.float32)
        self._words = np.full((len(softmaxes), num_options), -1)
        for row, number in enumerate(softmaxes):
            words = list(steps[number].words)
            self.closed[number, words] = 0.0
            self._words[row, : len(words)] = words
        self._steps = np.array(softmaxes, np.int64)
        self._places = np.cumsum([0] + [step.width for step in steps])[self._steps]
        self._links = np.array(list(_links(steps)), np.int64).reshape(-1, 4).T
        _, self._first, self._anchor = np.unique(
            self._links[1], return_index=True, return_inverse=True
        )

    def write(self, tokens: Ints, strings: Ints, told: Floats, closed: Floats) -> Ints:
        """Write `tokens`, (k, length), into the columns `strings` of a batch.

        Returns (5, connections): step, string, step of the source, word, bit of each connection.
        """
        if tokens.size and tokens.min() < 0:
            raise ValueError("tokens are numbers from 0")
        closed[: len(self.closed), strings] = self.closed[:, None]
        column = strings[:, None]
        chosen = self._words[np.arange(len(self._steps)), tokens[:, self._places]]
        told[self._steps + 1, column, chosen] = 1.0
        places, steps, words, sources = self._links
        bits = tokens[:, places]
        if not bits.size:
            return np.empty((5, 0), np.int64)
        chosen_beside = np.add.reduceat(bits, self._first, axis=1)[:, self._anchor]
        told[steps + 1, column, words] = bits / (1 + chosen_beside)
        return np.stack(np.broadcast_arrays(steps, column, sources, words, bits)).reshape(5, -1)


def _links(steps: Sequence[Step]) -> Iterator[tuple[int, int, int, int]]:
    """Yield of each connection its place, its step, its word and the step that stands for its source.

    That step is the source's anchor, or its last step if it has no anchor; -1 if it has no step at
    all, like the image.
    """
    heard: dict[int, int] = {}
    place = 0
    for number, step in enumerate(steps):
        for offset, (word, source) in enumerate(zip(step.words, step.sources, strict=False)):
            yield place + offset, number, word, heard.get(source, -1)
        if step.sources:
            heard[step.layer] = number
        elif number + 1 == len(steps) or steps[number + 1].layer != step.layer:
            heard.setdefault(step.layer, number)
        place += step.width
