"""Search spaces: one file a grammar, with the architecture its strings mean."""

from collections.abc import Mapping
from dataclasses import fields
from reprlib import repr as brief
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


LONGEST_COMPLAINT = 300
"""Characters of what `read` says is wrong: it may quote what it was given."""


def read(data: Any) -> Any:
    """Return the architecture whose plain form is `data`, whoever wrote it.

    Raises ValueError, in one short line, if `data` is not the plain form of a known kind, has
    something in it that this kind has not, or is far larger than any network.
    """
    name = data.get("kind") if isinstance(data, Mapping) else None
    if not isinstance(name, str) or name not in ARCHITECTURES:
        kinds = ", ".join(map(repr, ARCHITECTURES))
        raise ValueError(f'this is no architecture: "kind" is {brief(name)}, not one of {kinds}')
    try:
        architecture = ARCHITECTURES[name].from_plain(data)
    except (KeyError, TypeError, AttributeError) as error:
        complaint = f"this {name} architecture is damaged: {error}"
    except ValueError as error:
        complaint = str(error)
    else:
        known = ["kind", *(field.name for field in fields(architecture))]
        others = [key for key in data if key not in known]
        if not others:
            return architecture
        complaint = f"a {name} architecture has no {brief(others[0])}"
    raise ValueError(complaint[:LONGEST_COMPLAINT])


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
