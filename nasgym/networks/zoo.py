"""The zoo: published architectures."""

from collections.abc import Mapping
from dataclasses import replace

from nasgym.spaces.conv import ConvArchitecture, ConvLayer

NAS_V1 = ConvArchitecture(
    (
        ConvLayer(3, 3, 36),
        ConvLayer(3, 3, 48, inputs=(1,)),
        ConvLayer(3, 3, 36, inputs=(1, 2)),
        ConvLayer(5, 5, 36, inputs=(1, 2, 3)),
        ConvLayer(3, 7, 48, inputs=(3, 4)),
        ConvLayer(7, 7, 48, inputs=(2, 3, 4, 5)),
        ConvLayer(7, 7, 48, inputs=(2, 3, 4, 5, 6)),
        ConvLayer(7, 3, 36, inputs=(1, 6, 7)),
        ConvLayer(7, 1, 36, inputs=(1, 5, 6, 8)),
        ConvLayer(7, 7, 36, inputs=(1, 3, 4, 5, 6, 7, 8, 9)),
        ConvLayer(5, 7, 36, inputs=(1, 2, 5, 6, 7, 8, 9, 10)),
        ConvLayer(7, 7, 48, inputs=(1, 2, 3, 4, 6, 11)),
        ConvLayer(7, 5, 48, inputs=(1, 3, 6, 7, 8, 9, 10, 11, 12)),
        ConvLayer(7, 5, 48, inputs=(3, 7, 12, 13)),
        ConvLayer(7, 5, 48, inputs=(2, 7, 11, 12, 13, 14)),
    )
)
"""The network without strides or pooling that the search found on CIFAR-10: 15 layers, 65
connections between layers, 4,201,630 parameters, 5.50 % test error (Zoph & Le 2017, section 4.1,
table 1 and figure 7)."""

NAS_V1_CHAIN = ConvArchitecture(
    tuple(
        replace(layer, inputs=(number - 1,) if number > 1 else ())
        for number, layer in enumerate(NAS_V1.layers, start=1)
    )
)
"""The same layers without skip connections, each reading the one before it: 809,134 parameters,
7.97 % test error (Zoph & Le 2017, section 4.1)."""

NAS_V1_DENSE = ConvArchitecture(
    tuple(
        replace(layer, inputs=tuple(range(1, number)))
        for number, layer in enumerate(NAS_V1.layers, start=1)
    )
)
"""The same layers, each reading all before it: 6,630,910 parameters, 5.56 % test error (Zoph & Le
2017, section 4.1)."""

ARCHITECTURES: Mapping[str, ConvArchitecture] = {
    "nas-v1": NAS_V1,
    "nas-v1-chain": NAS_V1_CHAIN,
    "nas-v1-dense": NAS_V1_DENSE,
}
"""The zoo by name."""


def by_name(name: str) -> ConvArchitecture:
    """Return the architecture of that name, or raise ValueError, in one line, with the names."""
    if name not in ARCHITECTURES:
        raise ValueError(f"the zoo has no {name!r}, only {', '.join(ARCHITECTURES)}")
    return ARCHITECTURES[name]
