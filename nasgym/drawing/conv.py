"""Drawings of convolutional networks: the layers and their connections."""

from collections.abc import Iterator, Sequence
from itertools import compress
from typing import TYPE_CHECKING

from nasgym.drawing.sheet import COLOURS, GREY, INK, arrow, sheet, write
from nasgym.networks.wiring import IMAGE, connections
from nasgym.spaces.conv import ConvArchitecture
from nasgym.spaces.layers import ConvLayer, Layer, layer_type

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Edge = tuple[int, int]
"""(source row, reading row); the image is row 0, the classifier the last row."""

# In inches: a figure grows with the layers, so its text stays legible.
PITCH = 0.56
WIDTH, HEIGHT = 2.3, 0.37

FEW, MANY = (0.94, 0.96, 0.98), (0.55, 0.72, 0.86)
"""Fill of the convolutions with the fewest and with the most filters."""
OTHER = (0.97, 0.94, 0.87)
"""Fill of all other layers."""


# Text -------------------------------------------------------------------------------------------


def text(architecture: ConvArchitecture) -> str:
    """Return a network as a table of the layers with their connections."""
    return "\n".join(_lines(architecture))


def _lines(architecture: ConvArchitecture) -> Iterator[str]:
    """Yield the lines of the table."""
    rows = [("layer", "type", "filter", "filters", "stride"), ("image", *[""] * 4)]
    rows += [
        (str(number), _type(layer), _window(layer), _filters(layer), _stride(layer))
        for number, layer in enumerate(architecture.layers, start=1)
    ]
    rows.append(("classifier", *[""] * 4))
    typed = any(not isinstance(layer, ConvLayer) for layer in architecture.layers)
    strided = any(map(_stride, architecture.layers))
    shown = [True, typed, True, True, strided]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    wires = ["reads", *_wires(connections(architecture))]
    for row, wire in zip(rows, wires, strict=True):
        cells = [row[0].ljust(widths[0]), row[1].ljust(widths[1])]
        cells += [cell.rjust(width) for cell, width in zip(row[2:], widths[2:], strict=True)]
        yield "  ".join([*compress(cells, shown), "", wire])
    if architecture.learning_rate is not None:
        yield f"learning rate {architecture.learning_rate:g}"


def _wires(sources: Sequence[Sequence[int]]) -> Iterator[str]:
    """Yield the connections of each row; output i runs down column i to its last reader."""
    last = {source: row for row, read in enumerate(sources, start=1) for source in read}
    yield "╮ image"
    for row, read in enumerate(sources, start=1):
        wires = ""
        for column in range(row):
            line = "─" if column > read[0] else " "
            passing = "│" if last.get(column, 0) > row else line
            wires += "●─" if column in read else passing + line
        yield wires + (f"╮ {row}" if row < len(sources) else "▶ classifier")


def _type(layer: Layer) -> str:
    return layer_type(layer).replace("_", " ")


def _window(layer: Layer) -> str:
    """Return the shape of the filter or pooling window, empty if the layer has no choice of it."""
    rows, columns = layer.operation(channels=1).window
    return f"{rows} × {columns}" if layer.hyper_parameters else ""


def _filters(layer: Layer) -> str:
    """Return the number of filters, empty if the layer has none."""
    return str(layer.filters) if isinstance(layer, ConvLayer) else ""


def _stride(layer: Layer) -> str:
    """Return the stride, empty if it is 1."""
    rows, columns = layer.operation(channels=1).stride
    if rows != columns:
        return f"{rows} × {columns}"
    return "" if rows == 1 else str(rows)


# Figure -----------------------------------------------------------------------------------------


def figure(architecture: ConvArchitecture, title: str | None) -> "Figure":
    """Return a drawing with one row per layer, from the image up to the classifier."""
    sources, rate = connections(architecture), architecture.learning_rate
    classifier = len(sources)
    edges = [(source, row) for row, read in enumerate(sources, start=1) for source in read]
    arcs = [(source, row) for source, row in edges if row - source > 1]
    left = [edge for edge in arcs if edge[0] == IMAGE or edge[1] == classifier]
    right = [edge for edge in arcs if edge not in left]
    drawn, axes = sheet(
        x=(-WIDTH / 2 - _reach(left), WIDTH / 2 + _reach(right)),
        y=(-HEIGHT / 2 - 0.25 * bool(rate), PITCH * classifier + HEIGHT / 2),
        title=title,
    )
    for source, row in edges:
        if row - source == 1:
            ends = (0, source * PITCH + HEIGHT / 2), (0, row * PITCH - HEIGHT / 2)
            arrow(axes, ends, _colour(source), name=f"{source}-{row}")
    _draw_arcs(axes, left, side=-1)
    _draw_arcs(axes, right, side=1)
    _draw_box(axes, IMAGE, "white", "image")
    _draw_layers(axes, architecture.layers)
    _draw_box(axes, classifier, "white", "classifier")
    write(axes, 0, -HEIGHT / 2 - 0.2, f"learning rate {rate:g}" if rate else "", ha="center")
    return drawn


def _bulge(edge: Edge) -> float:
    """Return the distance of an arc's control points from the boxes; longer arcs go further out."""
    return 0.2 + 0.16 * (edge[1] - edge[0])


def _reach(arcs: Sequence[Edge]) -> float:
    """Return the width of `arcs`; a Bezier curve goes 3/4 of the way to its control points."""
    return 0.75 * max(map(_bulge, arcs), default=0.0)


def _draw_arcs(axes: "Axes", arcs: Sequence[Edge], side: int) -> None:
    """Draw `arcs` on one side of the boxes, -1 left or 1 right.

    They leave from the upper half of a box and arrive at the lower half. The longest arcs are
    nearest to the middle, so the arcs of one box do not cross.
    """
    for source, row in arcs:
        leaving = sorted(edge[1] for edge in arcs if edge[0] == source)
        arriving = sorted((edge[0] for edge in arcs if edge[1] == row), reverse=True)
        foot = source * PITCH + _port(leaving.index(row), len(leaving))
        head = row * PITCH - _port(arriving.index(source), len(arriving))
        near = side * WIDTH / 2
        far = near + side * _bulge((source, row))
        path = [(near, foot), (far, foot), (far, head), (near, head)]
        arrow(axes, path, _colour(source), name=f"{source}-{row}")


def _port(place: int, count: int) -> float:
    """Return the distance from the middle of a box where arc `place` of `count` touches it."""
    return HEIGHT * (0.42 - 0.36 * (place + 0.5) / count)


def _draw_layers(axes: "Axes", layers: Sequence[Layer]) -> None:
    """Draw a box for each layer: its number, the shape of its filter, and its sizes as text."""
    from matplotlib.patches import Circle, Rectangle

    windows = [layer.operation(channels=1).window for layer in layers if _window(layer)]
    cell = 0.26 / max(map(max, windows), default=1)
    for number, (layer, fill) in enumerate(zip(layers, _fills(layers), strict=True), start=1):
        y = number * PITCH
        _draw_box(axes, number, fill)
        axes.add_patch(Circle((-0.97, y), 0.1, color=_colour(number)))
        write(axes, -0.97, y, str(number), size=7.5, weight="bold", color="white", ha="center")
        if window := _window(layer):
            rows, columns = layer.operation(channels=1).window
            width, height = cell * columns, cell * rows
            corner = (-0.64 - width / 2, y - height / 2)
            axes.add_patch(
                Rectangle(corner, width, height, facecolor="white", edgecolor=INK, lw=0.8)
            )
        stride = _stride(layer)
        write(axes, -0.38, y + 0.06 * bool(stride), window)
        write(axes, -0.38, y - 0.1, stride and f"stride {stride}", size=6.5)
        filters = _filters(layer)
        write(axes, 1.02, y, f"{filters} filters" if filters else _type(layer), ha="right")


def _fills(layers: Sequence[Layer]) -> Iterator[Sequence[float]]:
    """Yield the fill of each layer's box; more filters are darker."""
    counts = [layer.filters for layer in layers if isinstance(layer, ConvLayer)]
    for layer in layers:
        if isinstance(layer, ConvLayer):
            share = (layer.filters - min(counts)) / max(max(counts) - min(counts), 1)
            yield [a + share * (b - a) for a, b in zip(FEW, MANY, strict=True)]
        else:
            yield OTHER


def _draw_box(axes: "Axes", row: int, fill: str | Sequence[float], label: str = "") -> None:
    from matplotlib.patches import FancyBboxPatch

    corner = (-WIDTH / 2, row * PITCH - HEIGHT / 2)
    style = "round,pad=0,rounding_size=0.08"
    axes.add_patch(
        FancyBboxPatch(corner, WIDTH, HEIGHT, style, facecolor=fill, edgecolor=GREY, lw=0.8)
    )
    write(axes, 0, row * PITCH, label, ha="center")


def _colour(row: int) -> str:
    return GREY if row == IMAGE else COLOURS[(row - 1) % len(COLOURS)]
