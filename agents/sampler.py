"""The sampler: draws strings from a controller with numpy, many times faster than torch step by step.

For all strings together, a step of the LSTM takes two small matrix products and a dozen array
calls, without an allocation. One array holds all that is multiplied, and every product reads a
slice of it: biases are columns of the weights, and what was decided last is multiplied by
differences of projected embeddings instead of being looked up. tanh(x) = 2 sigmoid(2x) - 1, so that
one call serves all four gates. Choices are made by inverse CDF from uniforms drawn beforehand for
each string and each token, so they do not depend on which strings are drawn together.

Features run down and strings across, so that the gates are contiguous.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from nasgym.agents.steps import Chart, Step
from nasgym.space import Tokens

if TYPE_CHECKING:
    from nasgym.agents.controller import Controller

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

ZERO, HALF, ONE = (np.array(value, np.float32) for value in (0.0, 0.5, 1.0))
LARGEST_LOGIT = np.array(80.0, np.float32)
"""The sum of a few exponentials of it is still finite in single precision."""


class Choice(NamedTuple):
    """The weights of one kind of step."""

    head: Floats
    """(options, hidden + 1): from the hidden state and 1 to logits. Unused at an anchor."""
    ladder: Floats
    """(options - 1, 2 options): from the exponentials e and u e to u sum(e) - cumsum(e), which is
    not negative where the token lies beyond. Unused at an anchor."""
    slots: slice | Ints
    """Where the keys of the sources are, at an anchor."""
    told: Floats
    """(4 hidden, hidden + 1 + features): the lowest layer's weights at the next step. Its features
    are the rungs below the token or, at an anchor, the shares of the sources."""


class Sampler:
    """A controller's weights as they were when this was made, arranged for drawing strings."""

    def __init__(self, controller: "Controller", chart: Chart) -> None:
        """Arrange the weights of `controller` for the space of `chart`."""
        weights = {
            name: value.detach().float().numpy() for name, value in controller.named_parameters()
        }
        self.chart, self.vocabulary = chart, controller.vocabulary
        self.hidden, self.layers = controller.lstm.hidden_size, controller.lstm.num_layers
        (self._recurrent, self._bias, below), *upper = (
            _layer(weights, layer) for layer in range(self.layers)
        )
        self.upper = [np.concatenate(parts, axis=1) for parts in upper]
        self._told = below @ weights["embedding"].T
        self._head = np.column_stack([weights["head_weight"], weights["head_bias"]])
        previous, vector = weights["attention_previous"], weights["attention_vector"]
        self.attention = 2 * np.concatenate([previous, weights["attention_current"]])
        self.vector, self.offset = 2 * vector, vector.sum()
        sources = weights["embedding"][self.vocabulary.num_options : self.vocabulary.start]
        self.silent_keys = 2 * (sources @ previous.T)
        start = self._told[:, [self.vocabulary.start]]
        self.start = self._lowest(start, start[:, :0])
        self._choices: dict[tuple[tuple[int, ...], bool], Choice] = {}

    def sample(self, count: int, rng: np.random.Generator) -> list[Tokens]:
        """Draw `count` strings."""
        uniforms = rng.random((count, self.chart.space.max_length), dtype=np.float32).T
        drawn: list[Tokens] = [()] * count
        with torch.inference_mode(), np.errstate(divide="ignore"):
            strands = [Strand(self, np.arange(count), uniforms)]
            while strands:
                strand = strands.pop()
                if strand.state == self.chart.end:
                    for string, tokens in strand.finished():
                        drawn[string] = tokens
                else:
                    strands.extend(self._follow(strand))
        return drawn

    def _follow(self, strand: "Strand") -> "list[Strand]":
        """Take steps with `strand` until its strings end or part."""
        stretch = self.chart.stretch(strand.state)
        for step in stretch.steps:
            strand.enter(step.layer)
            strand.think()
            if step.sources:
                strand.connect(step, self._choice(step))
            else:
                strand.choose(self._choice(step))
        if stretch.successors:
            return strand.parts(stretch.successors)
        strand.state = self.chart.end
        return [strand]

    def _choice(self, step: Step) -> Choice:
        """Return the weights of `step`; steps that choose from the same words share them."""
        key = (step.words, bool(step.sources))
        if key not in self._choices:
            words = list(step.words)
            self._choices[key] = self._anchor(words) if step.sources else self._softmax(words)
        return self._choices[key]

    def _softmax(self, words: list[int]) -> Choice:
        head, told, count = self._head[words], self._told[:, words], len(words)
        # A constant added to all logits changes nothing; taken off, the exponentials stay small.
        head = head - head.mean(0)
        cumulative = np.tri(count, dtype=np.float32)[:-1]
        ladder = np.concatenate([-cumulative, np.ones_like(cumulative)], axis=1)
        return Choice(head, ladder, slice(0), self._lowest(told[:, :1], np.diff(told, axis=1)))

    def _anchor(self, words: list[int]) -> Choice:
        slots: slice | Ints = np.array(words) - self.vocabulary.num_options
        if words == list(range(words[0], words[-1] + 1)):
            slots = slice(slots[0], slots[-1] + 1)
        told = self._told[:, words]
        return Choice(self._head, self._head, slots, self._lowest(told[:, :1] * 0, told))

    def _lowest(self, told: Floats, features: Floats) -> Floats:
        return np.concatenate([self._recurrent, self._bias + told, features], axis=1)


def _layer(weights: dict[str, Floats], layer: int) -> tuple[Floats, Floats, Floats]:
    """Return a layer's weights for its own state, for 1, and for what comes from below."""
    bias = weights[f"lstm.bias_ih_l{layer}"] + weights[f"lstm.bias_hh_l{layer}"]
    return (
        _gates(weights[f"lstm.weight_hh_l{layer}"]),
        _gates(bias[:, None]),
        _gates(weights[f"lstm.weight_ih_l{layer}"]),
    )


def _gates(weights: Floats) -> Floats:
    """Order PyTorch's gates (input, forget, cell, output) as the sampler wants them.

    That is (output, input, forget, cell), the last doubled for tanh(x) = 2 sigmoid(2x) - 1.
    """
    one, two, cell, output = weights.reshape(4, -1, weights.shape[1])
    return np.concatenate([output, one, two, 2 * cell])


class Strand:
    """Strings that have taken the same steps so far, one a column, and the LSTM's state for each."""

    def __init__(self, sampler: Sampler, strings: Ints, uniforms: Floats) -> None:
        """Begin `strings`, given their (tokens, strings) `uniforms`."""
        self.sampler, self.strings, self.uniforms = sampler, strings, uniforms
        self.state, self.place, self.layer = 0, 0, None
        self.heard: set[int] = set()
        hidden, layers, count = sampler.hidden, sampler.layers, len(strings)
        vocabulary = sampler.vocabulary
        most = sampler.chart.space.max_options
        sources = vocabulary.start - vocabulary.num_options
        # From the top layer down its hidden state and 1; then the features of the last step.
        self.stack = np.zeros((layers * (hidden + 1) + max(most, sources), count), np.float32)
        self.stack[hidden : layers * (hidden + 1) : hidden + 1] = 1.0
        self.told = sampler.start
        self.low = (layers - 1) * (hidden + 1)
        self.features = self.stack[layers * (hidden + 1) :]
        self.top = self.stack[: hidden + 1]
        # A layer's gates (output, input, forget, cell) and then the cell's state.
        self.gates = np.zeros((layers, 5 * hidden, count), np.float32)
        self.products = np.empty((2 * hidden, count), np.float32)
        self.squashed = np.empty((hidden, count), np.float32)
        self.exponentials = np.empty((2 * most, count), np.float32)
        self.u = np.repeat(uniforms[:, None], most, axis=1)
        self.written = np.zeros((len(uniforms), max(most - 1, 1), count), np.float32)
        if sources:
            self.thresholds = np.log(uniforms) - np.log1p(-uniforms) + sampler.offset
            self.keys = np.repeat(sampler.silent_keys[..., None], count, axis=2)
            self.projected = np.empty((2 * hidden, count), np.float32)
            self.sums = np.empty((sources, hidden, count), np.float32)
            self.logits = np.empty((sources, count), np.float32)
            self.sums_t = torch.from_numpy(self.sums)
        views = []
        h = hidden
        for layer in range(layers):
            block = self.stack[(layers - 1 - layer) * (h + 1) :]
            gates = self.gates[layer]
            views.append(
                (
                    block[: 2 * h + 1],
                    gates[: 4 * h],
                    torch.from_numpy(gates[: 4 * h]),
                    gates[3 * h : 4 * h],
                    gates[h : 3 * h],
                    gates[3 * h :],
                    gates[4 * h :],
                    gates[:h],
                    block[:h],
                )
            )
        self.views = views
        self.p = (self.products, self.products[:h], self.products[h:])

    def enter(self, layer: int) -> None:
        """Note that the next step belongs to `layer`."""
        if layer != self.layer:
            if self.layer is not None and self.layer not in self.heard:
                self._hear(self.layer)
            self.layer = layer

    def _hear(self, layer: int) -> None:
        s = self.sampler
        if (word := s.vocabulary.source(layer)) is not None:
            np.dot(s.attention, self.top[: s.hidden], out=self.projected)
            self.keys[word - s.vocabulary.num_options] = self.projected[: s.hidden]
        self.heard.add(layer)

    def think(self) -> None:
        """Let every layer of the LSTM take its step."""
        product, product_in, product_forget = self.p
        squashed = self.squashed
        told = self.told
        for weights, (inputs, gates, gates_t, candidate, left, right, cell, output, hidden) in zip([told, *self.sampler.upper], self.views):
            if weights is told:
                inputs = self.stack[self.low : self.low + told.shape[1]]
            np.dot(weights, inputs, out=gates)
            gates_t.sigmoid_()
            np.subtract(candidate, HALF, out=candidate)
            np.multiply(left, right, out=product)
            np.add(product_in, product_forget, out=cell)  # half the cell's state
            np.add(cell, cell, out=squashed)
            np.tanh(squashed, out=squashed)
            np.multiply(output, squashed, out=hidden)

    def choose(self, choice: Choice) -> None:
        n = len(choice.head)
        e = self.exponentials
        logits, scaled, both, beyond = e[:n], e[n : 2 * n], e[: 2 * n], self.features[: n - 1]
        np.dot(choice.head, self.top, out=logits)
        np.minimum(logits, LARGEST_LOGIT, out=logits)
        np.exp(logits, out=logits)
        np.multiply(logits, self.u[self.place, :n], out=scaled)
        np.dot(choice.ladder, both, out=beyond)
        np.heaviside(beyond, ONE, out=beyond)
        self.written[self.place, : n - 1] = beyond
        self.place += 1
        self.told = choice.told

    def connect(self, step: Step, choice: Choice) -> None:
        s, n = self.sampler, step.width
        h = s.hidden
        np.dot(s.attention, self.top[:h], out=self.projected)
        sums, features, logits = self.sums[:n], self.features[:n], self.logits[:n]
        np.add(self.keys[choice.slots], self.projected[h:], out=sums)
        self.sums_t[:n].sigmoid_()
        np.matmul(s.vector, sums, out=logits)
        np.subtract(logits, self.thresholds[self.place : self.place + n], out=features)
        np.heaviside(features, ZERO, out=features)
        self.written[self.place : self.place + n, 0] = features
        np.divide(features, features.sum(0) + ONE, out=features)
        self.place += n
        self.told = choice.told
        if (word := s.vocabulary.source(step.layer)) is not None:
            self.keys[word - s.vocabulary.num_options] = self.projected[:h]
        self.heard.add(step.layer)

    def finished(self):
        tokens = self.written[: self.place].sum(1).T.astype(np.int64).tolist()
        return zip(self.strings.tolist(), map(tuple, tokens))

    def parts(self, successors):
        last = self.written[self.place - 1].sum(0).astype(np.int64)
        states = np.array(successors)[last]
        out = []
        for state in np.unique(states).tolist():
            out.append(self._part(np.flatnonzero(states == state), state))
        return out

    def _part(self, columns, state):
        c = Strand(self.sampler, self.strings[columns], self.uniforms[:, columns])
        c.state, c.place, c.layer, c.told, c.heard = state, self.place, self.layer, self.told, set(self.heard)
        for name in ("stack", "gates", "written") + (("keys",) if hasattr(self, "keys") else ()):
            getattr(c, name)[...] = getattr(self, name)[..., columns]
        return c
