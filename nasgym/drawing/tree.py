"""Drawings of recurrent cells: the tree of nodes and the path of the memory."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from nasgym.drawing.sheet import COLOURS, GREY, INK, arrow, sheet, write
from nasgym.spaces.recurrent import Node, RecurrentArchitecture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# In inches: a figure grows with the leaves, so its text stays legible.
WIDTH, HALF = 1.0, 0.25
"""Size of a box: `HALF` for the combination, and the same above it for the activation."""
PITCH, RISE = 1.14, 1.04
"""Distance between leaves, and between levels of the tree."""
INJECTED = 2 * HALF + 0.24
"""Room above a node for the box of the cell inject."""
MEMORY = 0.5
"""Room beside a box for the arrow of c_t or c_{t-1} and its name."""
STEM = 0.34
"""Length of the arrows of inputs and outputs."""

SYMBOLS = {"add": "+", "elem_mult": "×", "max": "max"}
FILLS = {
    "identity": "white",
    "tanh": "#dcebf5",
    "sigmoid": "#fbe8cd",
    "relu": "#dfeed6",
    "sin": "#e9e1f3",
}
REMEMBERED = COLOURS[-1]
"""Colour of c_{t-1}, of the box it enters, and of c_t."""


LSTM = "a long short-term memory: input, forget and output gates, with weights of their own each"
"""The LSTM as text; it has no tree in the search space."""

# Text -------------------------------------------------------------------------------------------


def text(cell: RecurrentArchitecture) -> str:
    """Return a cell as a table of the nodes, the root first, each above its children."""
    rows = [("node", "combination", "activation", "reads", "memory"), *_rows(cell)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    padded = ([part.ljust(width) for part, width in zip(row, widths, strict=True)] for row in rows)
    return "\n".join("  ".join(parts).rstrip() for parts in padded)


def _rows(cell: RecurrentArchitecture) -> Iterator[tuple[str, ...]]:
    """Yield the row of each node, with its branches in the first column."""
    for number, branches in _branches(cell, len(cell.nodes) - 1, "", ""):
        node, children = cell.nodes[number], cell.children(number)
        reads = ", ".join(map(str, children)) if children else "x, h"
        notes = []
        if number == cell.cell_out:
            notes.append("combined, it is c_t")
        if number == cell.cell_in:
            notes.append(f"then {cell.inject.combination} c_(t-1), {cell.inject.activation}")
        if number == len(cell.nodes) - 1:
            notes.append("its output is h_t")
        yield branches, node.combination, node.activation, reads, "; ".join(notes)


def _branches(
    cell: RecurrentArchitecture, number: int, first: str, further: str
) -> Iterator[tuple[int, str]]:
    """Yield `number` and all nodes below it with their branches; `first` is its own branch."""
    yield number, f"{first}{number}"
    if children := cell.children(number):
        yield from _branches(cell, children[0], f"{further}├─ ", f"{further}│  ")
        yield from _branches(cell, children[1], f"{further}└─ ", f"{further}   ")


# Figure -----------------------------------------------------------------------------------------


def figure(cell: RecurrentArchitecture, title: str | None) -> "Figure":
    """Return a drawing of the tree, from x_t and h_{t-1} below the leaves up to h_t.

    A box is a node, with its combination below and its activation above; c_t leaves between them.
    The box that c_{t-1} enters is the cell inject.
    """
    places = _places(cell)
    root, columns = len(cell.nodes) - 1, [x for x, _ in places]
    (top_x, top_y), side = places[root], WIDTH / 2
    head = top_y + 2 * HALF + INJECTED * (cell.cell_in == root)
    drawn, axes = sheet(
        x=(
            min(*columns, columns[cell.cell_in] - MEMORY) - side,
            max(*columns, columns[cell.cell_out] + MEMORY) + side,
        ),
        y=(-STEM - 0.22, head + STEM + 0.2),
        title=title,
    )
    for number in range(len(cell.nodes)):
        _draw_reads(axes, cell, places, number)
    _draw_memory(axes, cell, places)
    for number, node in enumerate(cell.nodes):
        x, y = places[number]
        _draw_box(axes, x, y, node, GREY)
        _draw_number(axes, x, y, number)
    arrow(axes, [(top_x, head), (top_x, head + STEM)], INK, name=f"{root}-h")
    _write_math(axes, top_x, head + STEM + 0.12, "h_t")
    return drawn


def _places(cell: RecurrentArchitecture) -> list[tuple[float, float]]:
    """Return the middle of each node's lower edge: leaves in a row, parents above their children.

    The leaves where c_t leaves or c_{t-1} enters have more room beside them.
    """
    order = [number for number, _ in _branches(cell, len(cell.nodes) - 1, "", "")]
    columns, levels, right = [0.0] * len(order), [0] * len(order), 0.0
    for leaf in (number for number in order if number < cell.base):
        columns[leaf] = right + MEMORY * (leaf == cell.cell_in)
        right = columns[leaf] + PITCH + MEMORY * (leaf == cell.cell_out)
    for number in range(cell.base, len(order)):  # children have smaller numbers
        one, other = cell.children(number) or (0, 0)
        columns[number] = (columns[one] + columns[other]) / 2
        levels[number] = 1 + max(levels[one], levels[other])
    heights = [RISE * level + INJECTED * (level > levels[cell.cell_in]) for level in levels]
    return list(zip(columns, heights, strict=True))


def _draw_reads(
    axes: "Axes", cell: RecurrentArchitecture, places: list[tuple[float, float]], number: int
) -> None:
    """Draw the inputs of a node: x_t and h_{t-1}, or its children's outputs."""
    x, y = places[number]
    ports = (x - WIDTH / 4, x + WIDTH / 4)
    children = cell.children(number)
    if children is None:
        for port, letter, name in zip(ports, "xh", ("x_t", "h_{t-1}"), strict=True):
            arrow(axes, [(port, y - STEM), (port, y)], GREY, name=f"{letter}-{number}")
            _write_math(axes, port, y - STEM - 0.14, name)
        return
    for port, child in zip(ports, children, strict=True):
        column, foot = places[child]
        foot += 2 * HALF + INJECTED * (child == cell.cell_in)
        bend = max(foot, y - RISE + 2 * HALF)
        axes.plot([column] * 2, [foot, bend], color=INK, lw=1.1)  # past the levels between
        middle = (bend + y) / 2
        path = [(column, bend), (column, middle), (port, middle), (port, y)]
        arrow(axes, path, INK, name=f"{child}-{number}")


def _draw_memory(
    axes: "Axes", cell: RecurrentArchitecture, places: list[tuple[float, float]]
) -> None:
    """Draw the box of the cell inject above its node, c_{t-1} into it, and c_t out of its node."""
    x, y = places[cell.cell_in]
    foot = y + INJECTED
    arrow(axes, [(x, y + 2 * HALF), (x, foot)], INK, name=f"{cell.cell_in}-inject")
    _draw_box(axes, x, foot, cell.inject, REMEMBERED)
    left = x - WIDTH / 2
    arrow(
        axes, [(left - 0.25, foot + HALF / 2), (left, foot + HALF / 2)], REMEMBERED, name="c-inject"
    )
    _write_math(axes, left - 0.27, foot + HALF / 2, "c_{t-1}", color=REMEMBERED, ha="right")
    x, y = places[cell.cell_out]
    right, between = x + WIDTH / 2, y + HALF
    arrow(axes, [(right, between), (right + 0.25, between)], REMEMBERED, name=f"{cell.cell_out}-c")
    _write_math(axes, right + 0.29, between, "c_t", color=REMEMBERED, ha="left")


def _draw_box(axes: "Axes", x: float, y: float, node: Node, edge: str) -> None:
    """Draw a box on (x, y): the combination below, the activation above."""
    from matplotlib.patches import FancyBboxPatch

    fill = FILLS[node.activation]
    style = "round,pad=0,rounding_size=0.08"
    axes.add_patch(
        FancyBboxPatch(
            (x - WIDTH / 2, y), WIDTH, 2 * HALF, style, facecolor=fill, edgecolor=edge, lw=0.9
        )
    )
    axes.plot([x - 0.2, x + WIDTH / 2], [y + HALF] * 2, color=edge, lw=0.6)
    colour = GREY if node.activation == "identity" else INK
    write(axes, x + 0.14, y + 1.5 * HALF, node.activation, ha="center", color=colour)
    symbol = SYMBOLS[node.combination]
    size = 9 if len(symbol) > 1 else 13
    write(axes, x + 0.14, y + HALF / 2, symbol, ha="center", va="center", size=size)


def _draw_number(axes: "Axes", x: float, y: float, number: int) -> None:
    from matplotlib.patches import Circle

    axes.add_patch(Circle((x - 0.34, y + HALF), 0.1, color=INK))
    style = {"size": 7.5, "weight": "bold", "color": "white", "ha": "center"}
    write(axes, x - 0.34, y + HALF, str(number), **style)


def _write_math(axes: "Axes", x: float, y: float, formula: str, **style: str) -> None:
    style = {"ha": "center", "va": "center", **style}
    write(axes, x, y, f"${formula}$", parse_math=True, size=10, **style)
