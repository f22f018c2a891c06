"""The wiring of a convolutional network: each connection and size, known without building it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod

from nasgym.spaces.conv import ConvArchitecture, ConvLayer

Size = tuple[int, int]
"""Rows and columns."""

IMAGE = 0
"""The image's number among the sources of a layer; the layers are numbered from 1."""


@dataclass(frozen=True)
class LayerWiring:
    """What one convolution reads and what comes out of it."""

    sources: tuple[int, ...]
    """Numbers of the outputs it reads, joined along the channels in this order."""
    in_channels: int
    """Channels of all sources together."""
    grown: Size
    """What each source is grown to with zeros at the bottom and right: the size of the largest
    (rule 3), and one more where the padding of a SAME convolution is uneven."""
    padding: Size
    """Rows of zeros the convolution adds at the top and at the bottom; columns left and right."""
    size: Size
    """Size of the output: that of the largest source over the stride, rounded up."""
    weights: int
    """Weights of the convolution, which has no bias."""


@dataclass(frozen=True)
class Wiring:
    """All connections and sizes of a network for images of one shape."""

    layers: tuple[LayerWiring, ...]
    """The layers; layer i is `layers[i - 1]`."""
    sources: tuple[int, ...]
    """Numbers of the layers that the classifier reads."""
    features: int
    """Channels that the classifier reads."""
    size: Size
    """Size of the largest map that the classifier reads; the others are padded to it (rule 3)."""


def connections(architecture: ConvArchitecture) -> tuple[tuple[int, ...], ...]:
    """Return the numbers of what each layer reads and, at the end, of what the classifier reads.

    A layer without inputs reads the image, number 0 (rule 1); the classifier reads every layer
    that no other layer does (rule 2) (Zoph & Le 2017, section 3.3). The image is no candidate for
    a skip connection. Raises ValueError, in one line, if the architecture cannot be wired.
    """
    layers = architecture.layers
    if not layers:
        raise ValueError("an architecture needs at least one layer")
    for number, layer in enumerate(layers, start=1):
        _check(number, layer)
    read = [tuple(sorted(layer.inputs)) or (IMAGE,) for layer in layers]
    consumed = {source for sources in read for source in sources}
    loose = tuple(number for number in range(1, len(layers) + 1) if number not in consumed)
    return (*read, loose)


def wire(architecture: ConvArchitecture, input_shape: Sequence[int] = (3, 32, 32)) -> Wiring:
    """Return the connections and sizes of the network for images of (channels, height, width).

    Raises ValueError, in one line, if the architecture or the shape makes no sense.
    """
    *read, loose = connections(architecture)
    if len(input_shape) != 3 or not all(map(_is_count, input_shape)):
        raise ValueError(
            f"input_shape must be (channels, height, width), whole numbers from 1, "
            f"not {tuple(input_shape)}"
        )
    channels, height, width = input_shape
    depths, sizes, layers = [channels], [(height, width)], []
    for layer, sources in zip(architecture.layers, read, strict=True):
        wired = _wire_layer(
            layer, sources, sum(depths[i] for i in sources), _largest(sizes[i] for i in sources)
        )
        layers.append(wired)
        depths.append(layer.filters)
        sizes.append(wired.size)
    return Wiring(
        tuple(layers), loose, sum(depths[i] for i in loose), _largest(sizes[i] for i in loose)
    )


def parameters(
    architecture: ConvArchitecture, input_shape: Sequence[int] = (3, 32, 32), outputs: int = 10
) -> int:
    """Return the number of trainable parameters, the classifier's included.

    These are the weights of the convolutions, two numbers a channel for batch normalisation, and
    the linear layer with its biases.
    """
    check_outputs(outputs)
    wiring = wire(architecture, input_shape)
    normalisation = 2 * sum(layer.filters for layer in architecture.layers)
    classifier = (wiring.features + 1) * outputs
    return sum(layer.weights for layer in wiring.layers) + normalisation + classifier


def flops(
    architecture: ConvArchitecture, input_shape: Sequence[int] = (3, 32, 32), outputs: int = 10
) -> int:
    """Return the floating-point operations of one forward pass of one image.

    A multiplication and an addition count as two; only the convolutions and the linear layer
    count, and padding zeros count like pixels. This is what `torch.utils.flop_counter` counts.
    """
    check_outputs(outputs)
    wiring = wire(architecture, input_shape)
    products = sum(layer.weights * prod(layer.size) for layer in wiring.layers)
    return 2 * (products + wiring.features * outputs)


def check_outputs(outputs: int) -> None:
    """Raise ValueError, in one line, unless `outputs` can be the size of a network's output."""
    if not _is_count(outputs):
        raise ValueError(f"outputs must be a whole number from 1, not {outputs!r}")


def _check(number: int, layer: ConvLayer) -> None:
    """Raise ValueError unless layer `number` has sizes from 1 and reads earlier layers once."""
    for name in ("filter_height", "filter_width", "filters", "stride_height", "stride_width"):
        value = getattr(layer, name)
        if not _is_count(value):
            raise ValueError(f"layer {number}: {name} must be a whole number from 1, not {value!r}")
    for source in layer.inputs:
        if not _is_count(source) or source >= number:
            raise ValueError(
                f"layer {number} reads {source!r}: its inputs must be numbers of earlier layers"
            )
    if len(set(layer.inputs)) < len(layer.inputs):
        raise ValueError(f"layer {number} reads a layer twice: its inputs are {layer.inputs}")


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 1


def _wire_layer(layer: ConvLayer, sources: tuple[int, ...], depth: int, size: Size) -> LayerWiring:
    """Return the wiring of a layer whose sources have `depth` channels and are at most `size`."""
    (height, width), filter_size = size, layer.filter_height * layer.filter_width
    rows, top, more_rows = _same(height, layer.filter_height, layer.stride_height)
    columns, left, more_columns = _same(width, layer.filter_width, layer.stride_width)
    return LayerWiring(
        sources=sources,
        in_channels=depth,
        grown=(height + more_rows, width + more_columns),
        padding=(top, left),
        size=(rows, columns),
        weights=filter_size * depth * layer.filters,
    )


def _same(size: int, filter_size: int, stride: int) -> tuple[int, int, int]:
    """Return the output size of a SAME convolution, its padding on each side, and more at the end.

    As TensorFlow defines it: ceil(size / stride) outputs, padding as even as can be, and an odd
    zero comes last.
    """
    out = -(-size // stride)
    padding = max((out - 1) * stride + filter_size - size, 0)
    return out, padding // 2, padding % 2


def _largest(sizes: Iterable[Size]) -> Size:
    rows, columns = zip(*sizes, strict=True)
    return max(rows), max(columns)
