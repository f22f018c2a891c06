"""Drawings of recurrent cells show every node, every connection and the path of the memory."""

from itertools import combinations

import numpy as np
import pytest
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch

from nasgym import drawing
from nasgym.networks import zoo
from nasgym.spaces import Node, RecurrentArchitecture, RecurrentSpace
from nasgym.spaces.recurrent import ACTIVATIONS, COMBINATIONS

EXAMPLE = RecurrentArchitecture(
    (Node("add", "tanh"), Node("elem_mult", "relu"), Node("elem_mult", "sigmoid")),
    inject=Node("add", "relu"),
    cell_out=1,
    cell_in=0,
)
"""The worked example of Zoph & Le 2017, section 3.4."""


def sampled(base: int, seed: int = 0) -> RecurrentArchitecture:
    space = RecurrentSpace(base, COMBINATIONS, ACTIVATIONS)
    return space.decode(space.sample(np.random.default_rng(seed)))


CELLS = [
    EXAMPLE,
    zoo.NAS_CELL,
    zoo.NAS_CELL_MAX_SIN,
    *(sampled(base) for base in range(1, 9)),
]


def test_text_is_a_line_a_node_and_says_where_the_memory_is() -> None:
    assert drawing.text(EXAMPLE).splitlines() == [
        "node  combination  activation  reads  memory",
        "2     elem_mult    sigmoid     0, 1   its output is h_t",
        "├─ 0  add          tanh        x, h   then add c_(t-1), relu",
        "└─ 1  elem_mult    relu        x, h   combined, it is c_t",
    ]


@pytest.mark.parametrize("cell", CELLS)
def test_text_shows_each_node_once_below_the_one_that_reads_it(cell: RecurrentArchitecture) -> None:
    above: dict[int, int] = {}
    parents = {}
    for line in drawing.text(cell).splitlines()[1:]:
        depth = next(place for place, sign in enumerate(line) if sign.isdigit())
        word, combination, activation = line[depth:].split()[:3]
        number = int(word)
        assert cell.nodes[number] == Node(combination, activation)
        assert number not in parents
        parents[number] = above.get(depth - 3)
        above[depth] = number
    for number in range(len(cell.nodes)):
        for child in cell.children(number) or ():
            assert parents.pop(child) == number
    assert parents == {len(cell.nodes) - 1: None}


@pytest.mark.parametrize("cell", CELLS)
def test_figure_shows_each_node_and_each_connection_once(cell: RecurrentArchitecture) -> None:
    (axes,) = drawing.figure(cell).axes
    numbers, root = range(len(cell.nodes)), len(cell.nodes) - 1
    tree = {f"{child}-{number}" for number in numbers for child in cell.children(number) or ()}
    leaves = {f"{letter}-{leaf}" for letter in "xh" for leaf in range(cell.base)}
    memory = {"c-inject", f"{cell.cell_in}-inject", f"{cell.cell_out}-c", f"{root}-h"}
    arrows = [patch.get_gid() for patch in axes.patches if isinstance(patch, FancyArrowPatch)]
    assert sorted(map(str, arrows)) == sorted(tree | leaves | memory)

    words = [label.get_text() for label in axes.texts]
    assert {word for word in words if word.isdigit()} == set(map(str, numbers))
    steps = (*cell.nodes, cell.inject)
    activations = sorted(word for word in words if word in ACTIVATIONS)
    assert activations == sorted(node.activation for node in steps)
    for combination, symbol in (("add", "+"), ("elem_mult", "×"), ("max", "max")):
        assert words.count(symbol) == sum(node.combination == combination for node in steps)
    assert words.count("$x_t$") == words.count("$h_{t-1}$") == cell.base
    assert words.count("$c_t$") == words.count("$c_{t-1}$") == words.count("$h_t$") == 1


@pytest.mark.parametrize("cell", CELLS)
def test_figure_hides_nothing(cell: RecurrentArchitecture) -> None:
    figure = drawing.figure(cell, "a title that is wider than a small cell")
    figure.draw_without_rendering()
    (axes,) = figure.axes
    boxes = [patch for patch in axes.patches if isinstance(patch, FancyBboxPatch | Circle)]
    nodes = [box.get_window_extent() for box in boxes if isinstance(box, FancyBboxPatch)]
    labels = [label.get_window_extent() for label in axes.texts if label.get_text()]
    for shown in (*nodes, *labels):
        assert shown.x0 >= 0 and shown.y0 >= 0
        assert shown.x1 <= figure.bbox.x1 and shown.y1 <= figure.bbox.y1
    assert not any(one.overlaps(other) for one, other in combinations(nodes, 2))
    assert not any(one.overlaps(other) for one, other in combinations(labels, 2))
    for patch in axes.patches:
        if isinstance(patch, FancyArrowPatch):
            assert not any(patch.get_window_extent().overlaps(label) for label in labels)
    lines = (line.get_window_extent() for line in axes.lines)
    lanes = [line for line in lines if line.width < line.height]  # the ways past other levels
    for lane in lanes:
        middle = (lane.x0 + lane.x1) / 2
        crossed = [node for node in nodes if node.x0 < middle < node.x1]
        assert not any(node.y0 + 2 < lane.y1 and lane.y0 + 2 < node.y1 for node in crossed)


def test_an_lstm_is_a_line_of_text() -> None:
    words = drawing.text(zoo.LSTM)
    assert "long short-term memory" in words and "\n" not in words
    (axes,) = drawing.figure(zoo.LSTM, "LSTM").axes
    assert [label.get_text() for label in axes.texts] == ["LSTM", words]
