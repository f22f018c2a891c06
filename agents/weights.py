"""A controller's weights, arranged for drawing strings with as few array operations as possible.

Biases are columns of the weights, so that a layer's gates are one product of one matrix with one
slice of the strand's stack. tanh(x) = 2 sigmoid(2 x) - 1: the weights of what is to go through tanh are
doubled, and one sigmoid serves all gates. The embedding of the last token and its projection into
the lowest layer are one more product, with differences of embeddings already projected.
"""

from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from nasgym.agents.steps import Vocabulary

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]


class Softmax(NamedTuple):
    """The weights of a step that chooses one of n options."""

    head: Floats
    """(n, hidden + 1): from the hidden state and 1 to logits."""
    ladder: Floats
    """(n - 1, 2 n): from the exponentials e and u e to u sum(e) - cumsum(e), which is not negative
    for the options that the token lies beyond."""
    told: Floats
    """(4 hidden, hidden + 1 + n - 1): the lowest layer's at the next step, from its hidden state, 1
    and 1 for each option that the token lies beyond."""


class Anchor(NamedTuple):
    """The weights of a step that decides the connections from n sources."""

    slots: slice | Ints
    """Where a strand keeps the keys of the sources."""
    told: Floats
    """(4 hidden, hidden + 1 + n): the lowest layer's at the next step, from its hidden state, 1 and
    the weight of each source."""


class Weights:
    """The weights as they were when this was made, in single precision."""

    def __init__(self, parameters: Mapping[str, Tensor], vocabulary: Vocabulary) -> None:
        """Arrange the `parameters` of a controller."""
        arrays = {name: value.detach().float().numpy() for name, value in parameters.items()}
        self.vocabulary = vocabulary
        self.hidden = arrays["embedding"].shape[1]
        self.layers = sum(name.startswith("lstm.weight_hh") for name in arrays)
        (recurrent, bias, below), *upper = (_layer(arrays, layer) for layer in range(self.layers))
        # Each (4 hidden, 2 hidden + 1): from the layer's hidden state, 1, and the one below.
        self.upper = [np.concatenate(parts, axis=1) for parts in upper]
        self._lowest = np.concatenate([recurrent, bias], axis=1)
        self._told = below @ arrays["embedding"].T
        self.start = self._lowest_told(self._told[:, [vocabulary.start]])
        self._head = np.column_stack([arrays["head_weight"], arrays["head_bias"]])
        # (2 hidden, hidden): from a hidden state to its key and its query, both doubled.
        previous = arrays["attention_previous"]
        self.attention = 2 * np.concatenate([previous, arrays["attention_current"]])
        # A connection's logit is vector . sigmoid(key + query) - offset.
        self.vector = 2 * arrays["attention_vector"]
        self.offset = self.vector.sum() / 2
        # (sources, hidden): the key of a source that has no hidden state to make one of.
        sources = arrays["embedding"][vocabulary.num_options : vocabulary.start]
        self.silent_keys = 2 * (sources @ previous.T)
        self.softmax, self.anchor = cache(self._softmax), cache(self._anchor)

    def _softmax(self, words: tuple[int, ...]) -> Softmax:
        """Return the weights of a softmax over `words`."""
        head, told = self._head[list(words)], self._told[:, list(words)]
        ones = np.ones((len(words) - 1, len(words)), np.float32)
        return Softmax(
            # What is common to all logits changes nothing; without it the exponentials stay small.
            head - head.mean(0),
            np.concatenate([-np.tri(*ones.shape, dtype=np.float32), ones], axis=1),
            self._lowest_told(told[:, :1], np.diff(told)),
        )

    def _anchor(self, words: tuple[int, ...]) -> Anchor:
        """Return the weights of an anchor that asks about the sources `words`."""
        slots = np.array(words) - self.vocabulary.num_options
        in_order = bool((np.diff(slots) == 1).all())
        return Anchor(
            slice(slots[0], slots[-1] + 1) if in_order else slots,
            np.concatenate([self._lowest, self._told[:, list(words)]], axis=1),
        )

    def _lowest_told(self, always: Floats, *features: Floats) -> Floats:
        """Return the lowest layer's weights where `always` comes on top of its bias."""
        recurrent, bias = self._lowest[:, :-1], self._lowest[:, -1:]
        return np.concatenate([recurrent, bias + always, *features], axis=1)


def _layer(arrays: Mapping[str, Floats], layer: int) -> tuple[Floats, Floats, Floats]:
    """Return the weights of a layer's gates for its hidden state, for 1, and for what is below."""
    bias = arrays[f"lstm.bias_ih_l{layer}"] + arrays[f"lstm.bias_hh_l{layer}"]
    return (
        _gates(arrays[f"lstm.weight_hh_l{layer}"]),
        _gates(bias[:, None]),
        _gates(arrays[f"lstm.weight_ih_l{layer}"]),
    )


def _gates(weights: Floats) -> Floats:
    """Bring PyTorch's input, forget, cell and output gates into the order of a strand's."""
    one, two, cell, output = weights.reshape(4, -1, weights.shape[1])
    return np.concatenate([output, one, two, 2 * cell])
