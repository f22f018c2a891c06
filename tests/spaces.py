"""Small spaces and evaluators that the tests share."""

from collections.abc import Sequence
from typing import Any

from nasgym import Decision, Evaluation, SearchSpace
from nasgym.spaces.plain import digest


class Stack(SearchSpace):
    """Layers of a kind each: a convolution has a size and a width, a pool a size, "stop" ends.

    Later decisions depend on earlier tokens: a branch for each kind, and no two pools in a row.
    """

    def __init__(self, deepest: int = 3) -> None:
        self.deepest = deepest

    def first(self) -> Decision:
        return Decision("kind", ("conv", "pool", "stop"), layer=1)

    def following(self, decision: Decision, token: int) -> Decision | None:
        layer, option = decision.layer, decision.options[token]
        if decision.name == "kind":
            if option == "stop":
                return None
            return Decision("size", (1, 3, 5) if option == "conv" else (2, 3), layer, memory=option)
        if decision.name == "size" and decision.memory == "conv":
            return Decision("width", (8, 16), layer)
        if layer == self.deepest:
            return None
        kinds = ("conv", "stop") if decision.memory == "pool" else ("conv", "pool", "stop")
        return Decision("kind", kinds, layer + 1)

    def decode(self, tokens: Sequence[int]) -> list[list[Any]]:
        return [[d.name, d.layer, d.options[token]] for d, token in self.walk(tokens)]


class Numbers:
    """A free evaluator: the accuracy is a fixed pseudo-random function of the architecture."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def evaluate(self, architectures: Sequence[Any]) -> list[Evaluation]:
        self.asked += architectures
        return [
            Evaluation(accuracy=int(digest(architecture)[:8], 16) / 2**32, metrics={"nll": 0.5})
            for architecture in architectures
        ]
