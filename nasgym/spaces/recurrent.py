"""Recurrent cells as trees of computation steps: the architecture and its search space."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

from nasgym.errors import InvalidInput
from nasgym.spaces.base import Decision
from nasgym.spaces.fixed_length import FixedLengthSpace

COMBINATIONS = ("add", "elem_mult", "max")
"""Elementwise ways to combine the two inputs of a node."""

ACTIVATIONS = ("identity", "tanh", "sigmoid", "relu", "sin")
"""Functions that a node can apply to its combined inputs."""

MAX_NODES = 2000
"""Largest number of nodes of a cell that `nasgym.spaces.read` accepts."""


@dataclass(frozen=True)
class Node:
    """One computation step: it combines its two inputs and applies an activation."""

    combination: str
    """One of COMBINATIONS."""
    activation: str
    """One of ACTIVATIONS."""

    def __post_init__(self) -> None:
        for name, known in (("combination", COMBINATIONS), ("activation", ACTIVATIONS)):
            if getattr(self, name) not in known:
                raise InvalidInput(
                    f"{name} {getattr(self, name)!r} is none of {', '.join(map(repr, known))}"
                )


@dataclass(frozen=True)
class RecurrentArchitecture:
    """A recurrent cell: a binary tree of nodes, and the path of the memory through it.

    Zoph & Le 2017, section 3.4. Leaf i combines W_i x_t with U_i h_{t-1}; node base + k combines
    nodes 2 k and 2 k + 1 and has no weights; the last node's output is h_t. The previous memory
    c_{t-1} is combined with the output of node `cell_in`. The new memory c_t is the value of node
    `cell_out` before its activation.
    """

    kind: ClassVar[str] = "recurrent"

    nodes: tuple[Node, ...]
    """The 2 base - 1 nodes: the leaves first, the root last."""
    inject: Node
    """Combines c_{t-1} with the output of node `cell_in`: the paper's cell inject."""
    cell_out: int
    """Number of the node whose combined inputs become c_t: the paper's first cell index."""
    cell_in: int
    """Number of the node that c_{t-1} is injected into: the paper's second cell index."""

    def __post_init__(self) -> None:
        if len(self.nodes) % 2 == 0:
            raise InvalidInput(
                f"a tree has an odd number of nodes, 2 base - 1, not {len(self.nodes)}"
            )
        for name in ("cell_out", "cell_in"):
            index = getattr(self, name)
            if type(index) is not int or not 0 <= index < len(self.nodes):
                raise InvalidInput(
                    f"{name} must be the number of a node, 0 to {len(self.nodes) - 1}, "
                    f"not {index!r}"
                )

    @property
    def base(self) -> int:
        """Return the number of leaves."""
        return (len(self.nodes) + 1) // 2

    def children(self, node: int) -> tuple[int, int] | None:
        """Return the two nodes that `node` reads, or None for a leaf."""
        first = 2 * (node - self.base)
        return None if first < 0 else (first, first + 1)

    @classmethod
    def from_plain(cls, data: Mapping[str, Any]) -> "RecurrentArchitecture":
        """Return the cell with the plain form `data`; raise ValueError if it has too many nodes."""
        if len(data["nodes"]) > MAX_NODES:
            raise InvalidInput(
                f"a cell can have at most {MAX_NODES:,} nodes, not {len(data['nodes']):,}"
            )
        return cls(
            tuple(Node(**node) for node in data["nodes"]),
            Node(**data["inject"]),
            data["cell_out"],
            data["cell_in"],
        )


@dataclass(frozen=True)
class LSTMArchitecture:
    """The long short-term memory, the baseline for cells that a search finds."""

    kind: ClassVar[str] = "lstm"

    @classmethod
    def from_plain(cls, data: Mapping[str, Any]) -> "LSTMArchitecture":
        """Return the LSTM, whatever `data` holds."""
        return cls()


@dataclass(frozen=True)
class RecurrentSpace(FixedLengthSpace):
    """The recurrent cells of Zoph & Le 2017, sections 3.4 and 4.2.

    A string gives each node of the tree a combination and an activation, then the cell inject, then
    the two cell indices, c_t's node first. It has 2 (2 base - 1) + 4 tokens: 34 with the defaults,
    which allow 8^16 x 15^2 strings.
    """

    base: int = 8
    """Number of leaves of the tree; each reads x_t and h_{t-1}."""
    combinations: tuple[str, ...] = ("add", "elem_mult")
    """Options for how a node combines its inputs: add, elem_mult, max."""
    activations: tuple[str, ...] = ("identity", "tanh", "sigmoid", "relu")
    """Options for a node's activation: identity, tanh, sigmoid, relu, sin."""

    def __post_init__(self) -> None:
        if type(self.base) is not int or self.base < 1:
            raise InvalidInput(f"base must be a whole number from 1, not {self.base!r}")
        for name, known in (("combinations", COMBINATIONS), ("activations", ACTIVATIONS)):
            options = getattr(self, name)
            options = tuple(options) if isinstance(options, Sequence) else (options,)
            if not options or len(set(options)) < len(options) or not set(options) <= set(known):
                raise InvalidInput(f"{name} must be some of {', '.join(known)}, not {options}")
            object.__setattr__(self, name, options)

    @cached_property
    def decisions(self) -> tuple[Decision, ...]:
        """The decisions in order; `layer` is the number of a node, from 1."""
        nodes = tuple(range(2 * self.base - 1))
        labels = (
            decision
            for node in nodes
            for decision in (
                Decision("combination", self.combinations, layer=node + 1),
                Decision("activation", self.activations, layer=node + 1),
            )
        )
        return (
            *labels,
            Decision("inject_combination", self.combinations),
            Decision("inject_activation", self.activations),
            Decision("cell_out", nodes),
            Decision("cell_in", nodes),
        )

    def decode(self, tokens: Sequence[int]) -> RecurrentArchitecture:
        """Return the cell that a string describes."""
        *labels, cell_out, cell_in = self.chosen(tokens)
        *nodes, inject = [Node(*pair) for pair in zip(labels[::2], labels[1::2], strict=True)]
        return RecurrentArchitecture(tuple(nodes), inject, cell_out, cell_in)

    def choice(self, architecture: Any, decision: Decision) -> Hashable:
        """Return the option that `architecture` has at `decision`."""
        if not isinstance(architecture, RecurrentArchitecture):
            raise InvalidInput(f"{architecture!r} is not a RecurrentArchitecture")
        if architecture.base != self.base:
            raise InvalidInput(f"the cell has base {architecture.base}, the space {self.base}")
        if decision.name in ("cell_out", "cell_in"):
            return int(getattr(architecture, decision.name))
        node = architecture.nodes[decision.layer - 1] if decision.layer else architecture.inject
        return str(getattr(node, decision.name.removeprefix("inject_")))

    def canonical(self, architecture: RecurrentArchitecture) -> RecurrentArchitecture:
        """Return the cell with the two subtrees of every node in a fixed order.

        Combinations are symmetric, and leaves differ only in their labels. Swapping two subtrees of
        the same shape therefore gives the same cell.
        """
        return _sort_subtrees(architecture)


def _sort_subtrees(cell: RecurrentArchitecture) -> RecurrentArchitecture:
    """Return `cell` with the smaller of two subtrees of the same shape first, at every node."""
    descriptions: list[Any] = []
    shapes: list[Any] = []
    ordered: list[list[int]] = []
    for number, node in enumerate(cell.nodes):  # children come before their parents
        children = list(cell.children(number) or ())
        if len({shapes[child] for child in children}) == 1:
            children.sort(key=lambda child: descriptions[child])
        roles = (number == cell.cell_out, number == cell.cell_in)
        inside = tuple(descriptions[child] for child in children)
        descriptions.append((node.combination, node.activation, *roles, inside))
        shapes.append(tuple(shapes[child] for child in children))
        ordered.append(children)
    origin = [len(cell.nodes) - 1] * len(cell.nodes)  # the old number of each node
    for number in reversed(range(cell.base, len(cell.nodes))):
        for child, source in zip(cell.children(number) or (), ordered[origin[number]], strict=True):
            origin[child] = source
    return replace(
        cell,
        nodes=tuple(cell.nodes[source] for source in origin),
        cell_out=origin.index(cell.cell_out),
        cell_in=origin.index(cell.cell_in),
    )
