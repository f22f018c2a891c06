"""The sampler: draw strings with a controller's weights, many times faster than with torch modules.

All strings advance together: a step of the LSTM takes two small matrix products and a dozen array
calls. Strings are split into groups only where their steps differ. Choices are made by inverse CDF
from uniforms drawn beforehand for each string and token, so that a string does not depend on the
other strings of its batch.

Two LSTMCells and a Categorical for each token, without gradients, take 6.8 times as long for 8
strings of 40 tokens and 4.3 times for 64 (minimum of 40 runs on one thread of an AMD EPYC 7003 with
AVX2, torch 2.13, numpy 2.4: `python -m nasgym.benchmarks.speed`).
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch

from nasgym.agents.controller.decoding_steps import DecodingStep, StepGraph
from nasgym.agents.controller.fused_lstm import FusedLSTM
from nasgym.agents.controller.fused_weights import Floats, FusedWeights, Ints
from nasgym.spaces.base import Tokens

ONE = np.array(1.0, np.float32)
LARGEST_LOGIT = np.array(80.0, np.float32)
"""Upper bound of logits: the sum of a few exponentials of it is finite in single precision."""


def draw(
    weights: FusedWeights, graph: StepGraph, count: int, rng: np.random.Generator
) -> list[Tokens]:
    """Draw `count` strings of the space of `graph`."""
    uniforms = rng.random((count, graph.space.max_length), dtype=np.float32)
    strings: list[Tokens] = [()] * count
    groups = [SampleGroup(weights, np.arange(count), uniforms.T)]
    with torch.inference_mode(), np.errstate(divide="ignore"):
        while groups:
            group = groups.pop()
            segment = graph.segment(group.state)
            for step in segment.steps:
                group.advance(step)
            if segment.successors:
                groups += group.split(segment.successors)
            else:
                for number, tokens in group.finished():
                    strings[number] = tokens
    return strings


class SampleGroup:
    """Strings with the same steps so far, one a column."""

    def __init__(self, weights: FusedWeights, strings: Ints, uniforms: Floats) -> None:
        """Begin the strings numbered `strings`; their `uniforms` are (tokens, strings)."""
        self.weights, self.strings, self.uniforms = weights, strings, uniforms
        self.state = self.place = 0
        self.layer: int | None = None
        self.lstm = FusedLSTM(weights, len(strings))
        self.bottom = weights.start
        hidden, widest = weights.hidden, weights.vocabulary.widest
        sources, (length, count) = len(weights.source_rows), uniforms.shape
        # (tokens, options - 1, strings): 1 for each option before the chosen one.
        self.choices = np.zeros((length, max(1, widest - 1), count), np.float32)
        # For a softmax: the exponentials, then the exponentials times the uniform.
        self.exponentials = np.empty((2 * widest, count), np.float32)
        self.repeated = np.repeat(uniforms[:, None], widest, axis=1)
        # For an anchor: the smallest logits that connect, the keys of the sources, and buffers.
        self.thresholds = np.log1p(-uniforms) - np.log(uniforms) + weights.offset
        self.keys = np.repeat(weights.word_keys[..., None], count, axis=2)
        self.keyed: set[int] = set()
        self.key_query = np.empty((2 * hidden, count), np.float32)
        self.sums = np.empty((sources, hidden, count), np.float32)
        self.sums_tensor = torch.from_numpy(self.sums)
        self.logits = np.empty((sources, count), np.float32)

    def advance(self, step: DecodingStep) -> None:
        """Run a step of the LSTM and make its decisions."""
        if step.layer != self.layer:
            self._finish_layer()
            self.layer = step.layer
        self.lstm.step(self.bottom)
        if step.sources:
            self._connect(step)
        else:
            self._choose(step)
        self.place += step.width

    def _choose(self, step: DecodingStep) -> None:
        """Choose an option: the first whose cumulative probability exceeds the uniform."""
        head, cdf, self.bottom = self.weights.softmax(step.words)
        n = len(step.words)
        exponentials, scaled = self.exponentials[:n], self.exponentials[n : 2 * n]
        before = self.lstm.inputs[: n - 1]
        np.dot(head, self.lstm.top, out=exponentials)
        np.minimum(exponentials, LARGEST_LOGIT, out=exponentials)
        np.exp(exponentials, out=exponentials)
        np.multiply(exponentials, self.repeated[self.place, :n], out=scaled)
        np.dot(cdf, self.exponentials[: 2 * n], out=before)
        np.heaviside(before, ONE, out=before)
        self.choices[self.place, : n - 1] = before

    def _connect(self, step: DecodingStep) -> None:
        """Decide all connections of an anchor independently."""
        rows, self.bottom = self.weights.anchor(step.words)
        n, place = step.width, self.place
        sums, logits, bits = self.sums[:n], self.logits[:n], self.lstm.inputs[:n]
        key, query = self._key_query()
        np.add(self.keys[rows], query, out=sums)
        self.sums_tensor[:n].sigmoid_()
        np.matmul(self.weights.vector, sums, out=logits)
        np.subtract(logits, self.thresholds[place : place + n], out=bits)
        np.heaviside(bits, ONE, out=bits)
        self.choices[place : place + n, 0] = bits
        np.divide(bits, ONE + bits.sum(0), out=bits)
        self._set_key(key)

    def _finish_layer(self) -> None:
        """Represent a source without an anchor by its last hidden state."""
        if self.layer in self.weights.source_rows and self.layer not in self.keyed:
            self._set_key(self._key_query()[0])

    def _set_key(self, key: Floats) -> None:
        """Set the key of the current layer if it is a source."""
        if self.layer in self.weights.source_rows:
            self.keys[self.weights.source_rows[self.layer]] = key
            self.keyed.add(self.layer)

    def _key_query(self) -> tuple[Floats, Floats]:
        """Return the key and the query of the current hidden state."""
        hidden = self.weights.hidden
        np.dot(self.weights.attention, self.lstm.top[:hidden], out=self.key_query)
        return self.key_query[:hidden], self.key_query[hidden:]

    def finished(self) -> Iterator[tuple[int, Tokens]]:
        """Yield the number and the tokens of each string."""
        tokens = self.choices[: self.place].sum(1).astype(np.int64).T.tolist()
        return zip(self.strings.tolist(), map(tuple, tokens), strict=True)

    def split(self, successors: Sequence[int]) -> "Iterator[SampleGroup]":
        """Yield a group for each state that follows the last token."""
        last = self.choices[self.place - 1].sum(0).astype(np.int64)
        states = np.array(successors)[last]
        for state in np.unique(states).tolist():
            yield self._subgroup(np.flatnonzero(states == state), state)

    def _subgroup(self, columns: Ints, state: int) -> "SampleGroup":
        group = SampleGroup(self.weights, self.strings[columns], self.uniforms[:, columns])
        group.state, group.place, group.layer = state, self.place, self.layer
        group.bottom, group.keyed = self.bottom, set(self.keyed)
        group.choices[...] = self.choices[..., columns]
        group.keys[...] = self.keys[..., columns]
        group.lstm.copy_from(self.lstm, columns)
        return group
