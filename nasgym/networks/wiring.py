"""The wiring of a convolutional network: each connection and size, known without building it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import prod

from nasgym.spaces.conv import ConvArchitecture
from nasgym.spaces.layers import Layer, Operation, Size

IMAGE = 0
"""The image's number among the sources of a layer; the layers are numbered from 1."""


@dataclass(frozen=True)
class LayerWiring:
    """What one layer reads and what comes out of it."""

    sources: tuple[int, ...]
    """Numbers of the outputs it reads, joined along the channels in this order."""
    in_channels: int
    """Channels of all sources together."""
    in_size: Size
    """Size of the largest source; the others are grown to it with zeros at the bottom and right
    (rule 3)."""
    padding: Size
    """Rows that SAME padding adds at the top and at the bottom; columns left and right."""
    uneven: Size
    """Rows more at the bottom and columns more at the right, 1 where that padding is uneven."""
    size: Size
    """Size of the output: that of the largest source over the stride, rounded up."""
    operation: Operation
    """What it does to its input."""


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
        depths.append(wired.operation.channels)
        sizes.append(wired.size)
    return Wiring(
        tuple(layers), loose, sum(depths[i] for i in loose), _largest(sizes[i] for i in loose)
    )


def parameters(
    architecture: ConvArchitecture, input_shape: Sequence[int] = (3, 32, 32), outputs: int = 10
) -> int:
    """Return the number of trainable parameters, the classifier's included.

    These are what the layers have, such as the weights of a convolution and two numbers a channel
    for batch normalisation, and the linear layer with its biases.
    """
    check_outputs(outputs)
    wiring = wire(architecture, input_shape)
    classifier = (wiring.features + 1) * outputs
    return sum(layer.operation.parameters for layer in wiring.layers) + classifier


def flops(
    architecture: ConvArchitecture, input_shape: Sequence[int] = (3, 32, 32), outputs: int = 10
) -> int:
    """Return the floating-point operations of one forward pass of one image.

    A multiplication and an addition count as two; only weighted sums count (convolutions, the
    window of local contrast normalisation, the linear layer), and padding zeros count like pixels.
    This is what `torch.utils.flop_counter` counts.
    """
    check_outputs(outputs)
    wiring = wire(architecture, input_shape)
    products = sum(layer.operation.products * prod(layer.size) for layer in wiring.layers)
    return 2 * (products + wiring.features * outputs)


def check_outputs(outputs: int) -> None:
    """Raise ValueError, in one line, unless `outputs` can be the size of a network's output."""
    if not _is_count(outputs):
        raise ValueError(f"outputs must be a whole number from 1, not {outputs!r}")


def _check(number: int, layer: Layer) -> None:
    """Raise ValueError unless layer `number` has sizes from 1 and reads earlier layers once."""
    for name, value in layer.hyper_parameters.items():
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


def _wire_layer(layer: Layer, sources: tuple[int, ...], depth: int, size: Size) -> LayerWiring:
    """Return the wiring of a layer whose sources have `depth` channels and are at most `size`."""
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
    """Return the output size of a SAME window, its padding on each side, and more at the end.

    As TensorFlow defines it: ceil(size / stride) outputs, padding as even as can be, and what is
    odd comes last.
    """
    out = -(-size // stride)
    padding = max((out - 1) * stride + window - size, 0)
    return out, padding // 2, padding % 2


def _largest(sizes: Iterable[Size]) -> Size:
    rows, columns = zip(*sizes, strict=True)
    return max(rows), max(columns)
