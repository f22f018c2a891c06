"""The layer types of a convolutional network: what there is to choose, and what comes out.

A type is one frozen dataclass here, named in LAYER_TYPES, and one function in
`nasgym/networks/layers.py`; nothing else changes for a new one.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from reprlib import repr as brief
from typing import Any, ClassVar

Size = tuple[int, int]
"""Rows and columns."""


@dataclass(frozen=True)
class Operation:
    """What a layer does to the maps it reads: all that wiring has to know of it.

    Its window slides with SAME padding: the output has ceil(size / stride) rows and columns.
    """

    channels: int
    """Channels of the output."""
    window: Size = (1, 1)
    """Rows and columns that a pixel of the output is made of."""
    stride: Size = (1, 1)
    """Rows and columns from one window to the next."""
    parameters: int = 0
    """Trainable parameters."""
    products: int = 0
    """Multiplications, each with an addition, in each pixel of the output."""


@dataclass(frozen=True)
class Layer(ABC):
    """A layer of a convolutional network: its hyper-parameters, and where its input comes from.

    A type is a frozen dataclass with a field for each hyper-parameter, whole numbers from 1.
    Hyper-parameters of one name mean the same in every type that has them.
    """

    kind: ClassVar[str]
    """The type's name, in strings and in the plain form; a layer without one is a convolution."""
    options: ClassVar[Mapping[str, tuple[int, ...]]]
    """The usual options of each hyper-parameter, in the order in which they are chosen."""
    inputs: tuple[int, ...] = field(default=(), kw_only=True)
    """Numbers of the earlier layers it reads, from 1; none means that it reads the image."""

    @abstractmethod
    def operation(self, channels: int) -> Operation:
        """Return what the layer does to an input of `channels` channels."""

    @property
    def hyper_parameters(self) -> dict[str, int]:
        """Return everything about the layer but its type and where its input comes from."""
        return {name: value for name, value in vars(self).items() if name != "inputs"}


@dataclass(frozen=True)
class ConvLayer(Layer):
    """A convolution without bias, batch normalisation and ReLU (Zoph & Le 2017, section 4.1)."""

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
    """Number of filters: the channels of the layer's output."""
    stride_height: int = 1
    """Rows from one output to the next."""
    stride_width: int = 1
    """Columns from one output to the next."""

    def operation(self, channels: int) -> Operation:
        """Return the convolution; batch normalisation has two parameters a channel more."""
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
    """Pooling: a square window of each channel becomes one number."""

    options: ClassVar[Mapping[str, tuple[int, ...]]] = {"pool_size": (2, 3), "pool_stride": (1, 2)}

    pool_size: int
    """Rows and columns of the window."""
    pool_stride: int
    """Rows and columns from one window to the next."""

    def operation(self, channels: int) -> Operation:
        """Return the pooling, which has no parameters."""
        size, stride = self.pool_size, self.pool_stride
        return Operation(channels, window=(size, size), stride=(stride, stride))


@dataclass(frozen=True)
class MaxPoolLayer(PoolLayer):
    """Max pooling: the largest value in a square window, channel by channel."""

    kind: ClassVar[str] = "max_pool"


@dataclass(frozen=True)
class AveragePoolLayer(PoolLayer):
    """Average pooling: the mean of a square window, without what lies outside of the map."""

    kind: ClassVar[str] = "average_pool"


@dataclass(frozen=True)
class BatchNormLayer(Layer):
    """Batch normalisation by itself, with a scale and a shift for each channel."""

    kind: ClassVar[str] = "batch_norm"
    options: ClassVar[Mapping[str, tuple[int, ...]]] = {}

    def operation(self, channels: int) -> Operation:
        """Return the normalisation."""
        return Operation(channels, parameters=2 * channels)


@dataclass(frozen=True)
class LocalContrastNormLayer(Layer):
    """Local contrast normalisation: first subtractive, then divisive (Jarrett et al. 2009).

    Each pixel loses the weighted mean of the window around it, over all channels, and is divided
    by the weighted standard deviation there, but by no less than the mean of these over the map.
    The window is their 9 x 9 Gaussian, two pixels its standard deviation (they name none).
    """

    kind: ClassVar[str] = "local_contrast_norm"
    options: ClassVar[Mapping[str, tuple[int, ...]]] = {}
    WINDOW: ClassVar[int] = 9
    DEVIATION: ClassVar[float] = 2.0

    def operation(self, channels: int) -> Operation:
        """Return the normalisation: the window is summed once for the mean, once for the rest."""
        area = self.WINDOW**2
        return Operation(channels, window=(self.WINDOW, self.WINDOW), products=2 * area)


@dataclass(frozen=True)
class IdentityLayer(Layer):
    """Its input, unchanged: several inputs come out as one."""

    kind: ClassVar[str] = "identity"
    options: ClassVar[Mapping[str, tuple[int, ...]]] = {}

    def operation(self, channels: int) -> Operation:
        """Return what does nothing."""
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
"""The layer types by name."""


def layer_type(layer: Layer) -> str:
    """Return the name of the type of `layer`."""
    return getattr(layer, "kind", "conv")


MOST_LAYERS = 2000
"""Layers of a network that is read: the deepest published ones have 1,202."""

LARGEST = 2**20
"""Largest hyper-parameter of a layer that is read."""


def read_layers(data: Sequence[Mapping[str, Any]]) -> tuple[Layer, ...]:
    """Return the layers whose plain forms are `data`; ValueError for more than can be meant."""
    if len(data) > MOST_LAYERS:
        raise ValueError(f"{len(data):,} layers are too many: {MOST_LAYERS:,} are the most")
    layers = tuple(map(read_layer, data))
    for number, layer in enumerate(layers, start=1):
        for name, value in layer.hyper_parameters.items():
            if not isinstance(value, int) or value > LARGEST:
                raise ValueError(
                    f"layer {number}: {name} must be a whole number from 1, at most {LARGEST:,}, "
                    f"not {brief(value)}"
                )
    return layers


def read_layer(data: Mapping[str, Any]) -> Layer:
    """Return the layer whose plain form is `data`; one without a kind is a convolution."""
    values = {**data, "inputs": tuple(data["inputs"])}
    kind = values.pop("kind", "conv")
    if kind not in LAYER_TYPES:
        raise ValueError(f"layer type {kind!r} is none of {', '.join(LAYER_TYPES)}")
    return LAYER_TYPES[kind](**values)
