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

DOTS_PER_INCH = 100

# Inches: a drawing grows with its layers, its letters do not.
PITCH = 0.56
BOX_WIDTH, BOX_HEIGHT = 2.3, 0.36
MARGIN = 0.3

INK, FAINT = "#1f2933", "#8a94a0"
FEW, MANY = (0.90, 0.94, 0.97), (0.36, 0.60, 0.78)
"""Fill of the layers with the fewest and with the most filters."""
PALETTE = ("#d1495b", "#2a7f9e", "#e08e1b", "#5b8c3a", "#7d5ba6", "#b5651d", "#1d9a8a", "#c2548f")
"""Colours of the layers' outputs, in turn."""


def text(architecture: Any) -> str:
    """Return `architecture` drawn for a terminal.

    A convolutional network is a line a layer, the image first; every output runs down a column of
    its own, with a dot in the line of each layer that reads it. Anything else is pretty JSON.
    """
    if isinstance(architecture, ConvArchitecture):
        return "\n".join(_lines(architecture))
    return json.dumps(plain(architecture), indent=2, ensure_ascii=False)


def figure(architecture: Any, title: str | None = None) -> "Figure":
    """Return `architecture` as a matplotlib figure, as large as it needs.

    A convolutional network stands upright with the image at its foot. A box names a layer's
    filter, with its shape to scale, and is the darker the more filters there are; arcs on the
    right are connections between layers; arcs on the left come from the image, where a layer
    selected no input, or lead to the classifier, where no layer reads an output.
    """
    if isinstance(architecture, ConvArchitecture):
        return _network(architecture, title)
    return _page(text(architecture), title)


def rgb(architecture: Any) -> NDArray[np.uint8]:
    """Return the figure of `architecture` as pixels, (height, width, 3)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure(architecture))
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
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    wires = ["reads", *_wires(connections(architecture))]
    for (name, *cells), wire in zip(rows, wires, strict=True):
        right = "  ".join(cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True))
        yield f"{name.ljust(widths[0])}  {right}   {wire}".rstrip()


def _wires(sources: Sequence[Sequence[int]]) -> Iterator[str]:
    """Yield the wires of each row; the output of row i runs down column i to its last reader."""
    yield "╮ image"
    last = {source: row for row, read in enumerate(sources, start=1) for source in read}
    for row, read in enumerate(sources, start=1):
        columns = ""
        for column in range(row):
            line = "─" if column >= read[0] else " "
            passing = "│" if last.get(column, 0) > row else line if column > read[0] else " "
            columns += ("●" if column in read else passing) + line
        yield columns + (f"╮ {row}" if row < len(sources) else "▶ classifier")


def _filter(layer: ConvLayer) -> str:
    return f"{layer.filter_height} × {layer.filter_width}"


def _stride(layer: ConvLayer) -> str:
    """Return the stride in words, nothing if it is 1."""
    height, width = layer.stride_height, layer.stride_width
    if height == width:
        return "" if height == 1 else str(height)
    return f"{height} × {width}"
