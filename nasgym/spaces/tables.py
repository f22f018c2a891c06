"""The spaces of published tables: grammars so small that all their networks were trained once.

Their strings make the same few decisions one after another.
"""

from abc import abstractmethod
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from nasgym.spaces.base import Decision, SearchSpace


class Chain(SearchSpace):
    """A space in which every string makes the same decisions, whatever is chosen."""

    @property
    @abstractmethod
    def decisions(self) -> tuple[Decision, ...]:
        """Return the decisions in order, all of them at different places."""

    @abstractmethod
    def decode(self, tokens: Sequence[int]) -> Any:
        """Return the architecture a string means."""

    @abstractmethod
    def choice(self, architecture: Any, decision: Decision) -> Hashable:
        """Return what `architecture` has at `decision`."""

    def first(self) -> Decision:
        """Return the first of the decisions."""
        return self.decisions[0]

    def following(self, decision: Decision, token: int) -> Decision | None:
        """Return the next of the decisions."""
        after = self.decisions.index(decision) + 1
        return self.decisions[after] if after < len(self.decisions) else None

    def chosen(self, tokens: Sequence[int]) -> tuple[Any, ...]:
        """Return the option a string chooses at each decision."""
        return tuple(decision.options[token] for decision, token in self.walk(tokens))


@dataclass(frozen=True)
class NASBench201Architecture:
    """A cell of NAS-Bench-201: an operation on each edge between its four nodes."""

    kind: ClassVar[str] = "nas-bench-201"

    operations: tuple[str, ...]
    """Of the edges 0>1, 0>2, 1>2, 0>3, 1>3, 2>3."""

    @classmethod
    def from_plain(cls, data: Mapping[str, Any]) -> "NASBench201Architecture":
        """Return the architecture whose plain form is `data`."""
        return cls(tuple(data["operations"]))


@dataclass(frozen=True)
class NASBench201Space(Chain):
    """The cells of NAS-Bench-201 (Dong & Yang 2020): 5 operations on 6 edges, 15,625 strings.

    Strings of cells that compute the same are different ones, as in the table: each was trained.
    """

    EDGES: ClassVar = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
    """From node to node, in the order of the table's strings."""
    OPERATIONS: ClassVar = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
    """The options of every decision."""

    @cached_property
    def decisions(self) -> tuple[Decision, ...]:
        """The operations, edge by edge: the target of an edge is `layer`, its origin `source`."""
        return tuple(
            Decision("operation", self.OPERATIONS, target, origin) for origin, target in self.EDGES
        )

    def decode(self, tokens: Sequence[int]) -> NASBench201Architecture:
        """Return the cell a string means."""
        return NASBench201Architecture(self.chosen(tokens))

    def choice(self, architecture: Any, decision: Decision) -> Hashable:
        """Return the operation on an edge."""
        operations: tuple[str, ...] = architecture.operations
        return operations[self.decisions.index(decision)]


@dataclass(frozen=True)
class NASBenchMacroArchitecture:
    """A network of NAS-Bench-Macro: a block at each of eight places."""

    kind: ClassVar[str] = "nas-bench-macro"

    blocks: tuple[str, ...]
    """From the image to the classifier."""

    @classmethod
    def from_plain(cls, data: Mapping[str, Any]) -> "NASBenchMacroArchitecture":
        """Return the architecture whose plain form is `data`."""
        return cls(tuple(data["blocks"]))


@dataclass(frozen=True)
class NASBenchMacroSpace(Chain):
    """The networks of NAS-Bench-Macro (Su et al. 2021): 3 blocks at 8 places, 6,561 strings."""

    BLOCKS: ClassVar = ("identity", "mb3_conv_3x3", "mb6_conv_5x5")
    """The options: nothing, or an inverted bottleneck with its expansion and its filters."""
    PLACES: ClassVar = 8

    @cached_property
    def decisions(self) -> tuple[Decision, ...]:
        """The blocks in order."""
        return tuple(Decision("block", self.BLOCKS, place + 1) for place in range(self.PLACES))

    def decode(self, tokens: Sequence[int]) -> NASBenchMacroArchitecture:
        """Return the network a string means."""
        return NASBenchMacroArchitecture(self.chosen(tokens))

    def choice(self, architecture: Any, decision: Decision) -> Hashable:
        """Return the block at a place."""
        blocks: tuple[str, ...] = architecture.blocks
        return blocks[decision.layer - 1]


@dataclass(frozen=True)
class NASBenchGraphArchitecture:
    """A graph neural network of NAS-Bench-Graph: four operations and what each reads."""

    kind: ClassVar[str] = "nas-bench-graph"

    links: tuple[int, ...]
    """The node that each operation reads; 0 is the input, i the i-th operation."""
    operations: tuple[str, ...]
    """The four operations."""

    @classmethod
    def from_plain(cls, data: Mapping[str, Any]) -> "NASBenchGraphArchitecture":
        """Return the architecture whose plain form is `data`."""
        return cls(tuple(data["links"]), tuple(data["operations"]))


@dataclass(frozen=True)
class NASBenchGraphSpace(Chain):
    """The networks of NAS-Bench-Graph (Qin et al. 2022): 9 wirings, then 4 operations of 9.

    Of the 59,049 strings 26,206 mean different networks.
    """

    LINKS: ClassVar = (
        *((0, 0, 0, 0), (0, 0, 0, 1), (0, 0, 1, 1), (0, 0, 1, 2), (0, 0, 1, 3)),
        *((0, 1, 1, 1), (0, 1, 1, 2), (0, 1, 2, 2), (0, 1, 2, 3)),
    )
    """The options for the wiring."""

    operations: tuple[str, ...] = (
        *("gat", "gcn", "gin", "cheb", "sage", "arma", "graph", "fc", "skip"),
    )
    """The options for each operation; the data set "proteins" has fewer."""

    @cached_property
    def decisions(self) -> tuple[Decision, ...]:
        """The wiring, then the operations in order."""
        operations = (Decision("operation", self.operations, place) for place in (1, 2, 3, 4))
        return (Decision("links", self.LINKS), *operations)

    def decode(self, tokens: Sequence[int]) -> NASBenchGraphArchitecture:
        """Return the network a string means."""
        links, *operations = self.chosen(tokens)
        return NASBenchGraphArchitecture(links, tuple(operations))

    def choice(self, architecture: Any, decision: Decision) -> Hashable:
        """Return the wiring or one of the operations."""
        if decision.name == "links":
            return tuple(architecture.links)
        operations: tuple[str, ...] = architecture.operations
        return operations[decision.layer - 1]
