"""The layer types of a convolutional network: their hyper-parameters and their output.

A new type needs a frozen dataclass here, its name in LAYER_TYPES, and a function in
`nasgym/networks/layers.py`.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from reprlib import repr as brief
from typing import Any, ClassVar

from nasgym.errors import InvalidInput

Size = tuple[int, int]
"""Rows and columns."""


@dataclass(frozen=True)
class Operation:
    """The shape and cost of a layer's computation, as the wiring needs it.

    The window slides with SAME padding: the output has ceil(size / stride) rows and columns.
    """

    channels: int
    """Channels of the output."""
    window: Size = (1, 1)
    """Rows and columns of the input that one output pixel depends on."""
    stride: Size = (1, 1)
    """Rows and columns from one window to the next."""
    parameters: int = 0
    """Trainable parameters."""
    products: int = 0
    """Multiply-adds per output pixel."""


@dataclass(frozen=True)
class Layer(ABC):
    """A layer of a convolutional network: its hyper-parameters and its inputs.

    A type is a frozen dataclass with one field per hyper-parameter, a whole number from 1. A
    hyper-parameter of the same name means the same in all types.
    """

    kind: ClassVar[str]
    """Name of the type in the plain form; a convolution has none."""
    options: ClassVar[Mapping[str, tuple[int, ...]]]
    """Default options of each hyper-parameter, in the order of the decisions."""
    inputs: tuple[int, ...] = field(default=(), kw_only=True)
    """Numbers of the earlier layers that it reads, from 1; without any, it reads the image."""

    @abstractmethod
    def operation(self, channels: int) -> Operation:
        """Return the operation of the layer for an input of `channels` channels."""

    @property
    def hyper_parameters(self) -> dict[str, int]:
        """Return the hyper-parameters by name."""
        return {name: value for name, value in vars(self).items() if name != "inputs"}


@dataclass(frozen=True)
class ConvLayer(Layer):
    """Convolution without bias, then batch normalisation and ReLU (Zoph & Le 2017, section 4.1)."""

    options: ClassVar[Mapping[str, tuple[int, ...]]] = {
        "filter_height": (1, 3, 5, 7),
        "filter_width": (1, 3, 5, 7),
        "stride_height": (1,),
        "stride_width": (1,),
        "filters": (24, 36, 48, 64),
    }

    filter_height: int
    """Rows of the filter."""
    filter_width: int
    """Columns of the filter."""
    filters: int
    """Number of filters, which is the number of output channels."""
    stride_height: int = 1
    """Rows from one window to the next."""
    stride_width: int = 1
    """Columns from one window to the next."""

    def operation(self, channels: int) -> Operation:
        """Return the convolution with batch normalisation, which has two parameters per channel."""
        weights = self.filter_height * self.filter_width * channels * self.filters
        return Operation(
            channels=self.filters,
            window=(self.filter_height, self.filter_width),
            stride=(self.stride_height, self.stride_width),
            parameters=weights + 2 * self.filters,
            products=weights,
        )


@dataclass(frozen=True)
class PoolLayer(Layer):
    """Pooling: reduces a square window of each channel to one number."""

    options: ClassVar[Mapping[str, tuple[int, ...]]] = {"pool_size": (2, 3), "pool_stride": (1, 2)}

    pool_size: int
    """Rows and columns of the window."""
    pool_stride: int
    """Rows and columns from one window to the next."""

    def operation(self, channels: int) -> Operation:
        """Return the pooling; it has no parameters."""
        size, stride = self.pool_size, self.pool_stride
        return Operation(channels, window=(size, size), stride=(stride, stride))


@dataclass(frozen=True)
class MaxPoolLayer(PoolLayer):
    """Max pooling: the largest value in a square window of each channel."""

    kind: ClassVar[str] = "max_pool"


@dataclass(frozen=True)
class AveragePoolLayer(PoolLayer):
    """Average pooling: the mean of a square window of each channel; padding does not count."""

    kind: ClassVar[str] = "average_pool"


@dataclass(frozen=True)
class BatchNormLayer(Layer):
    """Batch normalisation alone, with a scale and a shift per channel."""

    kind: ClassVar[str] = "batch_norm"
    options: ClassVar[Mapping[str, tuple[int, ...]]] = {}

    def operation(self, channels: int) -> Operation:
        """Return the normalisation."""
        return Operation(channels, parameters=2 * channels)


@dataclass(frozen=True)
class LocalContrastNormLayer(Layer):
    """Local contrast normalisation: first subtractive, then divisive (Jarrett et al. 2009).

    Subtracts the weighted mean of the window around each pixel, over all channels. Then divides by
    the weighted standard deviation in that window, or by its mean over the map if that is larger.
    The window is the authors' 9 x 9 Gaussian; its standard deviation, which they do not state, is
    two pixels.
    """

    kind: ClassVar[str] = "local_contrast_norm"
    options: ClassVar[Mapping[str, tuple[int, ...]]] = {}
    WINDOW: ClassVar[int] = 9
    """Rows and columns of the window."""
    DEVIATION: ClassVar[float] = 2.0
    """Standard deviation of the Gaussian, in pixels."""

    def operation(self, channels: int) -> Operation:
        """Return the normalisation; it sums the window twice, for the mean and the deviation."""
        area = self.WINDOW**2
        return Operation(channels, window=(self.WINDOW, self.WINDOW), products=2 * area)


@dataclass(frozen=True)
class IdentityLayer(Layer):
    """Returns its input unchanged; joins several inputs into one."""

    kind: ClassVar[str] = "identity"
    options: ClassVar[Mapping[str, tuple[int, ...]]] = {}

    def operation(self, channels: int) -> Operation:
        """Return the operation that does nothing."""
        return Operation(channels)


LAYER_TYPES: Mapping[str, type[Layer]] = {
    "conv": ConvLayer,
    **{
        layer.kind: layer
        for layer in (
            MaxPoolLayer,
            AveragePoolLayer,
            BatchNormLayer,
            LocalContrastNormLayer,
            IdentityLayer,
        )
    },
}
"""Layer types by name."""


def layer_type(layer: Layer) -> str:
    """Return the name of the type of `layer`."""
    return getattr(layer, "kind", "conv")


MAX_LAYERS = 2000
"""Largest number of layers that `read_layers` accepts; the deepest published network has 1,202."""

MAX_HYPER_PARAMETER = 2**20
"""Largest hyper-parameter that `read_layers` accepts."""


def read_layers(data: Sequence[Mapping[str, Any]]) -> tuple[Layer, ...]:
    """Return the layers with the plain forms `data`; raise ValueError for absurd sizes."""
    if len(data) > MAX_LAYERS:
        raise InvalidInput(f"a network can have at most {MAX_LAYERS:,} layers, not {len(data):,}")
    layers = tuple(map(read_layer, data))
    for number, layer in enumerate(layers, start=1):
        for name, value in layer.hyper_parameters.items():
            if not isinstance(value, int) or value > MAX_HYPER_PARAMETER:
                raise InvalidInput(
                    f"layer {number}: {name} must be a whole number from 1 to "
                    f"{MAX_HYPER_PARAMETER:,}, not {brief(value)}"
                )
    return layers


def read_layer(data: Mapping[str, Any]) -> Layer:
    """Return the layer with the plain form `data`; without a kind it is a convolution."""
    values = {**data, "inputs": tuple(data["inputs"])}
    kind = values.pop("kind", "conv")
    if kind not in LAYER_TYPES:
        raise InvalidInput(f"layer type {kind!r} is none of {', '.join(LAYER_TYPES)}")
    return LAYER_TYPES[kind](**values)
