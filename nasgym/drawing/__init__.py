"""Drawings of an architecture: as text for a terminal and as a figure."""

import json
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nasgym.drawing import conv, tree
from nasgym.drawing.sheet import page
from nasgym.spaces.conv import ConvArchitecture
from nasgym.spaces.plain import plain
from nasgym.spaces.recurrent import LSTMArchitecture, RecurrentArchitecture

if TYPE_CHECKING:
    from matplotlib.figure import Figure


MOST_DRAWN = 2000
"""Connections of a network, or nodes of a cell, that a figure has room for."""


def text(architecture: Any) -> str:
    """Return `architecture` drawn for a terminal.

    A convolutional network is a line a layer, the image first; every output runs down a column of
    its own, with a dot in the line of each layer that reads it. A recurrent cell is a tree, a line
    a node, the root first; an LSTM is one line. Anything else is pretty JSON.
    """
    match architecture:
        case ConvArchitecture():
            return conv.text(architecture)
        case RecurrentArchitecture():
            return tree.text(architecture)
        case LSTMArchitecture():
            return tree.LSTM
    return json.dumps(plain(architecture), indent=2, ensure_ascii=False)


def figure(architecture: Any, title: str | None = None) -> "Figure":
    """Return `architecture` as a matplotlib figure, as large as it needs to be.

    A convolutional network stands on the image. A layer's box shows the shape of its filter, to
    scale, and is the darker the more filters there are; boxes of other layer types have a colour
    of their own. Arcs on the right connect layers; arcs on the left come from the image, or lead
    from outputs that no layer reads to the classifier.

    A recurrent cell stands on x_t and h_{t-1}, and h_t comes out of its root. A box is a node: its
    combination below, its activation above. c_{t-1} enters a box of its own, the cell inject, and
    c_t leaves its node between combination and activation. Anything else, and what has more than
    MOST_DRAWN connections or nodes, is a page of text.
    """
    match architecture:
        case ConvArchitecture() if _connections(architecture) <= MOST_DRAWN:
            return conv.figure(architecture, title)
        case RecurrentArchitecture() if len(architecture.nodes) <= MOST_DRAWN:
            return tree.figure(architecture, title)
    return page(text(architecture), title)


def _connections(architecture: ConvArchitecture) -> int:
    return sum(max(1, len(layer.inputs)) for layer in architecture.layers)


def rgb(architecture: Any) -> NDArray[np.uint8]:
    """Return the figure of `architecture` as pixels, (height, width, 3)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas: Any = FigureCanvasAgg(figure(architecture))
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
