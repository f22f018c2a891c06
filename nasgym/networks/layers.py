"""The torch modules of layers: one function per layer type."""

from functools import singledispatch

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nasgym.networks.wiring import LayerWiring
from nasgym.spaces.layers import (
    AveragePoolLayer,
    BatchNormLayer,
    ConvLayer,
    IdentityLayer,
    Layer,
    LocalContrastNormLayer,
    MaxPoolLayer,
)

SMALLEST_VARIANCE = 1e-8
"""Added to the variance, so that constant maps have a finite result and gradient."""


@singledispatch
def module(layer: Layer, wired: LayerWiring) -> nn.Module:
    """Return the module of `layer`; each layer type registers a function.

    The module maps (N, in_channels, *in_size) to (N, channels, *size), with the sizes of `wired`.
    """
    raise TypeError(f"there is no module for {type(layer).__name__}")


@module.register
def _(layer: ConvLayer, wired: LayerWiring) -> nn.Module:
    """Use He's initialisation with fan-out, as DenseNet does."""
    convolution = nn.Conv2d(
        wired.in_channels,
        layer.filters,
        wired.operation.window,
        stride=wired.operation.stride,
        padding=wired.padding,
        bias=False,
    )
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
    norm, relu = nn.BatchNorm2d(layer.filters), nn.ReLU(inplace=True)
    return nn.Sequential(*_uneven(wired, 0.0), convolution, norm, relu)


@module.register
def _(layer: MaxPoolLayer, wired: LayerWiring) -> nn.Module:
    pool = nn.MaxPool2d(layer.pool_size, layer.pool_stride, wired.padding)
    return nn.Sequential(*_uneven(wired, -torch.inf), pool)


@module.register
def _(layer: AveragePoolLayer, wired: LayerWiring) -> nn.Module:
    return AveragePool(layer, wired)


@module.register
def _(layer: BatchNormLayer, wired: LayerWiring) -> nn.Module:
    return nn.BatchNorm2d(wired.in_channels)


@module.register
def _(layer: LocalContrastNormLayer, wired: LayerWiring) -> nn.Module:
    return LocalContrastNorm(layer, wired)


@module.register
def _(layer: IdentityLayer, wired: LayerWiring) -> nn.Module:
    return nn.Identity()


class AveragePool(nn.Module):
    """Average pooling with SAME padding, which does not count in the means."""

    covered: Tensor

    def __init__(self, layer: AveragePoolLayer, wired: LayerWiring) -> None:
        """Compute the share of each window that lies on the map."""
        super().__init__()
        pool = nn.AvgPool2d(layer.pool_size, layer.pool_stride, wired.padding)
        self.pool = nn.Sequential(*_uneven(wired, 0.0), pool)
        covered = self.pool(torch.ones(1, 1, *wired.in_size))
        self.register_buffer("covered", covered, persistent=False)

    def forward(self, maps: Tensor) -> Tensor:
        """Return the means of the windows."""
        means: Tensor = self.pool(maps) / self.covered
        return means


class LocalContrastNorm(nn.Module):
    """Subtractive and divisive normalisation; weights are rescaled to sum to 1 at the borders."""

    window: Tensor
    covered: Tensor

    def __init__(self, layer: LocalContrastNormLayer, wired: LayerWiring) -> None:
        """Compute the Gaussian window."""
        super().__init__()
        self.padding = wired.padding
        distance = torch.arange(layer.WINDOW) - layer.WINDOW // 2
        weights = torch.exp(-0.5 * (distance / layer.DEVIATION) ** 2)
        window = torch.outer(weights, weights) / weights.sum() ** 2
        self.register_buffer("window", window[None, None], persistent=False)
        covered = F.conv2d(torch.ones(1, 1, *wired.in_size), self.window, padding=self.padding)
        self.register_buffer("covered", covered, persistent=False)

    def forward(self, maps: Tensor) -> Tensor:
        """Return the normalised maps."""
        centred = maps - self._around(maps)
        deviation = (self._around(centred.square()) + SMALLEST_VARIANCE).sqrt()
        return centred / torch.maximum(deviation, deviation.mean((2, 3), keepdim=True))

    def _around(self, maps: Tensor) -> Tensor:
        """Return the weighted mean around each pixel over all channels, (N, 1, rows, columns)."""
        means = F.conv2d(maps.mean(1, keepdim=True), self.window, padding=self.padding)
        return means / self.covered


def _uneven(wired: LayerWiring, value: float) -> list[nn.Module]:
    """Return the padding with `value` that SAME adds only at the bottom and right, if any."""
    rows, columns = wired.uneven
    return [nn.ConstantPad2d((0, columns, 0, rows), value)] if rows or columns else []
