"""Spaces without conditions: every string makes the same decisions in the same order."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from nasgym.spaces.base import Decision, SearchSpace


class FixedLengthSpace(SearchSpace):
    """A space whose decisions do not depend on the choices made; subclasses list the decisions."""

    @property
    @abstractmethod
    def decisions(self) -> tuple[Decision, ...]:
        """Return the decisions in order; no two are equal."""

    def first(self) -> Decision:
        """Return the first decision."""
        return self.decisions[0]

    def following(self, decision: Decision, token: int) -> Decision | None:
        """Return the next decision, whatever the token."""
        position = self.decisions.index(decision) + 1
        return self.decisions[position] if position < len(self.decisions) else None

    def chosen(self, tokens: Sequence[int]) -> tuple[Any, ...]:
        """Return the option chosen at each decision; raise ValueError outside the space."""
        return tuple(decision.options[token] for decision, token in self.walk(tokens))
