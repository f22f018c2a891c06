"""Networks: the torch module of an architecture, and its cost without building it."""

from typing import TYPE_CHECKING, Any

from nasgym.networks import zoo
from nasgym.networks.wiring import flops, parameters
from nasgym.spaces.conv import ConvArchitecture
from nasgym.spaces.recurrent import LSTMArchitecture, RecurrentArchitecture

if TYPE_CHECKING:
    from torch import nn

    from nasgym.networks.recurrent import NASCell, RecurrentNetwork, TreeCell

WITH_TORCH = ("NASCell", "RecurrentNetwork", "TreeCell")
"""Classes of `nasgym.networks.recurrent`, imported lazily because they import torch."""


def build(architecture: Any, *sizes: Any, **options: Any) -> "nn.Module":
    """Return the network of `architecture`, with initial weights from torch's default generator.

    A ConvArchitecture gives a ConvNetwork, whose further arguments are `input_shape=(3, 32, 32)`
    and `outputs=10`; it maps images (N, channels, height, width) to logits (N, outputs). A
    recurrent cell gives a LanguageModel, with the arguments `vocabulary`, `hidden` and more; it
    maps tokens (time, N) to logits (time, N, vocabulary) and a state. Raises ValueError, in one
    line, if the architecture cannot be built, and TypeError if its class is unknown.
    """
    match architecture:
        case ConvArchitecture():
            from nasgym.networks.conv import ConvNetwork

            return ConvNetwork(architecture, *sizes, **options)
        case RecurrentArchitecture() | LSTMArchitecture():
            from nasgym.networks.language import LanguageModel

            return LanguageModel(architecture, *sizes, **options)
    raise TypeError(
        f"cannot build a {type(architecture).__name__}: "
        f"read plain data with nasgym.spaces.read first"
    )


def __getattr__(name: str) -> Any:
    if name in WITH_TORCH:
        from nasgym.networks import recurrent

        return getattr(recurrent, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


__all__ = [
    "NASCell",
    "RecurrentNetwork",
    "TreeCell",
    "build",
    "flops",
    "parameters",
    "zoo",
]
