"""The canonical order of a network's layers: the same for every numbering of the same network.

Colour refinement on the graph of layers, with individualisation of tied nodes, as in programs for
graph isomorphism. The networks have at most a few dozen layers.
"""

from collections.abc import Sequence
from typing import Any

Colours = list[int]
"""The colour of each node; nodes of the same colour could not yet be told apart."""

MAX_LEAVES = 256
"""Orders to compare before giving up on a very symmetric graph. The graph then keeps its given
order. That is safe: equal networks may only fail to be recognised as equal."""


class _Graph:
    """Layers as nodes from 0, each with a label and the nodes that it reads."""

    def __init__(self, labels: Sequence[tuple[Any, ...]], inputs: Sequence[Sequence[int]]) -> None:
        self.inputs = [sorted(nodes) for nodes in inputs]
        self.outputs: list[list[int]] = [[] for _ in inputs]
        for node, sources in enumerate(self.inputs):
            for source in sources:
                self.outputs[source].append(node)
        self.labels = labels
        self.leaves = 0

    def refine(self, colours: Colours) -> Colours:
        """Split colours by the colours of their neighbours until no colour splits."""
        while True:
            signatures = [
                (
                    colours[node],
                    tuple(sorted(colours[source] for source in self.inputs[node])),
                    tuple(sorted(colours[target] for target in self.outputs[node])),
                )
                for node in range(len(colours))
            ]
            refined = _ranks(signatures)
            if len(set(refined)) == len(set(colours)):
                return refined
            colours = refined

    def best_order(self, colours: Colours) -> tuple[list[Any], list[int]]:
        """Return the smallest description of the graph, and the order of nodes that gives it."""
        colours = self.refine(colours)
        tied = self.tied(colours)
        if not tied:
            self.leaves += 1
            order = self.topological(colours)
            number = {node: position for position, node in enumerate(order)}
            description = [
                (self.labels[node], sorted(number[source] for source in self.inputs[node]))
                for node in order
            ]
            return description, order
        candidates: list[tuple[list[Any], list[int]]] = []
        seen = set()
        for node in tied:
            around = (tuple(self.inputs[node]), tuple(self.outputs[node]))
            if around in seen or (candidates and self.leaves > MAX_LEAVES):
                continue  # nodes with the same neighbours are interchangeable: try one of them
            seen.add(around)
            chosen = [2 * colour + 1 for colour in colours]
            chosen[node] -= 1
            candidates.append(self.best_order(chosen))
        return min(candidates, key=lambda candidate: candidate[0])

    def tied(self, colours: Colours) -> list[int]:
        """Return the nodes of the first colour that several nodes share."""
        for colour in sorted(set(colours)):
            nodes = [node for node, other in enumerate(colours) if other == colour]
            if len(nodes) > 1:
                return nodes
        return []

    def topological(self, colours: Colours) -> list[int]:
        """Return the nodes in topological order, the smallest colour first."""
        order: list[int] = []
        missing = [len(sources) for sources in self.inputs]
        ready = [node for node, count in enumerate(missing) if count == 0]
        while ready:
            node = min(ready, key=lambda candidate: colours[candidate])
            ready.remove(node)
            order.append(node)
            for target in self.outputs[node]:
                missing[target] -= 1
                if missing[target] == 0:
                    ready.append(target)
        return order


def canonical_order(
    labels: Sequence[tuple[Any, ...]], inputs: Sequence[Sequence[int]]
) -> list[int]:
    """Return the nodes in an order that depends on the network and not on their numbering.

    Node i, from 0, has the label `labels[i]` and reads the earlier nodes `inputs[i]`, in any order.
    """
    graph = _Graph(labels, inputs)
    order = graph.best_order(_ranks(labels))[1]
    return list(range(len(labels))) if graph.leaves > MAX_LEAVES else order


def _ranks(values: Sequence[tuple[Any, ...]]) -> Colours:
    """Return the rank of each value among the distinct values."""
    rank = {value: position for position, value in enumerate(sorted(set(values)))}
    return [rank[value] for value in values]
