"""Traces: strings laid out side by side for one pass of the controller's LSTM.

Which token stands where, what it means and which hidden states a connection compares depend on the
steps of a string alone. They are indexed once for each trace, the sequence of steps, and filled in
for all strings that share it.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from nasgym.agents.steps import Chart, Route, Step, Vocabulary
from nasgym.space import Tokens

CLOSED = -1e9
"""The logit of an option that there is not: its probability is exactly 0."""

TRACES_KEPT = 1024
"""Traces remembered; a space without branches has one for each depth."""

Ints = NDArray[np.int64]


class Traces:
    """The traces that strings of a space take."""

    def __init__(self, chart: Chart) -> None:
        """Follow the steps of `chart`."""
        self.chart = chart
        self._along = lru_cache(TRACES_KEPT)(self._trace)

    def batch(self, strings: Sequence[Tokens]) -> "Batch":
        """Lay out `strings`, or beginnings of strings; raise ValueError if one is in no string."""
        groups: dict[Route, list[int]] = {}
        for number, tokens in enumerate(strings):
            groups.setdefault(self.chart.route(tokens), []).append(number)
        traces = {route: self._along(route) for route in groups}
        steps = max(len(trace.places) for trace in traces.values())
        batch = Batch(steps, len(strings), self.chart.vocabulary)
        for route, numbers in groups.items():
            tokens = np.array([strings[number] for number in numbers], np.int64)
            traces[route].write(tokens.T, np.array(numbers), batch)
        return batch

    def _trace(self, route: Route) -> "Trace":
        return Trace(self.chart.steps(route), self.chart.vocabulary.widest)


class Batch:
    """Strings side by side: what the LSTM is told, step by step, and what was then chosen."""

    def __init__(self, steps: int, strings: int, vocabulary: Vocabulary) -> None:
        """Make room for `strings` strings of at most `steps` steps."""
        self.steps, self.strings = steps, strings
        # What the LSTM is told, as weights of words: "start", then what the last step decided.
        self.told = np.zeros((steps + 1, strings, vocabulary.size), np.float32)
        self.told[0, :, vocabulary.start] = 1.0
        # What a softmax chooses from, padded: words, and CLOSED beyond the last of them.
        self.options = np.zeros((steps, strings, vocabulary.widest), np.int64)
        self.closed = np.zeros((steps, strings, vocabulary.widest), np.float32)
        # The token it chose, and whether the step is a softmax at all.
        self.chosen = np.zeros((steps, strings), np.int64)
        self.decided = np.zeros((steps, strings), np.float32)
        # Of each connection: the hidden state that decides it, the one of its source, and its bit.
        # Hidden states are counted as step * strings + string, and words go on counting from there.
        self.connections = np.zeros((3, 0), np.int64)


class Trace:
    """What all strings that take the same steps have in common."""

    def __init__(self, steps: Sequence[Step], widest: int) -> None:
        """Index the tokens of strings that take `steps`."""
        self.places = np.cumsum([0] + [step.width for step in steps])[:-1]
        self.limits = np.concatenate([[2] * step.width if step.sources else [len(step.words)] for step in steps])
        self.decided = np.array([[not step.sources] for step in steps])
        self.options = np.zeros((len(steps), 1, widest), np.int64)
        self.closed = np.zeros((len(steps), 1, widest), np.float32)
        for number in np.flatnonzero(self.decided):
            words = steps[number].words
            self.options[number, 0, : len(words)] = words
            self.closed[number, 0, len(words) :] = CLOSED
        self.links = np.array(list(_links(steps)), np.int64).reshape(-1, 4).T
        anchors = np.unique(self.links[1], return_index=True, return_inverse=True)
        self.anchor_starts, self.anchor_of = anchors[1:]

    def write(self, tokens: Ints, strings: Ints, batch: Batch) -> None:
        """Write the columns of `tokens` into the columns `strings` of `batch`."""
        if ((tokens < 0) | (tokens >= self.limits[:, None])).any():
            raise ValueError("a token is none of the options of its decision")
        steps = np.arange(len(self.places))[:, None]
        chosen = tokens[self.places] * self.decided
        batch.options[: len(steps), strings] = self.options
        batch.closed[: len(steps), strings] = self.closed
        batch.chosen[: len(steps), strings] = chosen
        batch.decided[: len(steps), strings] = self.decided
        batch.told[steps + 1, strings, self.options[steps, 0, chosen]] = self.decided
        if self.links.size:
            self._connect(tokens, strings, batch)

    def _connect(self, tokens: Ints, strings: Ints, batch: Batch) -> None:
        places, steps, words, sources = self.links[..., None]
        bits = tokens[self.links[0]]
        beside = np.add.reduceat(bits, self.anchor_starts)[self.anchor_of]
        batch.told[steps + 1, strings, words] = bits / (1 + beside)
        queries = steps * batch.strings + strings
        keys = sources * batch.strings + strings
        silent = batch.steps * batch.strings + words
        connections = np.stack([queries, np.where(sources < 0, silent, keys), bits])
        batch.connections = np.append(batch.connections, connections.reshape(3, -1), axis=1)


def _links(steps: Sequence[Step]) -> Iterator[tuple[int, int, int, int]]:
    """Yield of each connection its place, its step, its word and the step that stands for its source.

    That is the source's anchor, or its last step if it has no anchor, or -1 if it has no step at
    all, as the image has none.
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
