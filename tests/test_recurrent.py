"""Recurrent cells: the paper's vectors, the published cell, and unrolling against autograd."""

from dataclasses import replace
from math import tanh
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nasgym.networks import NASCell, RecurrentNetwork, TreeCell, zoo
from nasgym.spaces import LSTMArchitecture, Node, RecurrentArchitecture, RecurrentSpace
from nasgym.spaces.recurrent import ACTIVATIONS, COMBINATIONS

EVERYTHING = {
    base: RecurrentSpace(base, combinations=COMBINATIONS, activations=ACTIVATIONS)
    for base in (1, 2, 3, 8)
}
EXAMPLE = RecurrentArchitecture(
    (Node("add", "tanh"), Node("elem_mult", "relu"), Node("elem_mult", "sigmoid")),
    Node("add", "relu"),
    cell_out=1,
    cell_in=0,
)
"""The worked example of Zoph & Le 2017, section 3.4 and figure 5."""


@pytest.fixture(autouse=True)
def double_precision() -> Any:
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def column(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)[:, None]


def scalar(value: float) -> Tensor:
    return torch.tensor([[value]])


def with_weights(cell: nn.Module, of_input: Tensor, of_h: Tensor) -> nn.Module:
    """Return `cell` with these weights."""
    cell.load_state_dict({"weight_ih": of_input, "weight_hh": of_h})
    return cell


# The paper's numbers ------------------------------------------------------------------------------


def test_the_worked_example() -> None:
    """Acceptance check 5 (section 3.4)."""
    cell = with_weights(TreeCell(EXAMPLE, 1, 1), column(0.5, 0.4), column(0.3, 0.8))
    h, c = cell(scalar(1.0), (scalar(0.5), scalar(-0.25)))
    injected = max(0.0, tanh(0.65) - 0.25)
    assert injected == pytest.approx(0.3216699661)
    assert c.item() == pytest.approx(0.16)
    assert h.item() == pytest.approx(0.5128639592)
    assert h.item() == pytest.approx(1 / (1 + np.exp(-injected * 0.16)))


KERNEL = column(0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
RECURRENT = column(-0.4, 0.3, -0.2, 0.1, 0.1, 0.2, 0.3, 0.4)


@pytest.mark.parametrize(
    ("make", "h", "c"),
    [
        (lambda: NASCell(1, 1), -0.035498107066616824, -0.04382189218994252),
        (lambda: TreeCell(zoo.NAS_CELL, 1, 1), -0.035498107066616824, -0.04382189218994252),
        (lambda: TreeCell(zoo.NAS_CELL_MAX_SIN, 1, 1), 0.0212215537661223, 0.032603003124515334),
    ],
    ids=["NASCell", "its tree", "max and sin"],
)
def test_the_published_cells(make: Any, h: float, c: float) -> None:
    """Acceptance check 5 (figure 8): x = 1, h = 0.5, c = -0.25."""
    cell = with_weights(make(), KERNEL, RECURRENT)
    output, memory = cell(scalar(1.0), (scalar(0.5), scalar(-0.25)))
    assert output.item() == pytest.approx(h, rel=1e-12)
    assert memory.item() == pytest.approx(c, rel=1e-12)


def test_the_published_cell_equals_its_tree_to_machine_precision() -> None:
    """Acceptance check 5."""
    written, tree = NASCell(5, 7), TreeCell(zoo.NAS_CELL, 5, 7)
    tree.load_state_dict(written.state_dict())
    input, state = torch.randn(3, 5), (torch.randn(3, 7), torch.randn(3, 7))
    for one, other in zip(written(input, state), tree(input, state), strict=True):
        assert torch.allclose(one, other, rtol=0, atol=1e-15)


@pytest.mark.parametrize("projection", [None, 3])
@pytest.mark.parametrize("bias", [False, True])
def test_the_published_cells_parameters(projection: int | None, bias: bool) -> None:
    cell = NASCell(5, 7, projection, bias)
    outputs = projection or 7
    expected = 8 * 7 * (5 + outputs) + 8 * 7 * bias + 7 * (projection or 0)
    assert sum(weight.numel() for weight in cell.parameters()) == expected
    h, c = cell(torch.randn(4, 5))
    assert h.shape == (4, outputs) and c.shape == (4, 7)


def test_a_bias_is_inside_the_products_of_leaves_that_multiply() -> None:
    """As in TensorFlow, where it is added to what h contributes."""
    cell = NASCell(1, 1, bias=True)
    weights = {"weight_ih": KERNEL, "weight_hh": RECURRENT, "bias_hh": 0.5 * RECURRENT[:, 0]}
    cell.load_state_dict(weights)
    without = with_weights(NASCell(1, 1), KERNEL, RECURRENT)
    one = cell(scalar(1.0), (scalar(0.5), scalar(-0.25)))
    other = without(scalar(1.0), (scalar(1.0), scalar(-0.25)))  # .5 u + .5 u = 1 u
    assert torch.allclose(torch.cat(one), torch.cat(other))


def test_an_lstm_without_biases_is_a_setting_of_the_weights() -> None:
    """Acceptance check 5 (section 3.4 and figure 8): idle leaves have the weights 0."""
    add, both = "add", "elem_mult"
    tree = RecurrentArchitecture(
        (
            *(Node(add, name) for name in ("sigmoid", "identity", "tanh", "sigmoid", "sigmoid")),
            *[Node(add, "identity")] * 3,
            *(Node(how, "identity") for how in (add, both, add, add)),
            *(Node(add, "tanh"), Node(add, "identity"), Node(both, "identity")),
        ),
        Node(both, "identity"),
        cell_out=12,
        cell_in=0,
    )
    lstm, cell = nn.LSTMCell(4, 6, bias=False), TreeCell(tree, 4, 6)
    leaf_of_gate = {"i": 3, "f": 0, "g": 2, "o": 4}
    with torch.no_grad():
        for mine, theirs in ((cell.weight_ih, lstm.weight_ih), (cell.weight_hh, lstm.weight_hh)):
            mine.zero_()
            for gate, leaf in zip(leaf_of_gate.values(), theirs.chunk(4), strict=True):
                mine[6 * gate : 6 * gate + 6] = leaf
    input, state = torch.randn(3, 4), (torch.randn(3, 6), torch.randn(3, 6))
    for one, other in zip(cell(input, state), lstm(input, state), strict=True):
        assert torch.allclose(one, other, atol=1e-14)


# Unrolling against autograd -----------------------------------------------------------------------


def looped(
    network: RecurrentNetwork, input: Tensor, h: Tensor, c: Tensor, mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return outputs and the last state of one layer, step by step: the definition."""
    (cell,) = network.cells
    outputs = []
    for step in input:
        h, c = cell(step, (h if mask is None else h * mask, c))
        outputs.append(h)
    return torch.stack(outputs), h, c


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("base", EVERYTHING)
def test_values_and_gradients_are_those_of_autograd(base: int, seed: int) -> None:
    space = EVERYTHING[base]
    cell = space.decode(space.sample(np.random.default_rng(seed)))
    check(RecurrentNetwork(cell, 3, 4))


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("combination", COMBINATIONS)
@pytest.mark.parametrize("place", ["leaf", "root"])
def test_every_operation_everywhere(combination: str, activation: str, place: str) -> None:
    """Each operation in the leaves, the root and the inject; c_t from and into leaf and root."""
    node = Node(combination, activation)
    at = {"leaf": 0, "root": 2}[place]
    check(RecurrentNetwork(RecurrentArchitecture((node,) * 3, node, at, at), 3, 4))
    check(RecurrentNetwork(RecurrentArchitecture((node,) * 3, node, at, 2 - at), 3, 4))


def check(network: RecurrentNetwork) -> None:
    """Compare outputs, state and all gradients with those of a loop."""
    leaves = [torch.randn(size, requires_grad=True) for size in ((5, 2, 3), (1, 2, 4), (1, 2, 4))]
    input, h, c = leaves
    output, (last_h, last_c) = network(input, (h, c))
    ours = output, last_h[0], last_c[0]
    theirs = looped(network, input, h[0], c[0])
    weights = [torch.randn_like(part) for part in ours]
    variables = [*leaves, *network.parameters()]
    gradients = []
    for parts in (ours, theirs):
        total = sum((part * weight).sum() for part, weight in zip(parts, weights, strict=True))
        gradients.append(torch.autograd.grad(total, variables, allow_unused=True))
    for one, other in zip((*ours, *gradients[0]), (*theirs, *gradients[1]), strict=True):
        assert torch.allclose(one, torch.zeros_like(one) if other is None else other, atol=1e-11)
    with torch.no_grad():
        assert torch.allclose(network(input, (h, c))[0], output, atol=1e-12)


@pytest.mark.parametrize("architecture", [zoo.NAS_CELL, LSTMArchitecture()], ids=["tree", "lstm"])
def test_one_recurrent_mask_serves_all_steps(architecture: Any) -> None:
    network = RecurrentNetwork(architecture, 3, 50, recurrent_dropout=0.4)
    input, zeros = torch.randn(5, 2, 3), torch.zeros(2, 50)
    torch.manual_seed(7)
    mask = torch.nn.functional.dropout(torch.ones(2, 50), 0.4)
    assert 0 < (mask == 0).sum() < 100
    torch.manual_seed(7)
    output, _ = network(input)
    assert torch.allclose(output, looped(network, input, zeros, zeros, mask)[0])
    plain, _ = network.eval()(input)
    assert torch.allclose(plain, looped(network, input, zeros, zeros)[0])


def test_one_input_mask_a_layer_serves_all_steps() -> None:
    network = RecurrentNetwork(zoo.NAS_CELL, 40, 4, dropout=0.5)
    torch.manual_seed(3)
    output, _ = network(torch.ones(6, 2, 40))
    torch.manual_seed(3)
    mask = torch.nn.functional.dropout(torch.ones(2, 40), 0.5)
    assert torch.allclose(output, network.eval()(torch.ones(6, 2, 40) * mask)[0])


@pytest.mark.parametrize(
    "architecture", [EXAMPLE, zoo.NAS_CELL, LSTMArchitecture()], ids=["base 2", "nas", "lstm"]
)
def test_layers_lie_on_one_another_and_the_state_carries_on(architecture: Any) -> None:
    network = RecurrentNetwork(architecture, 3, 4, 2)
    input = torch.randn(7, 2, 3)
    whole, (h, c) = network(input)
    first, state = network(input[:3])
    rest, (later_h, later_c) = network(input[3:], state)
    assert torch.allclose(torch.cat([first, rest]), whole, atol=1e-14)
    assert torch.allclose(later_h, h) and torch.allclose(later_c, c)
    assert h.shape == c.shape == (2, 2, 4) and torch.equal(h[1], whole[-1])


def test_the_lstm_is_that_of_torch() -> None:
    torch.manual_seed(1)
    ours, theirs = RecurrentNetwork(LSTMArchitecture(), 3, 4, 2), nn.LSTM(3, 4, 2)
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    theirs.load_state_dict(
        {
            f"{name}_l{layer}": getattr(cell, name)
            for layer, cell in enumerate(ours.cells)
            for name in names
        }
    )
    input = torch.randn(6, 2, 3)
    for one, other in zip(ours(input)[1], theirs(input)[1], strict=True):
        assert torch.allclose(one, other)


def test_a_root_that_the_memory_goes_into_gives_the_injected_value() -> None:
    cell = replace(EXAMPLE, cell_in=2, cell_out=2)
    tree = with_weights(TreeCell(cell, 1, 1), column(0.5, 0.4), column(0.3, 0.8))
    h, c = tree(scalar(1.0), (scalar(0.5), scalar(-0.25)))
    combined = tanh(0.65) * 0.16
    assert c.item() == pytest.approx(combined)  # without c_{t-1}
    assert h.item() == pytest.approx(max(0.0, 1 / (1 + np.exp(-combined)) - 0.25))


def test_autocast_computes_in_bfloat16() -> None:
    torch.set_default_dtype(torch.float32)
    network = RecurrentNetwork(zoo.NAS_CELL, 8, 16)
    input = torch.randn(5, 4, 8)
    exact, _ = network(input)
    with torch.autocast("cpu", torch.bfloat16):
        rough, _ = network(input)
    assert rough.dtype == torch.bfloat16
    assert torch.allclose(rough.float(), exact, atol=0.02)
    rough.float().sum().backward()
    for weight in network.parameters():
        assert weight.grad is not None and weight.grad.isfinite().all()
