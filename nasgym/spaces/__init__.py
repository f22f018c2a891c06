"""Search spaces: one file a grammar, with the architecture its strings mean."""

from collections.abc import Mapping
from typing import Any

from nasgym.spaces.conv import ConvArchitecture, ConvSpace
from nasgym.spaces.layers import (
    LAYER_TYPES,
    AveragePoolLayer,
    BatchNormLayer,
    ConvLayer,
    IdentityLayer,
    Layer,
    LocalContrastNormLayer,
    MaxPoolLayer,
)
from nasgym.spaces.presets import PRESETS
from nasgym.spaces.recurrent import (
    LSTMArchitecture,
    Node,
    RecurrentArchitecture,
    RecurrentSpace,
)
from nasgym.spaces.tables import (
    NASBench201Architecture,
    NASBench201Space,
    NASBenchGraphArchitecture,
    NASBenchGraphSpace,
    NASBenchMacroArchitecture,
    NASBenchMacroSpace,
)

ARCHITECTURES: Mapping[str, Any] = {
    kind.kind: kind
    for kind in (
        *(ConvArchitecture, RecurrentArchitecture, LSTMArchitecture),
        *(NASBench201Architecture, NASBenchMacroArchitecture, NASBenchGraphArchitecture),
    )
}
"""Kinds of architecture that `read` knows, by the name their plain form carries."""


def read(data: Any) -> Any:
    """Return the architecture whose plain form is `data`.

    Raises ValueError, in one line, if `data` is not the plain form of a known kind.
    """
    kind = data.get("kind") if isinstance(data, Mapping) else None
    if not isinstance(kind, str) or kind not in ARCHITECTURES:
        known = ", ".join(repr(name) for name in ARCHITECTURES)
        raise ValueError(f'this is no architecture: "kind" is {kind!r}, not one of {known}')
    try:
        return ARCHITECTURES[kind].from_plain(data)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"this {kind} architecture is damaged: {error}") from None


__all__ = [
    "LAYER_TYPES",
    "PRESETS",
    "AveragePoolLayer",
    "BatchNormLayer",
    "ConvArchitecture",
    "ConvLayer",
    "ConvSpace",
    "IdentityLayer",
    "LSTMArchitecture",
    "Layer",
    "LocalContrastNormLayer",
    "MaxPoolLayer",
    "NASBench201Architecture",
    "NASBench201Space",
    "NASBenchGraphArchitecture",
    "NASBenchGraphSpace",
    "NASBenchMacroArchitecture",
    "NASBenchMacroSpace",
    "Node",
    "RecurrentArchitecture",
    "RecurrentSpace",
    "read",
]
