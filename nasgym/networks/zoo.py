"""The zoo: published architectures, and a hand-made one."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from nasgym.errors import InvalidInput
from nasgym.spaces.conv import ConvArchitecture
from nasgym.spaces.layers import ConvLayer, MaxPoolLayer
from nasgym.spaces.recurrent import LSTMArchitecture, Node, RecurrentArchitecture


def chain(network: ConvArchitecture) -> ConvArchitecture:
    """Return the same layers in a chain: each reads only the layer before it."""
    return _with_inputs(network, lambda number: (number - 1,) if number > 1 else ())


def dense(network: ConvArchitecture) -> ConvArchitecture:
    """Return the same layers, densely connected: each reads all layers before it."""
    return _with_inputs(network, lambda number: tuple(range(1, number)))


def _with_inputs(
    network: ConvArchitecture, inputs: Callable[[int], tuple[int, ...]]
) -> ConvArchitecture:
    layers = enumerate(network.layers, start=1)
    return replace(
        network, layers=tuple(replace(layer, inputs=inputs(number)) for number, layer in layers)
    )


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
"""The paper's network without strides or pooling, found on CIFAR-10: 15 layers, 65 connections
between layers, 4,201,630 parameters, 5.50 % test error (Zoph & Le 2017, section 4.1, table 1 and
figure 7)."""

NAS_V1_CHAIN = chain(NAS_V1)
"""The same layers in a chain: 809,134 parameters, 7.97 % test error (Zoph & Le 2017, section
4.1)."""

NAS_V1_DENSE = dense(NAS_V1)
"""The same layers, densely connected: 6,630,910 parameters, 5.56 % test error (Zoph & Le 2017,
section 4.1)."""

PLAIN_CONV = chain(
    ConvArchitecture(
        (
            ConvLayer(3, 3, 64),
            ConvLayer(3, 3, 64),
            MaxPoolLayer(2, 2),
            ConvLayer(3, 3, 128),
            ConvLayer(3, 3, 128),
            MaxPoolLayer(2, 2),
            ConvLayer(3, 3, 256),
            ConvLayer(3, 3, 256),
        )
    )
)
"""A hand-made baseline: 3 x 3 convolutions in a chain, with twice the filters after each pooling,
as in Simonyan & Zisserman 2015; 1,148,874 parameters."""

NAS_CELL = RecurrentArchitecture(
    (
        Node("add", "sigmoid"),
        Node("add", "relu"),
        Node("add", "sigmoid"),
        Node("elem_mult", "relu"),
        Node("add", "tanh"),
        Node("add", "sigmoid"),
        Node("add", "tanh"),
        Node("add", "sigmoid"),
        Node("elem_mult", "tanh"),
        Node("add", "tanh"),
        Node("elem_mult", "tanh"),
        Node("add", "sigmoid"),
        Node("elem_mult", "identity"),
        Node("add", "tanh"),
        Node("elem_mult", "tanh"),
    ),
    inject=Node("add", "tanh"),
    cell_out=12,
    cell_in=8,
)
"""The paper's recurrent cell, found on Penn Treebank: test perplexity 62.4 with 54 million
parameters (Zoph & Le 2017, section 4.2, table 2 and figure 8); TensorFlow's NASCell."""

NAS_CELL_MAX_SIN = RecurrentArchitecture(
    (
        Node("max", "tanh"),
        Node("max", "identity"),
        Node("add", "tanh"),
        Node("add", "relu"),
        Node("add", "tanh"),
        Node("max", "tanh"),
        Node("add", "tanh"),
        Node("add", "identity"),
        Node("add", "identity"),
        Node("add", "sigmoid"),
        Node("add", "sigmoid"),
        Node("add", "sigmoid"),
        Node("elem_mult", "identity"),
        Node("elem_mult", "sigmoid"),
        Node("elem_mult", "tanh"),
    ),
    inject=Node("add", "identity"),
    cell_out=12,
    cell_in=0,
)
"""The paper's cell from the space with max and sin; it does not use sin (Zoph & Le 2017, section
4.2 and figure 8)."""

LSTM = LSTMArchitecture()
"""The baseline of both cells."""

ARCHITECTURES: Mapping[str, Any] = {
    "nas-v1": NAS_V1,
    "nas-v1-chain": NAS_V1_CHAIN,
    "nas-v1-dense": NAS_V1_DENSE,
    "plain-conv": PLAIN_CONV,
    "nas-cell": NAS_CELL,
    "nas-cell-max-sin": NAS_CELL_MAX_SIN,
    "lstm": LSTM,
}
"""The zoo by name."""


def by_name(name: str) -> Any:
    """Return the architecture `name`; raise ValueError, in one line, for an unknown name."""
    if name not in ARCHITECTURES:
        raise InvalidInput(f"the zoo has no {name!r}, only {', '.join(ARCHITECTURES)}")
    return ARCHITECTURES[name]
