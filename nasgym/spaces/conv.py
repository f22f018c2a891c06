"""Convolutional networks with skip connections: the architecture and its search space."""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class ConvLayer:
    """One convolution, batch normalisation and ReLU, and where its input comes from."""

    filter_height: int
    """Rows of the filter."""
    filter_width: int
    """Columns of the filter."""
    filters: int
    """Number of filters: the channels of the layer's output."""
    stride_height: int = 1
    """Rows from one output to the next."""
    stride_width: int = 1
    """Columns from one output to the next."""
    inputs: tuple[int, ...] = ()
    """Numbers of the earlier layers it reads, from 1; none means that it reads the image."""


@dataclass(frozen=True)
class ConvArchitecture:
    """A convolutional network: its layers in order, layer 1 nearest to the image."""

    kind: ClassVar[str] = "conv"

    layers: tuple[ConvLayer, ...]
    """The layers; layer i is `layers[i - 1]`."""
