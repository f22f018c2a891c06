"""Traces: strings laid out side by side for one pass of the controller's LSTM.

Which token stands where, what it means and which hidden states a connection compares depend on the
steps of a string alone. They are indexed once for each trace, the sequence of steps, and filled in
for all strings that share it.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from nasgym.agents.controller.decoding_steps import Chart, Route, Step, Vocabulary
from nasgym.spaces.base import Tokens

CLOSED = -1e9
"""Added to the logit of an option that there is not: its probability is exactly 0."""

TRACES_KEPT = 1024
"""Traces remembered; a space without branches has one for each depth."""

Ints = NDArray[np.int64]


class Batch:
    """Strings side by side: what the LSTM is told, step by step, and what was then chosen."""

    def __init__(self, steps: int, strings: int, vocabulary: Vocabulary) -> None:
        """Make room for `strings` strings of at most `steps` steps."""
        self.steps, self.strings = steps, strings
        self.told = np.zeros((steps + 1, strings, vocabulary.size), np.float32)
        """What the LSTM is told, as weights of words: "start", then what the last step decided."""
        self.told[0, :, vocabulary.start] = 1.0
        self.options = np.zeros((steps, strings, vocabulary.widest), np.int64)
        """The words a softmax chooses from, padded."""
        self.closed = np.zeros((steps, strings, vocabulary.widest), np.float32)
        """CLOSED at the padding, 0 at the options."""
        self.chosen = np.zeros((steps, strings), np.int64)
        """The token that a softmax chose."""
        self.decided = np.zeros((steps, strings), np.float32)
        """1 where the step is a softmax, 0 at anchors and after the end."""
        self.connections = np.zeros((3, 0), np.int64)
        """Of each connection the hidden state that decides it, the one of its source, and its bit.
        Hidden states count as step * strings + string; the words go on counting from there."""


class Traces:
    """The traces that strings of a space leave."""

    def __init__(self, chart: Chart) -> None:
        """Follow the steps of `chart`."""
        self.chart = chart
        self._traces: dict[Route, Trace] = {}

    def batch(self, strings: Sequence[Tokens]) -> Batch:
        """Lay out `strings`, or beginnings of strings; raise ValueError if one is in no string."""
        groups: dict[Route, list[int]] = {}
        for number, tokens in enumerate(strings):
            groups.setdefault(self.chart.route(tokens), []).append(number)
        traces = [self._trace(route) for route in groups]
        steps = max(len(trace.places) for trace in traces)
        batch = Batch(steps, len(strings), self.chart.vocabulary)
        for trace, numbers in zip(traces, groups.values(), strict=True):
            columns = np.array([strings[number] for number in numbers], np.int64).T
            trace.write(columns, np.array(numbers), batch)
        return batch

    def _trace(self, route: Route) -> "Trace":
        if route not in self._traces:
            if len(self._traces) == TRACES_KEPT:
                self._traces.clear()
            self._traces[route] = Trace(self.chart.steps(route), self.chart.vocabulary.widest)
        return self._traces[route]


class Trace:
    """What all strings that take the same steps have in common."""

    def __init__(self, steps: Sequence[Step], widest: int) -> None:
        """Index the tokens of strings that take `steps`."""
        widths = [step.width for step in steps]
        self.places = np.cumsum([0, *widths])[:-1]
        """The place of each step's first token."""
        options = [2 if step.sources else len(step.words) for step in steps]
        self._limits = np.repeat(options, widths)[:, None]
        self._decided = np.array([[not step.sources] for step in steps])
        self._options = np.zeros((len(steps), 1, widest), np.int64)
        self._closed = np.zeros((len(steps), 1, widest), np.float32)
        for number, step in enumerate(steps):
            if not step.sources:
                self._options[number, 0, : len(step.words)] = step.words
                self._closed[number, 0, len(step.words) :] = CLOSED
        self._links = np.array(list(_links(steps)), np.int64).reshape(-1, 4).T
        _, self._anchor_starts, self._anchor_of = np.unique(
            self._links[1], return_index=True, return_inverse=True
        )

    def write(self, tokens: Ints, strings: Ints, batch: Batch) -> None:
        """Write the columns of `tokens` into the columns `strings` of `batch`."""
        if ((tokens < 0) | (tokens >= self._limits)).any():
            raise ValueError("a token is none of the options of its decision")
        steps = np.arange(len(self.places))[:, None]
        chosen = tokens[self.places] * self._decided
        batch.options[: len(steps), strings] = self._options
        batch.closed[: len(steps), strings] = self._closed
        batch.chosen[: len(steps), strings] = chosen
        batch.decided[: len(steps), strings] = self._decided
        batch.told[steps + 1, strings, self._options[steps, 0, chosen]] = self._decided
        if self._links.size:
            self._connect(tokens, strings, batch)

    def _connect(self, tokens: Ints, strings: Ints, batch: Batch) -> None:
        bits = tokens[self._links[0]]
        steps, words, sources = self._links[1:, :, None]
        beside = np.add.reduceat(bits, self._anchor_starts)[self._anchor_of]
        batch.told[steps + 1, strings, words] = bits / (1 + beside)
        queries = steps * batch.strings + strings
        silent = batch.steps * batch.strings + words
        keys = np.where(sources < 0, silent, sources * batch.strings + strings)
        connections = np.stack([queries, keys, bits]).reshape(3, -1)
        batch.connections = np.append(batch.connections, connections, axis=1)


def _links(steps: Sequence[Step]) -> Iterator[tuple[int, int, int, int]]:
    """Yield of each connection its place, its step, its word and the step of its source.

    A source is known by its anchor, by its last step if it has no anchor, and by its word (-1) if
    it has no step at all, as the image has none.
    """
    known: dict[int, int] = {}
    place = 0
    for number, step in enumerate(steps):
        for offset, (word, source) in enumerate(zip(step.words, step.sources, strict=False)):
            yield place + offset, number, word, known.get(source, -1)
        if step.sources:
            known[step.layer] = number
        elif number + 1 == len(steps) or steps[number + 1].layer != step.layer:
            known.setdefault(step.layer, number)
        place += step.width
