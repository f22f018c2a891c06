"""The convolutional network: the torch module of a ConvArchitecture."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nasgym.errors import InvalidInput
from nasgym.networks.layers import module
from nasgym.networks.wiring import check_outputs, wire
from nasgym.spaces.conv import ConvArchitecture
from nasgym.spaces.layers import Size


class ConvNetwork(nn.Module):
    """The layers of the architecture, then global average pooling and a linear layer.

    Maps images (N, channels, height, width) to logits (N, outputs). The initial weights come from
    torch's default generator. Training needs at least two images per batch, because batch
    normalisation of a single pixel has no variance.
    """

    def __init__(
        self,
        architecture: ConvArchitecture,
        input_shape: Sequence[int] = (3, 32, 32),
        outputs: int = 10,
    ) -> None:
        """Build the network; raise ValueError, in one line, if it cannot be wired."""
        check_outputs(outputs)
        super().__init__()
        self.input_shape = tuple(input_shape)
        self.wiring = wire(architecture, input_shape)
        self.layers = nn.ModuleList(
            module(layer, wired)
            for layer, wired in zip(architecture.layers, self.wiring.layers, strict=True)
        )
        self.classifier = nn.Linear(self.wiring.features, outputs)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of `images`."""
        if images.shape[1:] != self.input_shape:
            raise InvalidInput(
                f"this network needs images of shape {self.input_shape}, "
                f"not {tuple(images.shape[1:])}"
            )
        maps = [images]
        for layer, wired in zip(self.layers, self.wiring.layers, strict=True):
            maps.append(
                layer(_concatenate([_pad_to(maps[i], wired.in_size) for i in wired.sources]))
            )
        rows, columns = self.wiring.size
        # Sums need no padding, and their gradient, unlike that of a mean, stays in channels_last:
        # this saves 7 to 16 % of a small network's training step on a CPU.
        sums = _concatenate([maps[i].sum((2, 3)) for i in self.wiring.sources])
        logits: Tensor = self.classifier(sums / (rows * columns))
        return logits


def _pad_to(maps: Tensor, size: Size) -> Tensor:
    """Pad `maps` with zeros at the bottom and right to `size`."""
    rows, columns = size[0] - maps.shape[2], size[1] - maps.shape[3]
    return F.pad(maps, (0, columns, 0, rows)) if rows or columns else maps


def _concatenate(tensors: list[Tensor]) -> Tensor:
    """Concatenate `tensors` along the channels."""
    return tensors[0] if len(tensors) == 1 else torch.cat(tensors, 1)
