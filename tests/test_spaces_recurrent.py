"""The space of recurrent cells: the paper's numbers, its example, and which cells are the same."""

import itertools
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from nasgym.networks import TreeCell, zoo
from nasgym.spaces import ConvSpace, Node, RecurrentArchitecture, RecurrentSpace, read
from nasgym.spaces.plain import plain
from nasgym.spaces.recurrent import ACTIVATIONS, COMBINATIONS
from nasgym.testing import check_space

EVERYTHING: dict[str, Any] = {"combinations": COMBINATIONS, "activations": ACTIVATIONS}
SMALL = RecurrentSpace(2, combinations=("add", "elem_mult"), activations=("tanh", "relu"))
BASES = (1, 2, 3, 8)
EXAMPLE = RecurrentArchitecture(
    (Node("add", "tanh"), Node("elem_mult", "relu"), Node("elem_mult", "sigmoid")),
    Node("add", "relu"),
    cell_out=1,
    cell_in=0,
)
"""The example of Zoph & Le 2017, section 3.4 and figure 5."""


def random_cell(base: int, seed: int) -> RecurrentArchitecture:
    """Draw a cell, by an even seed of few kinds of nodes, so that subtrees are often alike."""
    few, all_there_are = replace(SMALL, base=base), RecurrentSpace(base, **EVERYTHING)
    space = all_there_are if seed % 2 else few
    return space.decode(space.sample(np.random.default_rng(seed)))


# Strings ------------------------------------------------------------------------------------------


def test_the_papers_size_and_length() -> None:
    """Acceptance check 4 (sections 3.4 and 4.2): 34 decisions, 8^16 x 15^2 cells of base 8."""
    space = RecurrentSpace()
    assert space.max_length == 34
    assert space.size == 8**16 * 225 == 63_331_869_759_897_600


def test_size_and_length_of_other_spaces() -> None:
    with_max_and_sin = RecurrentSpace(**EVERYTHING)
    assert with_max_and_sin.size == 15**16 * 225
    assert with_max_and_sin.max_length == 34
    assert RecurrentSpace(2).max_length == 10
    assert RecurrentSpace(2).size == 8**4 * 9


def test_the_papers_example_is_a_string() -> None:
    """Figure 5: Add, Tanh, ElemMult, ReLU, ElemMult, Sigmoid; inject Add, ReLU; indices 1, 0."""
    assert RecurrentSpace(2).decode((0, 1, 1, 3, 1, 2, 0, 3, 1, 0)) == EXAMPLE


def test_a_small_space_is_what_products_list() -> None:
    nodes = [Node(*pair) for pair in itertools.product(SMALL.combinations, SMALL.activations)]
    expected = [
        RecurrentArchitecture((one, two, root), inject, cell_out, cell_in)
        for one, two, root, inject in itertools.product(nodes, repeat=4)
        for cell_out, cell_in in itertools.product(range(3), repeat=2)
    ]
    assert list(map(SMALL.decode, SMALL)) == expected
    assert SMALL.size == len(expected)


@pytest.mark.parametrize("base", BASES)
def test_cells_go_round_as_strings_and_as_plain_data(base: int) -> None:
    space, rng = RecurrentSpace(base, **EVERYTHING), np.random.default_rng(base)
    for _ in range(50):
        tokens = space.sample(rng)
        cell = space.decode(tokens)
        assert cell.base == base
        assert space.encode(cell) == tokens
        assert read(json.loads(json.dumps(plain(cell)))) == cell


@pytest.mark.parametrize("space", [SMALL, RecurrentSpace(3), RecurrentSpace()], ids=["2", "3", "8"])
def test_conformance(space: RecurrentSpace) -> None:
    check_space(space, samples=10)


# Which cells are the same -------------------------------------------------------------------------


def shape(cell: RecurrentArchitecture, node: int) -> tuple[Any, ...]:
    return tuple(shape(cell, child) for child in cell.children(node) or ())


def rearrangements(
    cell: RecurrentArchitecture,
) -> Iterator[tuple[RecurrentArchitecture, list[int]]]:
    """Yield `cell` with every choice of its equally shaped subtrees swapped.

    With each comes the node of `cell` that now stands at each place.
    """
    count = len(cell.nodes)
    pairs = {node: cell.children(node) for node in range(count)}
    alike = [n for n, pair in pairs.items() if pair and len({shape(cell, c) for c in pair}) == 1]
    for swaps in itertools.product((False, True), repeat=len(alike)):
        swapped = {node for node, swap in zip(alike, swaps, strict=True) if swap}
        source = {count - 1: count - 1}
        for place in reversed(range(cell.base, count)):
            order = -1 if source[place] in swapped else 1
            read_there, read_here = pairs[place] or (), pairs[source[place]] or ()
            source.update(zip(read_there, read_here[::order], strict=True))
        origin = [source[place] for place in range(count)]
        moved = replace(
            cell,
            nodes=tuple(cell.nodes[node] for node in origin),
            cell_out=origin.index(cell.cell_out),
            cell_in=origin.index(cell.cell_in),
        )
        yield moved, origin


@pytest.mark.parametrize("base", range(1, 10))
def test_cells_are_the_same_if_and_only_if_swaps_make_them_equal(base: int) -> None:
    """All that swaps make of a cell share one form, and that form is one of them."""
    space = RecurrentSpace(base, **EVERYTHING)
    for seed in range(4):
        alike = [cell for cell, _ in rearrangements(random_cell(base, seed))]
        canonical = {space.canonical(cell) for cell in alike}
        assert len(canonical) == 1
        assert canonical <= set(alike)
        assert {space.canonical(cell) for cell in canonical} == canonical


def test_the_number_of_different_cells() -> None:
    """By brute force, and by counting: four kinds of nodes, two leaves and 3 x 3 indices.

    Leaves are unordered if both indices name the root; the other eight pairs of indices come twice.
    """
    cells = list(map(SMALL.decode, SMALL))
    classes = {frozenset(other for other, _ in rearrangements(cell)) for cell in cells}
    canonical = {SMALL.canonical(cell) for cell in cells}
    assert len(canonical) == len(classes) == 4 * 4 * (4 * 5 // 2 + 8 * 4 * 4 // 2)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("base", [2, 3, 8])
def test_the_canonical_cell_computes_the_same_with_its_leaves_weights_moved(
    base: int, seed: int
) -> None:
    cell = random_cell(base, seed)
    canonical = RecurrentSpace(base, **EVERYTHING).canonical(cell)
    origin = next(origin for other, origin in rearrangements(cell) if other == canonical)
    torch.manual_seed(seed)
    one, other = TreeCell(cell, 3, 4).double(), TreeCell(canonical, 3, 4).double()
    other.load_state_dict(
        {name: moved(weight, origin[:base]) for name, weight in one.named_parameters()}
    )
    input, state = torch.randn(5, 3).double(), tuple(torch.randn(2, 5, 4).double())
    for ours, theirs in zip(one(input, state), other(input, state), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-13)


def moved(weight: nn.Parameter, leaves: list[int]) -> torch.Tensor:
    """Return the weights of these leaves in this order."""
    return torch.cat([weight.detach().chunk(len(leaves))[leaf] for leaf in leaves])


# Mistakes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "gru"}, "\"kind\" is 'gru', not one of 'conv', 'recurrent', 'lstm'"),
        ({"kind": "conv"}, "this conv architecture is damaged"),
        ({"nodes": [{"combination": "add", "activation": "exp"}] * 3}, "activation 'exp' is none"),
        ({"inject": {"combination": "div", "activation": "tanh"}}, "combination 'div' is none of"),
        (
            {"nodes": [{"combination": "add", "activation": "tanh"}] * 4},
            "odd number of nodes, .* 4",
        ),
        ({"nodes": []}, "odd number of nodes, 2 base - 1, not 0"),
        ({"nodes": "add"}, "this recurrent architecture is damaged"),
        ({"inject": None}, "this recurrent architecture is damaged"),
        ({"cell_out": 3}, "cell_out must be the number of a node, 0 to 2, not 3"),
        ({"cell_in": -1}, "cell_in must be the number of a node, 0 to 2, not -1"),
        ({"cell_in": True}, "cell_in must be the number of a node, 0 to 2, not True"),
    ],
)
def test_data_that_are_no_cell_get_one_line(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        read(plain(EXAMPLE) | change)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (random_cell(3, 0), "the cell has base 3, the space 2"),
        (replace(EXAMPLE, inject=Node("max", "tanh")), "'max' is none .* 'inject_combination'"),
        (replace(EXAMPLE, nodes=(Node("add", "sin"),) * 3), "'sin' is none .* 'activation' in la"),
    ],
)
def test_cells_of_another_space_are_not_encoded(cell: RecurrentArchitecture, message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        RecurrentSpace(2).encode(cell)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"base": 0}, "base must be a whole number from 1, not 0"),
        ({"base": True}, "base must be a whole number from 1, not True"),
        ({"combinations": ()}, "combinations must be some of add, elem_mult, max"),
        ({"activations": ("tanh", "tanh")}, "activations must be some of identity, tanh"),
        ({"activations": ("exp",)}, "activations must be some of identity, tanh"),
    ],
)
def test_impossible_spaces_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RecurrentSpace(**options)


def test_an_architecture_of_another_kind_has_no_string() -> None:
    cell, network = zoo.NAS_CELL, zoo.NAS_V1
    with pytest.raises(ValueError, match="is not a RecurrentArchitecture"):
        RecurrentSpace().encode(zoo.LSTM)
    with pytest.raises(ValueError, match="is not a RecurrentArchitecture"):
        RecurrentSpace().encode(network)
    with pytest.raises(ValueError, match="is not a ConvArchitecture"):
        ConvSpace(layers=15).encode(cell)
