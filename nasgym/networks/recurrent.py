"""Recurrent cells for single steps, and the network that runs layers of cells over sequences."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nasgym.networks.operations import ACTIVATIONS, COMBINATIONS
from nasgym.networks.unrolling import unroll
from nasgym.spaces.recurrent import LSTMArchitecture, Node, RecurrentArchitecture

State = tuple[Tensor, Tensor]
"""The recurrent state between steps: the output h and the memory c."""


class TreeCell(nn.Module):
    """One step of the cell of a RecurrentArchitecture (Zoph & Le 2017, section 3.4).

    Called like torch.nn.LSTMCell: maps inputs (n, input_size) and a state (h, c), each (n,
    hidden_size) and zero by default, to the next state. The weights of all leaves are stacked in
    `weight_ih`, (base x hidden_size, input_size), and `weight_hh`, (base x hidden_size,
    hidden_size); there are no biases.
    """

    def __init__(
        self, architecture: RecurrentArchitecture, input_size: int, hidden_size: int
    ) -> None:
        """Draw the weights as torch.nn.LSTMCell does, from torch's default generator."""
        super().__init__()
        self.architecture, self.hidden_size = architecture, hidden_size
        rows = architecture.base * hidden_size
        self.weight_ih = nn.Parameter(torch.empty(rows, input_size))
        self.weight_hh = nn.Parameter(torch.empty(rows, hidden_size))
        _initialise(self, hidden_size)

    def forward(self, input: Tensor, state: State | None = None) -> State:
        """Return h and c after `input`."""
        cell = self.architecture
        h, c = _zeros(input, self.hidden_size, self.hidden_size) if state is None else state
        from_input = F.linear(input, self.weight_ih).chunk(cell.base, 1)
        from_state = F.linear(h, self.weight_hh).chunk(cell.base, 1)
        operands = list(zip(from_input, from_state, strict=True))
        outputs: list[Tensor] = []
        memory = c
        for number, node in enumerate(cell.nodes):
            children = cell.children(number)
            one, other = (
                operands[number] if children is None else map(outputs.__getitem__, children)
            )
            combined = COMBINATIONS[node.combination].forward(one, other)
            if number == cell.cell_out:
                memory = combined
            output = ACTIVATIONS[node.activation].forward(combined)
            outputs.append(_apply(cell.inject, output, c) if number == cell.cell_in else output)
        return outputs[-1], memory


class NASCell(nn.Module):
    """One step of the published cell, zoo.NAS_CELL, written out as in TensorFlow.

    Called like torch.nn.LSTMCell. With a `projection`, h has that size instead of `hidden_size`.
    The `bias` is added only to the products with h.
    """

    def __init__(
        self, input_size: int, hidden_size: int, projection: int | None = None, bias: bool = False
    ) -> None:
        """Draw the weights as torch.nn.LSTMCell does; the bias starts at 0."""
        super().__init__()
        self.hidden_size, self.output_size = hidden_size, projection or hidden_size
        self.weight_ih = nn.Parameter(torch.empty(8 * hidden_size, input_size))
        self.weight_hh = nn.Parameter(torch.empty(8 * hidden_size, self.output_size))
        self.weight_hr = nn.Parameter(torch.empty(projection, hidden_size)) if projection else None
        _initialise(self, hidden_size)
        self.bias_hh = nn.Parameter(torch.zeros(8 * hidden_size)) if bias else None

    def forward(self, input: Tensor, state: State | None = None) -> State:
        """Return h, (n, projection or hidden_size), and c, (n, hidden_size), after `input`."""
        h, c = _zeros(input, self.output_size, self.hidden_size) if state is None else state
        x = F.linear(input, self.weight_ih).chunk(8, 1)
        u = F.linear(h, self.weight_hh, self.bias_hh).chunk(8, 1)
        first = torch.tanh(torch.sigmoid(x[0] + u[0]) * torch.relu(x[1] + u[1]))
        second = torch.tanh(torch.sigmoid(x[2] + u[2]) + torch.relu(x[3] * u[3]))
        third = torch.tanh(torch.tanh(x[4] + u[4]) * torch.sigmoid(x[5] + u[5]))
        fourth = torch.sigmoid(torch.tanh(x[6] + u[6]) + torch.sigmoid(x[7] + u[7]))
        memory = torch.tanh(first + c) * second
        output = torch.tanh(memory * torch.tanh(third + fourth))
        return output if self.weight_hr is None else F.linear(output, self.weight_hr), memory


class RecurrentNetwork(nn.Module):
    """Layers of a recurrent cell that run over whole sequences.

    Called like torch.nn.LSTM: maps inputs (time, n, input_size) and a state, h and c of all layers,
    (num_layers, n, hidden_size) each and zero by default, to the outputs of the last layer, (time,
    n, hidden_size), and the state after the last step. Dropout in training is variational (Gal
    2015): each call draws one mask for all time steps. `dropout` applies to the input of every
    layer, but not to the output, and `recurrent_dropout` to h where the next step reads it. Masks
    and initial weights come from torch's default generator.
    """

    def __init__(
        self,
        architecture: RecurrentArchitecture | LSTMArchitecture,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
    ) -> None:
        """Build the layers: TreeCells, or torch.nn.LSTMCells for the LSTM."""
        super().__init__()
        self.hidden_size = hidden_size
        self.dropout, self.recurrent_dropout = dropout, recurrent_dropout
        sizes = [input_size] + [hidden_size] * (num_layers - 1)
        self.cells = nn.ModuleList(
            nn.LSTMCell(size, hidden_size)
            if isinstance(architecture, LSTMArchitecture)
            else TreeCell(architecture, size, hidden_size)
            for size in sizes
        )

    def forward(self, input: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Return the outputs of all steps, and the state after the last step."""
        zeros = _zeros(input[0], self.hidden_size, self.hidden_size)
        states = [zeros] * len(self.cells) if state is None else list(zip(*state, strict=True))
        output, last = input, []
        for cell, (h, c) in zip(self.cells, states, strict=True):
            if self.training and self.dropout:
                output = output * _mask(output[0], self.dropout)
            masked = self.training and self.recurrent_dropout
            mask = _mask(h, self.recurrent_dropout) if masked else None
            if isinstance(cell, TreeCell):
                weights = cell.weight_ih, cell.weight_hh
                output, c = unroll(cell.architecture, output, h, c, *weights, mask)
            else:
                output, c = _unroll_lstm(cell, output, h, c, mask)
            last.append((output[-1], c))
        h, c = map(torch.stack, zip(*last, strict=True))
        return output, (h, c)


def _unroll_lstm(
    cell: nn.Module, input: Tensor, h: Tensor, c: Tensor, mask: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return h of all steps of an LSTMCell and the last c; uses torch.lstm if there is no mask."""
    if mask is None:
        weights: list[Tensor] = list(cell.parameters())
        state = [h[None], c[None]]
        output, _, c = torch.lstm(input, state, weights, True, 1, 0.0, False, False, False)
        return output, c[0]
    outputs = []
    for step in input.unbind(0):
        h, c = cell(step, (h * mask, c))
        outputs.append(h)
    return torch.stack(outputs), c


def _apply(node: Node, one: Tensor, other: Tensor) -> Tensor:
    combined = COMBINATIONS[node.combination].forward(one, other)
    return ACTIVATIONS[node.activation].forward(combined)


def _initialise(module: nn.Module, hidden_size: int) -> None:
    for parameter in module.parameters():
        nn.init.uniform_(parameter, -(hidden_size**-0.5), hidden_size**-0.5)


def _zeros(input: Tensor, *sizes: int) -> State:
    """Return the zero state before the first step: h and c of the given sizes."""
    h, c = (input.new_zeros(input.shape[0], size) for size in sizes)
    return h, c


def _mask(like: Tensor, rate: float) -> Tensor:
    return F.dropout(torch.ones_like(like), rate)
