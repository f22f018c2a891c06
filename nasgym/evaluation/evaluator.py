"""The interface of evaluators: objects that train children, or look them up."""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import count, islice
from typing import Any, Protocol

from nasgym.errors import InvalidInput
from nasgym.evaluation.evaluation import Evaluation


class Evaluator(ABC):
    """Turns architectures into evaluations.

    A subclass must implement `evaluate`. A subclass that trains children in the background also
    overrides `submit`, `finished` and `cancel`.

    A child's failure is an `Evaluation` with a status, never an exception. The evaluation of an
    architecture depends only on the architecture and on `context`.
    """

    context: str = ""
    """Every setting that decides an evaluation besides the architecture, as text. The archive finds
    results by architecture and context."""

    resource_limits: str = ""
    """The limits of time and memory, as text. A child that failed at such a limit is trained again
    under other limits."""

    knows_costs: bool = False
    """Whether `costs` returns the costs of a child before it is trained."""

    @property
    def name(self) -> str:
        """The name of the evaluator in messages."""
        return type(self).__name__

    @property
    def workers(self) -> int | None:
        """The number of children trained at the same time; None if the caller decides."""
        return None

    @abstractmethod
    def evaluate(self, architectures: Sequence[Any]) -> Sequence[Evaluation]:
        """Return one evaluation for each of `architectures`, in order."""

    def submit(self, architectures: Sequence[Any]) -> list[int]:
        """Start to evaluate `architectures` and return a ticket for each."""
        tickets = list(islice(self._queue.tickets, len(architectures)))
        self._queue.waiting += zip(tickets, architectures, strict=True)
        return tickets

    def finished(self) -> list[tuple[int, Evaluation]]:
        """Wait for children and return (ticket, evaluation) of those that finished.

        Returns at least one, or none if nothing was submitted. By default everything submitted is
        evaluated in one batch and returned one by one, in the order of submission.
        """
        queue = self._queue
        if queue.waiting and not queue.done:
            tickets, architectures = zip(*queue.waiting, strict=True)
            queue.done += zip(tickets, evaluate_all(self, architectures), strict=True)
            queue.waiting.clear()  # only now: an interrupted evaluation is repeated
        return [queue.done.popleft()] if queue.done else []

    def cancel(self) -> None:
        """End the evaluation of everything that was submitted."""
        self._queue.waiting.clear()
        self._queue.done.clear()

    def costs(self, architecture: Any) -> Mapping[str, float]:
        """Return the known costs of a child by name; an empty mapping if it cannot be built."""
        return {}

    def close(self) -> None:
        """Free the workers; a closed evaluator evaluates nothing more."""
        self.cancel()

    @cached_property
    def _queue(self) -> "_Queue":
        return _Queue()


class _Queue:
    """Submitted architectures, and evaluations that `finished` has not returned yet."""

    def __init__(self) -> None:
        self.tickets = count()
        self.waiting: deque[tuple[int, Any]] = deque()
        self.done: deque[tuple[int, Evaluation]] = deque()


class EvaluatesBatches(Protocol):
    """Any object with a method `evaluate`: enough for an evaluator of your own."""

    def evaluate(self, architectures: Sequence[Any]) -> Sequence[Evaluation]:
        """Return one evaluation for each of `architectures`, in order."""
        ...


class WrappedEvaluator(Evaluator):
    """An object that has `evaluate` as an evaluator.

    Its `context`, `resource_limits`, `workers`, `costs` and `close` are used if it has them. To
    train in the background, with `submit` and `finished`, it must be an `Evaluator` itself.
    """

    def __init__(self, wrapped: EvaluatesBatches) -> None:
        """Wrap an object; its optional members are read once, here."""
        self.wrapped = wrapped
        self.context = getattr(wrapped, "context", "")
        self.resource_limits = getattr(wrapped, "resource_limits", "")
        self._workers: int | None = getattr(wrapped, "workers", None)
        self._costs = getattr(wrapped, "costs", None)
        self._close = getattr(wrapped, "close", None)
        self.knows_costs = self._costs is not None

    @property
    def name(self) -> str:
        """The name of the object's class."""
        return type(self.wrapped).__name__

    @property
    def workers(self) -> int | None:
        """The number of workers that the object says it has."""
        return self._workers

    def evaluate(self, architectures: Sequence[Any]) -> Sequence[Evaluation]:
        """Return the object's evaluations."""
        return evaluate_all(self.wrapped, architectures)

    def costs(self, architecture: Any) -> Mapping[str, float]:
        """Return the costs that the object knows."""
        return {} if self._costs is None else self._costs(architecture)

    def close(self) -> None:
        """Close the object if it can be closed."""
        if self._close is not None:
            self._close()


def as_evaluator(evaluator: Evaluator | EvaluatesBatches) -> Evaluator:
    """Return `evaluator` itself, or a wrapper if it is an object with a method `evaluate`.

    Raises TypeError for anything else.
    """
    if isinstance(evaluator, Evaluator):
        return evaluator
    if callable(getattr(evaluator, "evaluate", None)):
        return WrappedEvaluator(evaluator)
    raise TypeError(
        f"{type(evaluator).__name__} is no evaluator: give it a method evaluate(architectures)"
    )


def evaluate_all(evaluator: EvaluatesBatches, architectures: Sequence[Any]) -> Sequence[Evaluation]:
    """Return the evaluations of `architectures`; raise ValueError if their number is wrong."""
    evaluations = evaluator.evaluate(architectures)
    if len(evaluations) != len(architectures):
        raise InvalidInput(
            f"{type(evaluator).__name__}.evaluate returned {len(evaluations)} evaluations for "
            f"{len(architectures)} architectures"
        )
    return evaluations
