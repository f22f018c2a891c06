"""Evaluation: what training a child brought, who may bring it, and what reward it earns."""

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import count, islice
from typing import Any, Protocol, runtime_checkable

from nasgym.evaluation.evaluation import Evaluation


class Evaluator(Protocol):
    """Anything that turns architectures into evaluations.

    Batch first: one evaluation for each architecture, in the same order. A child's failure is an
    `Evaluation` with a status, never an exception. An architecture's evaluation depends on nothing
    but the architecture and the evaluator's own settings. Evaluators that differ in their settings
    and share an archive need a `context`, a string that names the settings: what the archive holds
    is looked up by architecture and context.
    """

    def evaluate(self, architectures: Sequence[Any]) -> Sequence[Evaluation]:
        """Return one evaluation for each of `architectures`, in order."""
        ...


@runtime_checkable
class Streaming(Protocol):
    """An evaluator that hands over each evaluation as soon as its child is finished."""

    def stream(self, architectures: Sequence[Any]) -> Iterator[tuple[int, Evaluation]]:
        """Yield (index, evaluation) in the order of finishing."""
        ...


def stream(evaluator: Evaluator, architectures: Sequence[Any]) -> Iterator[tuple[int, Evaluation]]:
    """Yield (index, evaluation) from any evaluator, early where it can."""
    if isinstance(evaluator, Streaming):
        yield from evaluator.stream(architectures)
    else:
        evaluations = evaluator.evaluate(architectures)
        if len(evaluations) != len(architectures):
            raise ValueError(
                f"{type(evaluator).__name__}.evaluate was asked for {len(architectures)} "
                f"evaluations and returned {len(evaluations)}"
            )
        yield from enumerate(evaluations)


@runtime_checkable
class Asynchronous(Protocol):
    """An evaluator that trains children while its caller goes on."""

    def submit(self, architectures: Sequence[Any]) -> list[int]:
        """Begin with `architectures` as soon as workers are free; return a ticket for each."""
        ...

    def finished(self) -> list[tuple[int, Evaluation]]:
        """Wait for children and return (ticket, evaluation) of those that are finished.

        That is at least one, or none if none is under way.
        """
        ...


class InTurn:
    """Any evaluator as one that is asked for nothing until its caller waits."""

    def __init__(self, evaluator: Evaluator) -> None:
        """Have `evaluator` evaluate one after the other."""
        self.evaluator = evaluator
        self._tickets = count()
        self._waiting: deque[tuple[int, Any]] = deque()

    def submit(self, architectures: Sequence[Any]) -> list[int]:
        """Take in `architectures`; return a ticket for each."""
        tickets = list(islice(self._tickets, len(architectures)))
        self._waiting += zip(tickets, architectures, strict=True)
        return tickets

    def finished(self) -> list[tuple[int, Evaluation]]:
        """Evaluate the one that has waited longest; none if there is none."""
        if not self._waiting:
            return []
        ticket, architecture = self._waiting.popleft()
        ((_, evaluation),) = stream(self.evaluator, [architecture])
        return [(ticket, evaluation)]


def asynchronous(evaluator: Evaluator) -> Asynchronous:
    """Return `evaluator` itself if it trains while its caller goes on, else one like it."""
    return evaluator if isinstance(evaluator, Asynchronous) else InTurn(evaluator)
