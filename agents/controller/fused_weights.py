"""Fused weights: a controller's weights, arranged to sample with few array operations.

Three rearrangements save operations at every step:

* Biases are columns, so one matrix product gives all gates of a layer.
* tanh(x) = 2 sigmoid(2 x) - 1, so one sigmoid serves all gates: weights that lead to a tanh are
  doubled. The sampler keeps hidden states halved, so weights that read them are doubled too.
* Embedding and projection into the bottom layer are one matrix. Options are encoded as thresholds:
  the column of an option is its difference to the option before it.
"""

from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from nasgym.agents.controller.decoding_steps import Vocabulary

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]
Words = tuple[int, ...]


class Softmax(NamedTuple):
    """The weights of a step that chooses one of n options."""

    head: Floats
    """(n, hidden + 1): maps half the hidden state and 1 to logits."""
    cdf: Floats
    """(n - 1, 2 n): maps the exponentials e and u e, for a uniform u, to u sum(e) - cumsum(e). A
    result is at least 0 if the chosen option comes after that one."""
    bottom: Floats
    """(4 hidden, hidden + n): the bottom layer's weights at the next step, for half its hidden
    state, 1, and a 1 for each option before the chosen one."""


class Anchor(NamedTuple):
    """The weights of a step that decides the connections from n sources."""

    rows: slice | Ints
    """The rows of the sources among all sources."""
    bottom: Floats
    """(4 hidden, hidden + 1 + n): the bottom layer's weights at the next step, for half its hidden
    state, 1, and the weight of each source."""


class FusedWeights:
    """A copy of a controller's weights in single precision, rearranged."""

    def __init__(self, parameters: Mapping[str, Tensor], vocabulary: Vocabulary) -> None:
        """Arrange the named `parameters` of a controller."""
        arrays = {name: value.detach().float().numpy() for name, value in parameters.items()}
        embedding, previous = arrays["embedding"], arrays["attention_previous"]
        self.vocabulary = vocabulary
        self.hidden = embedding.shape[1]
        self.layers = sum(name.startswith("lstm.weight_hh") for name in arrays)
        (recurrent, bias, below), *upper = (_layer(arrays, layer) for layer in range(self.layers))
        self._recurrent, self._bias = np.ascontiguousarray(recurrent.T), bias[:, 0]
        self._projected = embedding @ below.T
        self._head = np.column_stack([2 * arrays["head_weight"], arrays["head_bias"]])
        self._softmaxes: dict[Words, Softmax] = {}
        self._anchors: dict[Words, Anchor] = {}
        self.upper = [
            np.concatenate([recurrent, bias, 2 * below], axis=1) for recurrent, bias, below in upper
        ]
        """(4 hidden, 2 hidden + 1) for each layer but the bottom one: its weights for half its own
        hidden state, 1, and half the hidden state of the layer below."""
        self.start = self._bottom(self._projected[vocabulary.start])
        """(4 hidden, hidden + 1): the bottom layer's weights at the first step."""
        self.attention = 4 * np.concatenate([previous, arrays["attention_current"]])
        """(2 hidden, hidden): maps half a hidden state to its key and its query, both doubled."""
        self.vector = 2 * arrays["attention_vector"]
        """(hidden,): the logit of a connection is vector . sigmoid(key + query) - offset."""
        self.offset = arrays["attention_vector"].sum()
        self.source_rows = {
            layer: word - vocabulary.num_options for layer, word in vocabulary.sources.items()
        }
        """The row of each source among all sources, by layer."""
        self.word_keys = 2 * embedding[vocabulary.num_options : vocabulary.start] @ previous.T
        """(sources, hidden): the keys of sources without a hidden state, from their words."""

    def softmax(self, words: Words) -> Softmax:
        """Return the weights of a softmax over `words`."""
        if words not in self._softmaxes:
            head, projected = self._head[list(words)], self._projected[list(words)]
            # Subtracting the mean changes no probability, and keeps the exponentials small.
            head = head - head.sum(0) / len(words)
            bottom = self._bottom(projected[0], projected[1:] - projected[:-1])
            self._softmaxes[words] = Softmax(head, _cdf(len(words)), bottom)
        return self._softmaxes[words]

    def anchor(self, words: Words) -> Anchor:
        """Return the weights of an anchor whose sources are `words`."""
        if words not in self._anchors:
            first, *_ = rows = [word - self.vocabulary.num_options for word in words]
            in_order = rows == list(range(first, first + len(rows)))
            self._anchors[words] = Anchor(
                slice(first, first + len(rows)) if in_order else np.array(rows),
                self._bottom(np.zeros_like(self._bias), self._projected[list(words)]),
            )
        return self._anchors[words]

    def _bottom(self, constant: Floats, *inputs: Floats) -> Floats:
        """Return the bottom layer's weights for a `constant` input and the rows of `inputs`."""
        bias = (self._bias + constant)[None]
        return np.concatenate([self._recurrent, bias, *inputs]).T


@cache
def _cdf(options: int) -> Floats:
    """Return the matrix `Softmax.cdf` for a number of options."""
    cumulative = np.tri(options - 1, options, dtype=np.float32)
    return np.concatenate([-cumulative, np.ones_like(cumulative)], axis=1)


def _layer(arrays: Mapping[str, Floats], layer: int) -> tuple[Floats, Floats, Floats]:
    """Return the gate weights of a layer for its hidden state, for 1, and for the layer below."""
    bias = arrays[f"lstm.bias_ih_l{layer}"] + arrays[f"lstm.bias_hh_l{layer}"]
    return (
        2 * _gates(arrays[f"lstm.weight_hh_l{layer}"]),
        _gates(bias[:, None]),
        _gates(arrays[f"lstm.weight_ih_l{layer}"]),
    )


def _gates(weights: Floats) -> Floats:
    """Reorder PyTorch's gates (input, forget, cell, output) to output, input, forget, cell."""
    input_gate, forget_gate, cell, output = weights.reshape(4, -1, weights.shape[1])
    return np.concatenate([output, input_gate, forget_gate, 2 * cell])
