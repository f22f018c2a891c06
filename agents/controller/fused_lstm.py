"""Fused LSTM: the LSTM of the sampler, whose state is arrays with one column for each string.

All factors of the matrix products lie in one array: for each layer from the top down its hidden
state and 1, then the input of the bottom layer. So each product reads one slice of it, all views
are contiguous, and a step allocates nothing. tanh(x) / 2 is computed as sigmoid(2 x) - 1 / 2,
because torch's sigmoid is much faster than numpy's tanh; hidden state and cell are kept halved.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from nasgym.agents.controller.fused_weights import Floats, FusedWeights, Ints

HALF, FOUR = np.array(0.5, np.float32), np.array(4.0, np.float32)


class LayerViews(NamedTuple):
    """Views of the arrays that one layer reads and writes."""

    factors: Floats
    """From half the layer's hidden state on: that, 1, and the layers below or the input."""
    gates: Floats
    """Output, input, forget and cell gate, one above the other."""
    gates_tensor: Tensor
    """The same memory as a tensor."""
    candidate: Floats
    """The cell gate: half of the new content of the cell."""
    input_forget: Floats
    """The input and the forget gate."""
    candidate_cell: Floats
    """The factors of these two gates: the candidate and the cell."""
    cell: Floats
    """Half of the cell."""
    output: Floats
    """The output gate."""
    hidden: Floats
    """Half of the hidden state."""


class FusedLSTM:
    """The LSTM's state for a number of strings."""

    def __init__(self, weights: FusedWeights, strings: int) -> None:
        """Set the initial state of `strings` strings."""
        hidden, layers, vocabulary = weights.hidden, weights.layers, weights.vocabulary
        states = layers * (hidden + 1)
        inputs = max(vocabulary.widest, len(vocabulary.sources))
        self._factors = np.zeros((states + inputs, strings), np.float32)
        for layer in range(layers):
            self._factors[layer * (hidden + 1) + hidden] = 1.0
        self.top = self._factors[: hidden + 1]
        """Half of the hidden state of the top layer, and 1."""
        self.inputs = self._factors[states:]
        """The input of the bottom layer at the next step; the sampler writes it."""
        self._gates = np.zeros((layers, 5 * hidden, strings), np.float32)
        self._layers = [
            _views(self._factors[states - (layer + 1) * (hidden + 1) :], self._gates[layer])
            for layer in range(layers)
        ]
        self._upper = weights.upper
        self._tanh = np.empty((hidden, strings), np.float32)
        self._tanh_tensor = torch.from_numpy(self._tanh)
        self._products = np.empty((2 * hidden, strings), np.float32)
        self._added, self._kept = self._products[:hidden], self._products[hidden:]

    def step(self, bottom: Floats) -> None:
        """Advance all layers by one step, the bottom layer with the weights `bottom`."""
        for weights, layer in zip((bottom, *self._upper), self._layers, strict=True):
            np.dot(weights, layer.factors[: weights.shape[1]], out=layer.gates)
            layer.gates_tensor.sigmoid_()
            np.subtract(layer.candidate, HALF, out=layer.candidate)
            np.multiply(layer.input_forget, layer.candidate_cell, out=self._products)
            np.add(self._added, self._kept, out=layer.cell)
            np.multiply(layer.cell, FOUR, out=self._tanh)
            self._tanh_tensor.sigmoid_()
            np.subtract(self._tanh, HALF, out=self._tanh)
            np.multiply(layer.output, self._tanh, out=layer.hidden)

    def copy_from(self, other: "FusedLSTM", columns: Ints) -> None:
        """Copy the state of the `columns` of another."""
        self._factors[...] = other._factors[:, columns]
        self._gates[...] = other._gates[..., columns]


def _views(factors: Floats, gates: Floats) -> LayerViews:
    """Return views of a layer's factors, and of its gates and cell."""
    hidden = len(gates) // 5
    return LayerViews(
        factors=factors,
        gates=gates[: 4 * hidden],
        gates_tensor=torch.from_numpy(gates[: 4 * hidden]),
        candidate=gates[3 * hidden : 4 * hidden],
        input_forget=gates[hidden : 3 * hidden],
        candidate_cell=gates[3 * hidden :],
        cell=gates[4 * hidden :],
        output=gates[:hidden],
        hidden=factors[:hidden],
    )
