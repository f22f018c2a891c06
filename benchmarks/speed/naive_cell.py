"""A straightforward recurrent cell and language model, as baselines."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from nasgym.spaces.recurrent import Node, RecurrentArchitecture

State = tuple[Tensor, Tensor]

COMBINATIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "add": torch.add,
    "elem_mult": torch.mul,
    "max": torch.maximum,
}

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": lambda x: x,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "relu": torch.relu,
    "sin": torch.sin,
}


class NaiveCell(nn.Module):
    """A cell with two linear layers for each leaf, computed step by step and node by node.

    Called like torch.nn.LSTM with one layer, but always starts from a state of zeros.
    """

    def __init__(self, architecture: RecurrentArchitecture, size: int) -> None:
        """Build it for `size` features of the input and of the hidden state."""
        super().__init__()
        self.architecture = architecture
        self.of_input, self.of_h = (
            nn.ModuleList(nn.Linear(size, size, bias=False) for _ in range(architecture.base))
            for _ in range(2)
        )

    def forward(self, input: Tensor) -> tuple[Tensor, State]:
        """Return h after each step of `input`, (time, n, size), and h and c after the last."""
        h = c = torch.zeros_like(input[0])
        outputs = []
        for step in input:
            h, c = self._step(step, h, c)
            outputs.append(h)
        return torch.stack(outputs), (h, c)

    def _step(self, input: Tensor, h: Tensor, c: Tensor) -> State:
        cell, memory = self.architecture, c
        outputs: list[Tensor] = []
        for number, node in enumerate(cell.nodes):
            children = cell.children(number)
            if children is None:
                combined = _combine(node, self.of_input[number](input), self.of_h[number](h))
            else:
                combined = _combine(node, *(outputs[child] for child in children))
            if number == cell.cell_out:
                memory = combined
            output = ACTIVATIONS[node.activation](combined)
            if number == cell.cell_in:
                output = ACTIVATIONS[cell.inject.activation](_combine(cell.inject, output, c))
            outputs.append(output)
        return outputs[-1], memory


def _combine(node: Node, one: Tensor, other: Tensor) -> Tensor:
    return COMBINATIONS[node.combination](one, other)


class LanguageModel(nn.Module):
    """A language model: embedding, a recurrent network of one layer, and output logits."""

    def __init__(self, recurrent: nn.Module, vocabulary: int, hidden: int) -> None:
        """Build it around `recurrent`, which is called like torch.nn.LSTM."""
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, hidden)
        self.recurrent = recurrent
        self.decoder = nn.Linear(hidden, vocabulary)

    def forward(self, tokens: Tensor) -> tuple[Tensor, State]:
        """Return the logits after each token and the state after the last."""
        output, state = self.recurrent(self.embedding(tokens))
        return self.decoder(output), state
