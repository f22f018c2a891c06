"""Networks: from an architecture to a torch module, and what it costs before it is built."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nasgym.networks import zoo
from nasgym.networks.wiring import flops, parameters
from nasgym.spaces.conv import ConvArchitecture

if TYPE_CHECKING:
    from torch import nn


def build(
    architecture: Any, input_shape: Sequence[int] = (3, 32, 32), outputs: int = 10
) -> "nn.Module":
    """Return the network that `architecture` describes, with weights drawn from torch's generator.

    It maps images (N, channels, height, width) to logits (N, outputs). Raises ValueError, in one
    line, if the architecture cannot be built, TypeError if it is none that is known.
    """
    match architecture:
        case ConvArchitecture():
            from nasgym.networks.conv import ConvNetwork

            return ConvNetwork(architecture, input_shape, outputs)
    raise TypeError(
        f"build knows ConvArchitecture, not {type(architecture).__name__}: "
        f"read plain data with nasgym.spaces.read first"
    )


__all__ = ["build", "flops", "parameters", "zoo"]
