"""The recurrence: the LSTM of the sampler, its state for some strings, one a column.

What is multiplied lies in one stack: from the top layer down its hidden state and 1, and last what
the lowest layer is told. Every product reads one slice of it, what one call works on is contiguous,
and nothing is allocated on the way. Where tanh(x) belongs stands half of it, sigmoid(2 x) - 1/2:
torch's sigmoid is much faster than numpy's tanh.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from nasgym.agents.controller.fused_weights import Floats, Ints, Weights

HALF, FOUR = np.array(0.5, np.float32), np.array(4.0, np.float32)


class Layer(NamedTuple):
    """Views of what one layer reads and writes."""

    stack: Floats
    """From the layer's half hidden state on: that, 1, and what comes from below."""
    gates: Floats
    """Output, input, forget and cell gate, one above the other."""
    gates_tensor: Tensor
    """The same for torch."""
    candidate: Floats
    """The cell gate: half of what may be added to the memory."""
    passing: Floats
    """The input and the forget gate."""
    passed: Floats
    """What these two apply to: the candidate and the memory."""
    memory: Floats
    """Half of the memory."""
    output: Floats
    """The output gate."""
    hidden: Floats
    """Half of the hidden state."""


class Recurrence:
    """The LSTM's state for some strings."""

    def __init__(self, weights: Weights, strings: int) -> None:
        """Begin `strings` strings."""
        hidden, layers, words = weights.hidden, weights.layers, weights.vocabulary
        blocks = layers * (hidden + 1)
        told = max(words.widest, len(words.sources))
        self._stack = np.zeros((blocks + told, strings), np.float32)
        for layer in range(layers):
            self._stack[layer * (hidden + 1) + hidden] = 1.0
        self.top = self._stack[: hidden + 1]
        """Half of the hidden state of the top layer, and 1."""
        self.told = self._stack[blocks:]
        """What the lowest layer is told at the next step."""
        self._gates = np.zeros((layers, 5 * hidden, strings), np.float32)
        self._layers = [
            _views(self._stack[blocks - (layer + 1) * (hidden + 1) :], self._gates[layer])
            for layer in range(layers)
        ]
        self._upper = weights.upper
        self._squashed = np.empty((hidden, strings), np.float32)
        self._squashed_tensor = torch.from_numpy(self._squashed)
        self._products = np.empty((2 * hidden, strings), np.float32)
        self._added, self._kept = self._products[:hidden], self._products[hidden:]

    def step(self, lowest: Floats) -> None:
        """Let every layer take its step, the lowest with the weights `lowest`."""
        for weights, layer in zip((lowest, *self._upper), self._layers, strict=True):
            np.dot(weights, layer.stack[: weights.shape[1]], out=layer.gates)
            layer.gates_tensor.sigmoid_()
            np.subtract(layer.candidate, HALF, out=layer.candidate)
            np.multiply(layer.passing, layer.passed, out=self._products)
            np.add(self._added, self._kept, out=layer.memory)
            np.multiply(layer.memory, FOUR, out=self._squashed)
            self._squashed_tensor.sigmoid_()
            np.subtract(self._squashed, HALF, out=self._squashed)
            np.multiply(layer.output, self._squashed, out=layer.hidden)

    def take_over(self, other: "Recurrence", columns: Ints) -> None:
        """Take over the state of the `columns` of another."""
        self._stack[...] = other._stack[:, columns]
        self._gates[...] = other._gates[..., columns]


def _views(stack: Floats, gates: Floats) -> Layer:
    """Return views of a layer's part of the stack, and of its gates and memory."""
    hidden = len(gates) // 5
    return Layer(
        stack=stack,
        gates=gates[: 4 * hidden],
        gates_tensor=torch.from_numpy(gates[: 4 * hidden]),
        candidate=gates[3 * hidden : 4 * hidden],
        passing=gates[hidden : 3 * hidden],
        passed=gates[3 * hidden :],
        memory=gates[4 * hidden :],
        output=gates[:hidden],
        hidden=stack[:hidden],
    )
