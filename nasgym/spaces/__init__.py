"""Search spaces, each in one file with the architectures that its strings describe."""

from collections.abc import Mapping
from dataclasses import fields
from reprlib import repr as brief
from typing import Any

from nasgym.errors import InvalidInput
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
from nasgym.spaces.nas_bench import (
    NASBench201Architecture,
    NASBench201Space,
    NASBenchGraphArchitecture,
    NASBenchGraphSpace,
    NASBenchMacroArchitecture,
    NASBenchMacroSpace,
)
from nasgym.spaces.presets import PRESETS
from nasgym.spaces.recurrent import (
    LSTMArchitecture,
    Node,
    RecurrentArchitecture,
    RecurrentSpace,
)

ARCHITECTURES: Mapping[str, Any] = {
    kind.kind: kind
    for kind in (
        *(ConvArchitecture, RecurrentArchitecture, LSTMArchitecture),
        *(NASBench201Architecture, NASBenchMacroArchitecture, NASBenchGraphArchitecture),
    )
}
"""Classes of architecture that `read` knows, by the "kind" of their plain form."""

MAX_ERROR_LENGTH = 300
"""Largest number of characters of an error message of `read`, which may quote its input."""


def read(data: Any) -> Any:
    """Return the architecture with the plain form `data`, which need not be trusted.

    Raises ValueError, in one short line, if `data` is not the plain form of a known kind, has an
    unknown key, or is far larger than any network.
    """
    name = data.get("kind") if isinstance(data, Mapping) else None
    if not isinstance(name, str) or name not in ARCHITECTURES:
        kinds = ", ".join(map(repr, ARCHITECTURES))
        raise InvalidInput(f'not an architecture: "kind" is {brief(name)}, not one of {kinds}')
    try:
        architecture = ARCHITECTURES[name].from_plain(data)
    except (KeyError, TypeError, AttributeError) as error:
        message = f"this {name} architecture is damaged: {error}"
    except ValueError as error:
        message = str(error)
    else:
        known = ["kind", *(field.name for field in fields(architecture))]
        unknown = [key for key in data if key not in known]
        if not unknown:
            return architecture
        message = f"a {name} architecture has no {brief(unknown[0])}"
    raise InvalidInput(message[:MAX_ERROR_LENGTH])


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
