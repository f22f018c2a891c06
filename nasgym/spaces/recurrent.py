"""Recurrent cells as trees of computation steps: the architecture and its search space."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from nasgym.spaces.base import Decision, SearchSpace

COMBINATIONS = ("add", "elem_mult", "max")
"""Ways to merge the two inputs of a node, all elementwise."""

ACTIVATIONS = ("identity", "tanh", "sigmoid", "relu", "sin")
"""What a node may do to its merged inputs."""


MOST_NODES = 2000
"""Nodes of a cell that is read."""


@dataclass(frozen=True)
class Node:
    """One computation step: its two inputs are combined, then activated."""

    combination: str
    """One of COMBINATIONS."""
    activation: str
    """One of ACTIVATIONS."""

    def __post_init__(self) -> None:
        for name, known in (("combination", COMBINATIONS), ("activation", ACTIVATIONS)):
            if getattr(self, name) not in known:
                raise ValueError(
                    f"{name} {getattr(self, name)!r} is none of {', '.join(map(repr, known))}"
                )


@dataclass(frozen=True)
class RecurrentArchitecture:
    """A recurrent cell: a binary tree of nodes and how the memory runs through it.

    Zoph & Le 2017, section 3.4. Leaf i combines W_i x_t with U_i h_{t-1}; node base + k combines
    nodes 2 k and 2 k + 1 and has no weights; the last node's output is h_t. The previous memory
    c_{t-1} is injected into the output of one node; the new one is what another node has combined,
    before its activation.
    """

    kind: ClassVar[str] = "recurrent"

    nodes: tuple[Node, ...]
    """The 2 base - 1 nodes: leaves first, the root last."""
    inject: Node
    """How c_{t-1} is mixed into the output of node `cell_in`."""
    cell_out: int
    """The node whose combined inputs become c_t: the first of the paper's cell indices."""
    cell_in: int
    """The node that c_{t-1} is injected into: the second of the paper's cell indices."""

    def __post_init__(self) -> None:
        if len(self.nodes) % 2 == 0:
            raise ValueError(
                f"a tree has an odd number of nodes, 2 base - 1, not {len(self.nodes)}"
            )
        for name in ("cell_out", "cell_in"):
            index = getattr(self, name)
            if type(index) is not int or not 0 <= index < len(self.nodes):
                raise ValueError(
                    f"{name} must be the number of a node, 0 to {len(self.nodes) - 1}, "
                    f"not {index!r}"
                )

    @property
    def base(self) -> int:
        """Return the number of leaves."""
        return (len(self.nodes) + 1) // 2

    def children(self, node: int) -> tuple[int, int] | None:
        """Return the two nodes that `node` reads, None for a leaf."""
        first = 2 * (node - self.base)
        return None if first < 0 else (first, first + 1)

    @classmethod
    def from_plain(cls, data: Mapping[str, Any]) -> "RecurrentArchitecture":
        """Return the cell whose plain form is `data`; ValueError for more than can be meant."""
        if len(data["nodes"]) > MOST_NODES:
            raise ValueError(
                f"{len(data['nodes']):,} nodes are too many: {MOST_NODES:,} are the most"
            )
        return cls(
            tuple(Node(**node) for node in data["nodes"]),
            Node(**data["inject"]),
            data["cell_out"],
            data["cell_in"],
        )


@dataclass(frozen=True)
class LSTMArchitecture:
    """The long short-term memory, the baseline that found cells are measured against."""

    kind: ClassVar[str] = "lstm"

    @classmethod
    def from_plain(cls, data: Mapping[str, Any]) -> "LSTMArchitecture":
        """Return the one there is."""
        return cls()


@dataclass(frozen=True)
class RecurrentSpace(SearchSpace):
    """The recurrent cells of Zoph & Le 2017, sections 3.4 and 4.2.

    The tree is labelled node by node with a combination and an activation; then come the two
    choices of the cell inject and the two cell indices, c_t's node first. A string has
    2 (2 base - 1) + 4 tokens; with the defaults 34, and there are 8^16 x 15^2 strings.
    """

    base: int = 8
    """Number of leaves: pairs of x_t and h_{t-1} that are read."""
    combinations: tuple[str, ...] = ("add", "elem_mult")
    """Options for a node's combination; "max" is known too."""
    activations: tuple[str, ...] = ("identity", "tanh", "sigmoid", "relu")
    """Options for a node's activation; "sin" is known too."""
    _decisions: tuple[Decision, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if type(self.base) is not int or self.base < 1:
            raise ValueError(f"base must be a whole number from 1, not {self.base!r}")
        for name, known in (("combinations", COMBINATIONS), ("activations", ACTIVATIONS)):
            options = getattr(self, name)
            options = tuple(options) if isinstance(options, Sequence) else (options,)
            if not options or len(set(options)) < len(options) or not set(options) <= set(known):
                raise ValueError(f"{name} must be some of {', '.join(known)}, not {options}")
            object.__setattr__(self, name, options)
        object.__setattr__(self, "_decisions", tuple(self._write_decisions()))

    def first(self) -> Decision:
        """Return the combination of the first leaf."""
        return self._decisions[0]

    def following(self, decision: Decision, token: int) -> Decision | None:
        """Return the next decision; which one comes next depends on no choice."""
        position = self._decisions.index(decision) + 1
        return self._decisions[position] if position < len(self._decisions) else None

    def decode(self, tokens: Sequence[int]) -> RecurrentArchitecture:
        """Return the cell a string describes."""
        chosen: list[Any] = [decision.options[token] for decision, token in self.walk(tokens)]
        *labels, cell_out, cell_in = chosen
        *nodes, inject = [Node(*pair) for pair in zip(labels[::2], labels[1::2], strict=True)]
        return RecurrentArchitecture(tuple(nodes), inject, cell_out, cell_in)

    def choice(self, architecture: Any, decision: Decision) -> Hashable:
        """Return what `architecture` has at `decision`."""
        if not isinstance(architecture, RecurrentArchitecture):
            raise ValueError(f"{architecture!r} is no cell of a tree")
        if architecture.base != self.base:
            raise ValueError(f"the cell has base {architecture.base}, the space {self.base}")
        if decision.name in ("cell_out", "cell_in"):
            return int(getattr(architecture, decision.name))
        node = architecture.nodes[decision.layer - 1] if decision.layer else architecture.inject
        return str(getattr(node, decision.name.removeprefix("inject_")))

    def canonical(self, architecture: RecurrentArchitecture) -> RecurrentArchitecture:
        """Return the cell with the two subtrees of every node in a fixed order.

        Combinations are symmetric and leaves differ in nothing but their labels, so a cell with
        two equally shaped subtrees swapped is the same cell.
        """
        return _in_order(architecture)

    def _write_decisions(self) -> Iterator[Decision]:
        """Yield the decisions in order; a node's `layer` is its number and 1."""
        nodes = range(2 * self.base - 1)
        for node in nodes:
            yield Decision("combination", self.combinations, layer=node + 1)
            yield Decision("activation", self.activations, layer=node + 1)
        yield Decision("inject_combination", self.combinations)
        yield Decision("inject_activation", self.activations)
        yield Decision("cell_out", tuple(nodes))
        yield Decision("cell_in", tuple(nodes))


def _in_order(cell: RecurrentArchitecture) -> RecurrentArchitecture:
    """Return `cell` with the smaller of two equally shaped subtrees first at every node."""
    descriptions: list[Any] = []
    shapes: list[Any] = []
    below: list[list[int]] = []
    for number, node in enumerate(cell.nodes):  # children come before what reads them
        children = list(cell.children(number) or ())
        if len({shapes[child] for child in children}) == 1:
            children.sort(key=lambda child: descriptions[child])
        marks = (number == cell.cell_out, number == cell.cell_in)
        inside = tuple(descriptions[child] for child in children)
        descriptions.append((node.combination, node.activation, *marks, inside))
        shapes.append(tuple(shapes[child] for child in children))
        below.append(children)
    origin = [len(cell.nodes) - 1] * len(cell.nodes)
    for place in reversed(range(cell.base, len(cell.nodes))):
        for child, source in zip(cell.children(place) or (), below[origin[place]], strict=True):
            origin[child] = source
    return replace(
        cell,
        nodes=tuple(cell.nodes[source] for source in origin),
        cell_out=origin.index(cell.cell_out),
        cell_in=origin.index(cell.cell_in),
    )
