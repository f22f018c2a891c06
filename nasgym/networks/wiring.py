"""The wiring of a convolutional network: connections and sizes, computed without building it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod

from nasgym.errors import InvalidInput
from nasgym.spaces.conv import ConvArchitecture
from nasgym.spaces.layers import Layer, Operation, Size

IMAGE = 0
"""Number of the image among the sources of a layer; layers are numbered from 1."""

MAX_CACHED = 256
"""Number of wirings that `wire` remembers; one of 15 layers takes about 10 KB."""


@dataclass(frozen=True)
class LayerWiring:
    """The inputs and sizes of one layer."""

    sources: tuple[int, ...]
    """Numbers of the outputs that the layer reads, joined along the channels in this order."""
    in_channels: int
    """Total channels of the sources."""
    in_size: Size
    """Size of the largest source; the others are padded to it with zeros at the bottom and right
    (rule 3)."""
    padding: Size
    """SAME padding: rows added at the top and at the bottom, columns added left and right."""
    uneven: Size
    """Extra row at the bottom and extra column at the right, 1 where the padding is uneven."""
    size: Size
    """Output size: the size of the largest source divided by the stride, rounded up."""
    operation: Operation
    """The operation that the layer applies."""


@dataclass(frozen=True)
class Wiring:
    """All connections and sizes of a network for one image shape."""

    layers: tuple[LayerWiring, ...]
    """The layers; layer i is `layers[i - 1]`."""
    sources: tuple[int, ...]
    """Numbers of the layers that the classifier reads."""
    features: int
    """Channels that the classifier reads."""
    size: Size
    """Size of the largest map that the classifier reads; the others are padded to it (rule 3)."""


def connections(architecture: ConvArchitecture) -> tuple[tuple[int, ...], ...]:
    """Return the source numbers of each layer and, as the last item, those of the classifier.

    A layer without inputs reads the image, number 0 (rule 1). The classifier reads every layer
    that no other layer reads (rule 2) (Zoph & Le 2017, section 3.3). A skip connection cannot
    start at the image. Raises ValueError, in one line, if the architecture cannot be wired.
    """
    layers = architecture.layers
    if not layers:
        raise InvalidInput("an architecture needs at least one layer")
    for number, layer in enumerate(layers, start=1):
        _check(number, layer)
    sources = [tuple(sorted(layer.inputs)) or (IMAGE,) for layer in layers]
    consumed = {source for each in sources for source in each}
    loose_ends = tuple(number for number in range(1, len(layers) + 1) if number not in consumed)
    return (*sources, loose_ends)


def wire(architecture: ConvArchitecture, input_shape: Sequence[int] = (3, 32, 32)) -> Wiring:
    """Return the connections and sizes of the network for images of (channels, height, width).

    Recent wirings are cached, because costs, building and metrics all ask for the same one.
    Raises ValueError, in one line, for an invalid architecture or shape.
    """
    if len(input_shape) != 3 or not all(map(_is_count, input_shape)):
        raise InvalidInput(
            f"input_shape must be (channels, height, width), whole numbers from 1, "
            f"not {tuple(input_shape)}"
        )
    channels, height, width = input_shape
    return _wire(_SameObject(architecture), channels, height, width)


class _SameObject:
    """A cache key that is equal only for the same architecture object.

    Equality would not do: 1, 1.0 and True are equal, and only 1 is a valid size.
    """

    def __init__(self, architecture: ConvArchitecture) -> None:
        self.architecture = architecture

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _SameObject) and self.architecture is other.architecture

    def __hash__(self) -> int:
        return id(self.architecture)


@lru_cache(MAX_CACHED)
def _wire(key: _SameObject, channels: int, height: int, width: int) -> Wiring:
    *sources_of_layers, loose_ends = connections(key.architecture)
    depths, sizes, layers = [channels], [(height, width)], []
    for layer, sources in zip(key.architecture.layers, sources_of_layers, strict=True):
        depth, size = sum(depths[i] for i in sources), _largest(sizes[i] for i in sources)
        wired = _wire_layer(layer, sources, depth, size)
        layers.append(wired)
        depths.append(wired.operation.channels)
        sizes.append(wired.size)
    return Wiring(
        layers=tuple(layers),
        sources=loose_ends,
        features=sum(depths[i] for i in loose_ends),
        size=_largest(sizes[i] for i in loose_ends),
    )


def parameters(
    architecture: ConvArchitecture, input_shape: Sequence[int] = (3, 32, 32), outputs: int = 10
) -> int:
    """Return the number of trainable parameters.

    Counts the weights of convolutions, two numbers per channel for batch normalisation, and the
    weights and biases of the linear classifier.
    """
    check_outputs(outputs)
    wiring = wire(architecture, input_shape)
    classifier = (wiring.features + 1) * outputs
    return sum(layer.operation.parameters for layer in wiring.layers) + classifier


def flops(
    architecture: ConvArchitecture, input_shape: Sequence[int] = (3, 32, 32), outputs: int = 10
) -> int:
    """Return the floating-point operations of one forward pass of one image.

    Only weighted sums count: convolutions, the window of local contrast normalisation and the
    linear classifier. A multiplication with its addition counts as two, and padding zeros count
    like pixels. `torch.utils.flop_counter` returns the same number.
    """
    check_outputs(outputs)
    wiring = wire(architecture, input_shape)
    products = sum(layer.operation.products * prod(layer.size) for layer in wiring.layers)
    return 2 * (products + wiring.features * outputs)


def check_outputs(outputs: int) -> None:
    """Raise ValueError, in one line, unless `outputs` is a valid number of classes."""
    if not _is_count(outputs):
        raise InvalidInput(f"outputs must be a whole number from 1, not {outputs!r}")


def _check(number: int, layer: Layer) -> None:
    """Raise ValueError for an invalid hyper-parameter or input of layer `number`."""
    for name, value in layer.hyper_parameters.items():
        if not _is_count(value):
            raise InvalidInput(
                f"layer {number}: {name} must be a whole number from 1, not {value!r}"
            )
    for source in layer.inputs:
        if not _is_count(source) or source >= number:
            raise InvalidInput(
                f"layer {number} reads {source!r}: its inputs must be numbers of earlier layers"
            )
    if len(set(layer.inputs)) < len(layer.inputs):
        raise InvalidInput(f"layer {number} reads a layer twice: its inputs are {layer.inputs}")


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 1


def _wire_layer(layer: Layer, sources: tuple[int, ...], depth: int, size: Size) -> LayerWiring:
    """Return the wiring of a layer; its sources have `depth` channels, the largest has `size`."""
    operation = layer.operation(depth)
    (rows, top, more_rows), (columns, left, more_columns) = map(
        _same, size, operation.window, operation.stride
    )
    return LayerWiring(
        sources=sources,
        in_channels=depth,
        in_size=size,
        padding=(top, left),
        uneven=(more_rows, more_columns),
        size=(rows, columns),
        operation=operation,
    )


def _same(size: int, window: int, stride: int) -> tuple[int, int, int]:
    """Return the output size of a SAME window, its padding on both sides, and the extra at the end.

    As in TensorFlow: there are ceil(size / stride) outputs, and odd padding puts its extra row or
    column at the end.
    """
    out = -(-size // stride)
    padding = max((out - 1) * stride + window - size, 0)
    return out, padding // 2, padding % 2


def _largest(sizes: Iterable[Size]) -> Size:
    rows, columns = zip(*sizes, strict=True)
    return max(rows), max(columns)
