"""Drawings of an architecture: as text for a terminal and as a figure."""

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nasgym.architecture import plain
from nasgym.networks.wiring import IMAGE, connections
from nasgym.spaces.conv import ConvArchitecture, ConvLayer

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Edge = tuple[int, int]
"""The row that is read and the row that reads: the image is row 0, the classifier the last."""

Point = tuple[float, float]

# In inches: a figure grows with the layers, and its letters stay legible.
PITCH = 0.56
WIDTH, HEIGHT = 2.3, 0.37
MARGIN = 0.3

INK, GREY = "#1f2933", "#7b8794"
FEW, MANY = (0.94, 0.96, 0.98), (0.55, 0.72, 0.86)
"""Fill of the layers with the fewest and with the most filters."""
COLOURS = ("#2a7f9e", "#d98410", "#5b8c3a", "#7d5ba6", "#8a5a2b", "#159484", "#bd4f8a", "#c8434f")
"""Colours of the layers' numbers and outputs, in turn; the image's is grey."""


def text(architecture: Any) -> str:
    """Return `architecture` drawn for a terminal.

    A convolutional network is a line a layer, the image first; every output runs down a column of
    its own, with a dot in the line of each layer that reads it. Anything else is pretty JSON.
    """
    if isinstance(architecture, ConvArchitecture):
        return "\n".join(_lines(architecture))
    return json.dumps(plain(architecture), indent=2, ensure_ascii=False)


def figure(architecture: Any, title: str | None = None) -> "Figure":
    """Return `architecture` as a matplotlib figure, as large as it needs to be.

    A convolutional network stands on the image. A layer's box shows the shape of its filter, to
    scale, and is the darker the more filters there are. Arcs on the right connect layers; arcs on
    the left come from the image, or lead from outputs that no layer reads to the classifier.
    Anything else is a page of pretty JSON.
    """
    if isinstance(architecture, ConvArchitecture):
        return _network(architecture, title)
    return _page(text(architecture), title)


def rgb(architecture: Any) -> NDArray[np.uint8]:
    """Return the figure of `architecture` as pixels, (height, width, 3)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas: Any = FigureCanvasAgg(figure(architecture))
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


# Text -------------------------------------------------------------------------------------------


def _lines(architecture: ConvArchitecture) -> Iterator[str]:
    """Yield the lines of a network: a table of the layers, and beside it who reads what."""
    rows = [("layer", "filter", "filters", "stride"), ("image", "", "", "")]
    rows += [
        (str(number), _filter(layer), str(layer.filters), _stride(layer))
        for number, layer in enumerate(architecture.layers, start=1)
    ]
    rows.append(("classifier", "", "", ""))
    shown = 4 if any(map(_stride, architecture.layers)) else 3
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    wires = ["reads", *_wires(connections(architecture))]
    for row, wire in zip(rows, wires, strict=True):
        cells = [cell.rjust(width) for cell, width in zip(row, widths, strict=True)]
        yield "  ".join([row[0].ljust(widths[0]), *cells[1:shown], "", wire])


def _wires(sources: Sequence[Sequence[int]]) -> Iterator[str]:
    """Yield the wires of each row; the output of row i runs down column i to its last reader."""
    last = {source: row for row, read in enumerate(sources, start=1) for source in read}
    yield "╮ image"
    for row, read in enumerate(sources, start=1):
        wires = ""
        for column in range(row):
            line = "─" if column > read[0] else " "
            passing = "│" if last.get(column, 0) > row else line
            wires += "●─" if column in read else passing + line
        yield wires + (f"╮ {row}" if row < len(sources) else "▶ classifier")


def _filter(layer: ConvLayer) -> str:
    return f"{layer.filter_height} × {layer.filter_width}"


def _stride(layer: ConvLayer) -> str:
    """Return the stride in words, none if it is 1."""
    if layer.stride_height != layer.stride_width:
        return f"{layer.stride_height} × {layer.stride_width}"
    return "" if layer.stride_height == 1 else str(layer.stride_height)


# Figure -----------------------------------------------------------------------------------------


def _network(architecture: ConvArchitecture, title: str | None) -> "Figure":
    """Draw a network row by row, from the image up to the classifier."""
    sources = connections(architecture)
    classifier = len(sources)
    edges = [(source, row) for row, read in enumerate(sources, start=1) for source in read]
    arcs = [(source, row) for source, row in edges if row - source > 1]
    left = [edge for edge in arcs if edge[0] == IMAGE or edge[1] == classifier]
    right = [edge for edge in arcs if edge not in left]
    sheet, axes = _sheet(
        x=(-WIDTH / 2 - _reach(left), WIDTH / 2 + _reach(right)),
        y=(-HEIGHT / 2, PITCH * classifier + HEIGHT / 2),
        title=title,
    )
    for source, row in edges:
        if row - source == 1:
            ends = (0, source * PITCH + HEIGHT / 2), (0, row * PITCH - HEIGHT / 2)
            _draw_arrow(axes, (source, row), ends)
    _draw_arcs(axes, left, side=-1)
    _draw_arcs(axes, right, side=1)
    _draw_box(axes, IMAGE, "white", "image")
    _draw_layers(axes, architecture.layers)
    _draw_box(axes, classifier, "white", "classifier")
    return sheet


def _sheet(x: Point, y: Point, title: str | None) -> "tuple[Figure, Axes]":
    """Return a new white figure with room for `x` and `y`, and its axes, an inch to the unit."""
    from matplotlib.figure import Figure

    top = y[1] + 0.4 * bool(title)
    right = max(x[1], x[0] + 0.12 * len(title or ""))
    sheet = Figure((right - x[0] + 2 * MARGIN, top - y[0] + 2 * MARGIN), dpi=100, facecolor="white")
    axes = sheet.add_axes((0, 0, 1, 1))
    axes.set(xlim=(x[0] - MARGIN, right + MARGIN), ylim=(y[0] - MARGIN, top + MARGIN))
    axes.set_axis_off()
    _write(axes, x[0], top, title or "", size=12, weight="bold", va="top")
    return sheet, axes


def _bulge(edge: Edge) -> float:
    """Return how far the control points of an arc lie from the boxes; long arcs go round short."""
    return 0.2 + 0.16 * (edge[1] - edge[0])


def _reach(arcs: Sequence[Edge]) -> float:
    """Return how far `arcs` go out: a Bezier curve, three quarters of its control points' way."""
    return 0.75 * max(map(_bulge, arcs), default=0.0)


def _draw_arcs(axes: "Axes", arcs: Sequence[Edge], side: int) -> None:
    """Draw `arcs` on one side of the boxes, -1 left or 1 right.

    They leave from the upper half of a box and arrive at the lower half, the longest nearest to
    the middle, so that the arcs of one box do not cross.
    """
    for source, row in arcs:
        leaving = sorted(edge[1] for edge in arcs if edge[0] == source)
        arriving = sorted((edge[0] for edge in arcs if edge[1] == row), reverse=True)
        foot = source * PITCH + _port(leaving.index(row), len(leaving))
        head = row * PITCH - _port(arriving.index(source), len(arriving))
        near = side * WIDTH / 2
        far = near + side * _bulge((source, row))
        _draw_arrow(axes, (source, row), [(near, foot), (far, foot), (far, head), (near, head)])


def _port(place: int, count: int) -> float:
    """Return how far from the middle of a box the arc at `place` among `count` touches it."""
    return HEIGHT * (0.42 - 0.36 * (place + 0.5) / count)


def _draw_arrow(axes: "Axes", edge: Edge, points: Sequence[Point]) -> None:
    """Draw an arrow along a straight line, two points, or a Bezier curve, four."""
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path

    step = Path.LINETO if len(points) == 2 else Path.CURVE4
    axes.add_patch(
        FancyArrowPatch(
            path=Path(points, [Path.MOVETO] + [step] * (len(points) - 1)),
            arrowstyle="-|>,head_length=3,head_width=1.6",
            mutation_scale=1,
            linewidth=1.1,
            color=_colour(edge[0]),
            gid=f"{edge[0]}-{edge[1]}",  # names the connection in an SVG
        )
    )


def _draw_layers(axes: "Axes", layers: Sequence[ConvLayer]) -> None:
    """Draw a box for each layer: its number, the shape of its filter, and its sizes in words."""
    from matplotlib.patches import Circle, Rectangle

    counts = [layer.filters for layer in layers]
    cell = 0.26 / max(max(layer.filter_height, layer.filter_width) for layer in layers)
    for number, layer in enumerate(layers, start=1):
        y, share = number * PITCH, (layer.filters - min(counts)) / max(max(counts) - min(counts), 1)
        _draw_box(axes, number, [a + share * (b - a) for a, b in zip(FEW, MANY, strict=True)])
        axes.add_patch(Circle((-0.97, y), 0.1, color=_colour(number)))
        _write(axes, -0.97, y, str(number), size=7.5, weight="bold", color="white", ha="center")
        width, height = cell * layer.filter_width, cell * layer.filter_height
        corner = (-0.64 - width / 2, y - height / 2)
        axes.add_patch(Rectangle(corner, width, height, facecolor="white", edgecolor=INK, lw=0.8))
        stride = _stride(layer)
        _write(axes, -0.38, y + 0.06 * bool(stride), _filter(layer))
        _write(axes, -0.38, y - 0.1, stride and f"stride {stride}", size=6.5)
        _write(axes, 1.02, y, f"{layer.filters} filters", ha="right")


def _draw_box(axes: "Axes", row: int, fill: str | Sequence[float], label: str = "") -> None:
    from matplotlib.patches import FancyBboxPatch

    corner = (-WIDTH / 2, row * PITCH - HEIGHT / 2)
    style = "round,pad=0,rounding_size=0.08"
    axes.add_patch(
        FancyBboxPatch(corner, WIDTH, HEIGHT, style, facecolor=fill, edgecolor=GREY, lw=0.8)
    )
    _write(axes, 0, row * PITCH, label, ha="center")


def _colour(row: int) -> str:
    return GREY if row == IMAGE else COLOURS[(row - 1) % len(COLOURS)]


def _write(axes: "Axes", x: float, y: float, words: str, **style: Any) -> None:
    defaults = {"size": 9, "color": INK, "va": "center_baseline", "parse_math": False}
    axes.text(x, y, words, **{**defaults, **style})


def _page(words: str, title: str | None) -> "Figure":
    """Draw text as it stands."""
    rows = words.splitlines()
    sheet, axes = _sheet((0, 0.076 * max(map(len, rows))), (-0.16 * len(rows), 0), title)
    _write(axes, 0, 0, words, family="monospace", va="top", linespacing=1.28)
    return sheet
