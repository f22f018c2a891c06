"""The weights of a controller, arranged for drawing strings with few array operations.

Biases are columns, so that all gates of a layer are the product of one matrix with one slice of the
recurrence's stack. tanh(x) = 2 sigmoid(2 x) - 1, so one sigmoid serves all gates: what leads to a
tanh is doubled, and so is what reads a hidden state, which the recurrence keeps halved. Instead of
looking up the embedding of the last token and projecting it into the lowest layer, that layer
multiplies what was decided by differences of projected embeddings.
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
    """(n, hidden + 1): from half the hidden state and 1 to logits."""
    ladder: Floats
    """(n - 1, 2 n): from the exponentials e and u e to u sum(e) - cumsum(e), which is not negative
    for the options that the token lies beyond."""
    lowest: Floats
    """(4 hidden, hidden + n): the lowest layer's at the next step, from half its hidden state, 1,
    and 1 for each option that the token lies beyond."""


class Anchor(NamedTuple):
    """The weights of a step that decides the connections from n sources."""

    slots: slice | Ints
    """The places of the sources among all."""
    lowest: Floats
    """(4 hidden, hidden + 1 + n): the lowest layer's at the next step, from half its hidden state,
    1, and the weight of each source."""


class Weights:
    """The weights as they were when this was made, in single precision."""

    def __init__(self, parameters: Mapping[str, Tensor], vocabulary: Vocabulary) -> None:
        """Arrange the `parameters` of a controller."""
        arrays = {name: value.detach().float().numpy() for name, value in parameters.items()}
        embedding, previous = arrays["embedding"], arrays["attention_previous"]
        self.vocabulary = vocabulary
        self.hidden = embedding.shape[1]
        self.layers = sum(name.startswith("lstm.weight_hh") for name in arrays)
        (recurrent, bias, below), *upper = (_layer(arrays, layer) for layer in range(self.layers))
        self._recurrent, self._bias = np.ascontiguousarray(recurrent.T), bias[:, 0]
        self._told = embedding @ below.T
        self._head = np.column_stack([2 * arrays["head_weight"], arrays["head_bias"]])
        self._softmaxes: dict[Words, Softmax] = {}
        self._anchors: dict[Words, Anchor] = {}
        self.upper = [
            np.concatenate([recurrent, bias, 2 * below], axis=1) for recurrent, bias, below in upper
        ]
        """(4 hidden, 2 hidden + 1): from half a layer's hidden state, 1, and half the one below."""
        self.start = self._lowest(self._told[vocabulary.start])
        """(4 hidden, hidden + 1): the lowest layer's at the first step."""
        self.attention = 4 * np.concatenate([previous, arrays["attention_current"]])
        """(2 hidden, hidden): from half a hidden state to its key and its query, both doubled."""
        self.vector = 2 * arrays["attention_vector"]
        """(hidden,): the logit of a connection is vector . sigmoid(key + query) - offset."""
        self.offset = arrays["attention_vector"].sum()
        self.slots = {
            layer: word - vocabulary.num_options for layer, word in vocabulary.sources.items()
        }
        """The place among all sources of each layer that is one."""
        self.silent_keys = 2 * embedding[vocabulary.num_options : vocabulary.start] @ previous.T
        """(sources, hidden): the key of a source that has no hidden state."""

    def softmax(self, words: Words) -> Softmax:
        """Return the weights of a softmax over `words`."""
        if words not in self._softmaxes:
            head, told = self._head[list(words)], self._told[list(words)]
            # What all logits share changes nothing; without it, their exponentials stay small.
            head = head - head.sum(0) / len(words)
            lowest = self._lowest(told[0], told[1:] - told[:-1])
            self._softmaxes[words] = Softmax(head, _ladder(len(words)), lowest)
        return self._softmaxes[words]

    def anchor(self, words: Words) -> Anchor:
        """Return the weights of an anchor that asks about the sources `words`."""
        if words not in self._anchors:
            first, *_ = slots = [word - self.vocabulary.num_options for word in words]
            in_order = slots == list(range(first, first + len(slots)))
            self._anchors[words] = Anchor(
                slice(first, first + len(slots)) if in_order else np.array(slots),
                self._lowest(np.zeros_like(self._bias), self._told[list(words)]),
            )
        return self._anchors[words]

    def _lowest(self, always: Floats, *features: Floats) -> Floats:
        """Return the lowest layer's weights when it is told `always` and some features, in rows."""
        bias = (self._bias + always)[None]
        return np.concatenate([self._recurrent, bias, *features]).T


@cache
def _ladder(options: int) -> Floats:
    """Return the ladder of a softmax over so many options."""
    cumulative = np.tri(options - 1, options, dtype=np.float32)
    return np.concatenate([-cumulative, np.ones_like(cumulative)], axis=1)


def _layer(arrays: Mapping[str, Floats], layer: int) -> tuple[Floats, Floats, Floats]:
    """Return the weights of a layer's gates for its hidden state, for 1, and for what is below."""
    bias = arrays[f"lstm.bias_ih_l{layer}"] + arrays[f"lstm.bias_hh_l{layer}"]
    return (
        2 * _gates(arrays[f"lstm.weight_hh_l{layer}"]),
        _gates(bias[:, None]),
        _gates(arrays[f"lstm.weight_ih_l{layer}"]),
    )


def _gates(weights: Floats) -> Floats:
    """Bring PyTorch's input, forget, cell and output gates into the order of the recurrence."""
    one, two, cell, output = weights.reshape(4, -1, weights.shape[1])
    return np.concatenate([output, one, two, 2 * cell])
