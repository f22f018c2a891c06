"""The sampler: draws strings from a controller's weights, many times faster than torch step by step.

For all strings together, a step of the LSTM takes two small matrix products and a dozen array calls
without an allocation. Strings stay together for as long as they take the same steps. Choices are made
by inverse CDF from uniforms drawn beforehand for each string and each token, so that they do not
depend on which strings are drawn together.

Features run down and strings across, so that what one call works on is contiguous.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from nasgym.agents.recurrence import Recurrence
from nasgym.agents.steps import Chart, Step
from nasgym.agents.weights import Floats, Ints, Weights
from nasgym.space import Tokens

ONE = np.array(1.0, np.float32)
LARGEST_LOGIT = np.array(80.0, np.float32)
"""The sum of a few exponentials of it is still finite in single precision."""


def draw(weights: Weights, chart: Chart, count: int, rng: np.random.Generator) -> list[Tokens]:
    """Draw `count` strings of the space of `chart`."""
    uniforms = rng.random((count, chart.space.max_length), dtype=np.float32)
    strings: list[Tokens] = [()] * count
    strands = [Strand(weights, np.arange(count), uniforms.T)]
    with torch.inference_mode(), np.errstate(divide="ignore"):
        while strands:
            strand = strands.pop()
            stretch = chart.stretch(strand.state)
            for step in stretch.steps:
                strand.take(step)
            if stretch.successors:
                strands += strand.parts(stretch.successors)
            else:
                for number, tokens in strand.finished():
                    strings[number] = tokens
    return strings


class Strand:
    """Strings that have taken the same steps so far, one a column."""

    def __init__(self, weights: Weights, strings: Ints, uniforms: Floats) -> None:
        """Begin the strings numbered `strings`; their `uniforms` are (tokens, strings)."""
        self.weights, self.strings, self.uniforms = weights, strings, uniforms
        self.state = self.place = 0
        self.lstm = Recurrence(weights, len(strings))
        self.told = weights.start
        self.layer: int | None = None
        self.heard: set[int] = set()
        widest, sources = weights.vocabulary.widest, weights.vocabulary.num_sources
        hidden, (length, count) = weights.hidden, uniforms.shape
        # (tokens, options - 1, strings): 1 for each option that the token lies beyond.
        self.written = np.zeros((length, max(1, widest - 1), count), np.float32)
        # Room for a softmax: exponentials, and the same times the string's uniform.
        self.rungs = np.empty((2 * widest, count), np.float32)
        self.uniform_rungs = np.repeat(uniforms[:, None], widest, axis=1)
        # A connection is made where its logit reaches this. The rest is room for anchors.
        self.thresholds = np.log1p(-uniforms) - np.log(uniforms) + weights.offset
        self.keys = np.repeat(weights.silent_keys[..., None], count, axis=2)
        self.key_query = np.empty((2 * hidden, count), np.float32)
        self.sums = np.empty((sources, hidden, count), np.float32)
        self.sums_tensor = torch.from_numpy(self.sums)
        self.logits = np.empty((sources, count), np.float32)

    def take(self, step: Step) -> None:
        """Take a step of the LSTM and make the choices it is for."""
        if step.layer != self.layer:
            self._leave()
            self.layer = step.layer
        self.lstm.step(self.told)
        if step.sources:
            self._connect(step)
        else:
            self._choose(step)
        self.place += step.width

    def _choose(self, step: Step) -> None:
        """Choose one of the options: the token is the number of rungs below the uniform."""
        head, ladder, self.told = self.weights.softmax(step.words)
        n = len(step.words)
        exponentials, scaled = self.rungs[:n], self.rungs[n : 2 * n]
        beyond = self.lstm.told[: n - 1]
        np.dot(head, self.lstm.top, out=exponentials)
        np.minimum(exponentials, LARGEST_LOGIT, out=exponentials)
        np.exp(exponentials, out=exponentials)
        np.multiply(exponentials, self.uniform_rungs[self.place, :n], out=scaled)
        np.dot(ladder, self.rungs[: 2 * n], out=beyond)
        np.heaviside(beyond, ONE, out=beyond)
        self.written[self.place, : n - 1] = beyond

    def _connect(self, step: Step) -> None:
        """Decide all connections of an anchor, each on its own."""
        slots, self.told = self.weights.anchor(step.words)
        n, place = step.width, self.place
        sums, logits, bits = self.sums[:n], self.logits[:n], self.lstm.told[:n]
        key, query = self._key_query()
        np.add(self.keys[slots], query, out=sums)
        self.sums_tensor[:n].sigmoid_()
        np.matmul(self.weights.vector, sums, out=logits)
        np.subtract(logits, self.thresholds[place : place + n], out=bits)
        np.heaviside(bits, ONE, out=bits)
        self.written[place : place + n, 0] = bits
        np.divide(bits, ONE + bits.sum(0), out=bits)
        self._remember(step.layer, key)

    def _leave(self) -> None:
        """Let the last hidden state stand for the layer if it had no anchor."""
        if self.layer is not None and self.layer not in self.heard:
            self._remember(self.layer, self._key_query()[0])

    def _remember(self, layer: int, key: Floats) -> None:
        self.heard.add(layer)
        if (word := self.weights.vocabulary.source(layer)) is not None:
            self.keys[word - self.weights.vocabulary.num_options] = key

    def _key_query(self) -> tuple[Floats, Floats]:
        """Return the key and the query that the hidden state makes."""
        hidden = self.weights.hidden
        np.dot(self.weights.attention, self.lstm.top[:hidden], out=self.key_query)
        return self.key_query[:hidden], self.key_query[hidden:]

    def finished(self) -> Iterator[tuple[int, Tokens]]:
        """Yield the number of each string and its tokens."""
        tokens = self.written[: self.place].sum(1).astype(np.int64).T.tolist()
        return zip(self.strings.tolist(), map(tuple, tokens), strict=True)

    def parts(self, successors: Sequence[int]) -> "Iterator[Strand]":
        """Yield a strand for each state in which strings go on after the last token."""
        last = self.written[self.place - 1].sum(0).astype(np.int64)
        states = np.array(successors)[last]
        for state in np.unique(states).tolist():
            yield self._part(np.flatnonzero(states == state), state)

    def _part(self, columns: Ints, state: int) -> "Strand":
        part = Strand(self.weights, self.strings[columns], self.uniforms[:, columns])
        part.state, part.place = state, self.place
        part.told, part.layer, part.heard = self.told, self.layer, set(self.heard)
        part.written[...] = self.written[..., columns]
        part.keys[...] = self.keys[..., columns]
        part.lstm.take_over(self.lstm, columns)
        return part
