"""What a network may cost: a cost weighed in the reward, and limits that no child may exceed."""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import count, islice
from typing import Any, Protocol, runtime_checkable

from nasgym.evaluation.evaluation import Evaluation, Scored
from nasgym.evaluation.evaluator import Evaluator, asynchronous, stream


@runtime_checkable
class Priced(Protocol):
    """An evaluator that knows what a child costs before it is trained."""

    def costs(self, architecture: Any) -> Mapping[str, float]:
        """Return the costs that are known by name; none at all for what cannot be built."""
        ...


class Limited:
    """An evaluator that has no child trained that costs more than a limit.

    Such a child is "invalid", its error names the limit, its metrics are its costs and "limit".
    """

    def __init__(self, evaluator: Evaluator, limits: Mapping[str, float]) -> None:
        """Have `evaluator` train what no limit forbids; `limits` are by the name of the cost.

        Raises ValueError, in one line, for limits that cannot be kept.
        """
        if not isinstance(evaluator, Priced):
            raise ValueError(
                f"max_{next(iter(limits))} needs an evaluator that knows what a child costs before "
                f"it is trained: {type(evaluator).__name__} has no method costs"
            )
        for name, limit in limits.items():
            if not limit > 0:
                raise ValueError(f"max_{name} must be above 0, not {limit}")
        self.evaluator: Any = evaluator
        self.limits = limits
        known = getattr(evaluator, "context", "")
        self.context = json.dumps({"context": known, "limits": dict(limits)}, sort_keys=True)
        self._running = asynchronous(evaluator)
        self._tickets = count()
        self._ours: dict[int, int] = {}
        self._untrained: list[tuple[int, Evaluation]] = []

    def evaluate(self, architectures: Sequence[Any]) -> list[Evaluation]:
        """Return one evaluation for each of `architectures`, in order."""
        evaluations = dict(self.stream(architectures))
        return [evaluations[index] for index in range(len(architectures))]

    def stream(self, architectures: Sequence[Any]) -> Iterator[tuple[int, Evaluation]]:
        """Yield (index, evaluation), first of the children that are not trained."""
        within = []
        for index, architecture in enumerate(architectures):
            refused = self._refused(self.evaluator.costs(architecture))
            if refused is None:
                within.append(index)
            else:
                yield index, refused
        if within:
            trained = stream(self.evaluator, [architectures[index] for index in within])
            yield from ((within[place], evaluation) for place, evaluation in trained)

    def submit(self, architectures: Sequence[Any]) -> list[int]:
        """Begin with the children that are trained; return a ticket for each of all."""
        tickets = list(islice(self._tickets, len(architectures)))
        within = {}
        for ticket, architecture in zip(tickets, architectures, strict=True):
            refused = self._refused(self.evaluator.costs(architecture))
            if refused is None:
                within[ticket] = architecture
            else:
                self._untrained.append((ticket, refused))
        begun = self._running.submit(list(within.values()))
        self._ours |= zip(begun, within, strict=True)
        return tickets

    def finished(self) -> list[tuple[int, Evaluation]]:
        """Return (ticket, evaluation) of children, first of those that are not trained."""
        finished, self._untrained = self._untrained, []
        return finished or [
            (self._ours.pop(ticket), evaluation) for ticket, evaluation in self._running.finished()
        ]

    def _refused(self, costs: Mapping[str, float]) -> Evaluation | None:
        """Return the evaluation of a child with these costs, or None if it is to be trained."""
        for name, limit in self.limits.items():
            if costs and name not in costs:
                raise ValueError(f"max_{name} cannot be kept: only {', '.join(costs)} are known")
            if costs and costs[name] > limit:
                error = f"{costs[name]:,} {name}, more than max_{name}={limit}"
                return Evaluation(status="invalid", error=error, metrics={**costs, "limit": name})
        return None


def refused(outcome: Scored) -> bool:
    """Return whether a child was not trained because of a limit: that is no failure."""
    return "limit" in outcome.metrics
