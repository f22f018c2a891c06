"""Drawings of architectures, as text for a terminal and as figures."""

import json
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nasgym.drawing import conv, tree
from nasgym.drawing.sheet import page
from nasgym.spaces import ARCHITECTURES, read
from nasgym.spaces.conv import ConvArchitecture
from nasgym.spaces.plain import plain
from nasgym.spaces.recurrent import LSTMArchitecture, RecurrentArchitecture

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_DRAWN = 2000
"""Maximum connections of a network, or nodes of a cell, in a figure."""


def drawable(data: Any) -> Any:
    """Return the architecture whose plain form is `data`, or `data` itself if its kind is unknown.

    The other functions of this module take either.
    """
    known = isinstance(data, dict) and data.get("kind") in ARCHITECTURES
    return read(data) if known else data


def text(architecture: Any) -> str:
    """Return `architecture` as text for a terminal.

    A convolutional network has one line per layer, the image first; each output runs down its own
    column, with a dot in the line of each layer that reads it. A recurrent cell is a tree with one
    line per node, the root first; an LSTM is one line. Anything else is indented JSON.
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
    """Return `architecture` as a matplotlib figure whose size fits it.

    A convolutional network has the image at the bottom. The box of a layer shows the shape of its
    filter, to scale; boxes with more filters are darker, and other layer types have another colour.
    Arcs on the right connect layers. Arcs on the left come from the image, or lead from outputs
    that no layer reads to the classifier.

    A recurrent cell has x_t and h_{t-1} at the bottom and h_t at the top. A box is a node, with its
    combination below and its activation above. c_{t-1} enters the box of the cell inject, and c_t
    leaves its node between combination and activation. Anything else, and any architecture with
    more than MOST_DRAWN connections or nodes, is a page of text.
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
