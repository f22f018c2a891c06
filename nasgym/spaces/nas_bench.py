"""The spaces of the published NAS-Bench tables, small enough to train every network once."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from nasgym.spaces.base import Decision
from nasgym.spaces.fixed_length import FixedLengthSpace


@dataclass(frozen=True)
class NASBench201Architecture:
    """A cell of NAS-Bench-201: one operation per edge between its four nodes."""

    kind: ClassVar[str] = "nas-bench-201"

    operations: tuple[str, ...]
    """Operations on the edges 0>1, 0>2, 1>2, 0>3, 1>3 and 2>3."""

    @classmethod
    def from_plain(cls, data: Mapping[str, Any]) -> "NASBench201Architecture":
        """Return the architecture with the plain form `data`."""
        return cls(tuple(data["operations"]))


@dataclass(frozen=True)
class NASBench201Space(FixedLengthSpace):
    """The cells of NAS-Bench-201 (Dong & Yang 2020): 5 operations on 6 edges, 15,625 strings.

    Cells that compute the same function stay different, because the table trained each of them.
    """

    EDGES: ClassVar = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
    """(origin, target) of each edge, in the order of the table's strings."""
    OPERATIONS: ClassVar = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
    """Options of every decision."""

    @cached_property
    def decisions(self) -> tuple[Decision, ...]:
        """One operation per edge; `layer` is the edge's target and `source` its origin."""
        return tuple(
            Decision("operation", self.OPERATIONS, target, origin) for origin, target in self.EDGES
        )

    def decode(self, tokens: Sequence[int]) -> NASBench201Architecture:
        """Return the cell that a string describes."""
        return NASBench201Architecture(self.chosen(tokens))

    def choice(self, architecture: Any, decision: Decision) -> Hashable:
        """Return the operation on the edge of `decision`."""
        operations: tuple[str, ...] = architecture.operations
        return operations[self.decisions.index(decision)]


@dataclass(frozen=True)
class NASBenchMacroArchitecture:
    """A network of NAS-Bench-Macro: eight blocks in a chain."""

    kind: ClassVar[str] = "nas-bench-macro"

    blocks: tuple[str, ...]
    """The blocks, from the image to the classifier."""

    @classmethod
    def from_plain(cls, data: Mapping[str, Any]) -> "NASBenchMacroArchitecture":
        """Return the architecture with the plain form `data`."""
        return cls(tuple(data["blocks"]))


@dataclass(frozen=True)
class NASBenchMacroSpace(FixedLengthSpace):
    """The networks of NAS-Bench-Macro (Su et al. 2021): 8 blocks of 3 types, 6,561 strings."""

    BLOCKS: ClassVar = ("identity", "mb3_conv_3x3", "mb6_conv_5x5")
    """Block types: identity, or an inverted bottleneck with its expansion and filter size."""
    LENGTH: ClassVar = 8
    """Number of blocks."""

    @cached_property
    def decisions(self) -> tuple[Decision, ...]:
        """One block type per layer."""
        return tuple(Decision("block", self.BLOCKS, layer + 1) for layer in range(self.LENGTH))

    def decode(self, tokens: Sequence[int]) -> NASBenchMacroArchitecture:
        """Return the network that a string describes."""
        return NASBenchMacroArchitecture(self.chosen(tokens))

    def choice(self, architecture: Any, decision: Decision) -> Hashable:
        """Return the block of the layer of `decision`."""
        blocks: tuple[str, ...] = architecture.blocks
        return blocks[decision.layer - 1]


@dataclass(frozen=True)
class NASBenchGraphArchitecture:
    """A graph neural network of NAS-Bench-Graph: four operations and the node each one reads."""

    kind: ClassVar[str] = "nas-bench-graph"

    links: tuple[int, ...]
    """The node that each operation reads: 0 is the input, i the i-th operation."""
    operations: tuple[str, ...]
    """The four operations."""

    @classmethod
    def from_plain(cls, data: Mapping[str, Any]) -> "NASBenchGraphArchitecture":
        """Return the architecture with the plain form `data`."""
        return cls(tuple(data["links"]), tuple(data["operations"]))


@dataclass(frozen=True)
class NASBenchGraphSpace(FixedLengthSpace):
    """The networks of NAS-Bench-Graph (Qin et al. 2022): one of 9 wirings and 4 of 9 operations.

    The 59,049 strings describe 26,206 different networks.
    """

    LINKS: ClassVar = (
        *((0, 0, 0, 0), (0, 0, 0, 1), (0, 0, 1, 1), (0, 0, 1, 2), (0, 0, 1, 3)),
        *((0, 1, 1, 1), (0, 1, 1, 2), (0, 1, 2, 2), (0, 1, 2, 3)),
    )
    """Options for the wiring."""

    operations: tuple[str, ...] = (
        *("gat", "gcn", "gin", "cheb", "sage", "arma", "graph", "fc", "skip"),
    )
    """Options for each operation; the data set "proteins" has fewer."""

    @cached_property
    def decisions(self) -> tuple[Decision, ...]:
        """The wiring, then the four operations."""
        operations = (Decision("operation", self.operations, layer) for layer in (1, 2, 3, 4))
        return (Decision("links", self.LINKS), *operations)

    def decode(self, tokens: Sequence[int]) -> NASBenchGraphArchitecture:
        """Return the network that a string describes."""
        links, *operations = self.chosen(tokens)
        return NASBenchGraphArchitecture(links, tuple(operations))

    def choice(self, architecture: Any, decision: Decision) -> Hashable:
        """Return the wiring, or the operation of the layer of `decision`."""
        if decision.name == "links":
            return tuple(architecture.links)
        operations: tuple[str, ...] = architecture.operations
        return operations[decision.layer - 1]
