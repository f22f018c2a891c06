"""Hard limits on the costs of a child, checked before it is trained."""

import json
from collections.abc import Mapping, Sequence
from itertools import count, islice
from typing import Any

from nasgym.errors import InvalidInput
from nasgym.evaluation.evaluation import Evaluation, Scored
from nasgym.evaluation.evaluator import Evaluator, evaluate_all


class CostLimits(Evaluator):
    """An evaluator that refuses children whose costs exceed a limit.

    A refused child is "invalid": its error names the limit, and its metrics are its costs and
    "limit".
    """

    knows_costs = True

    def __init__(self, evaluator: Evaluator, limits: Mapping[str, float]) -> None:
        """Have `evaluator` train the children within `limits`, which are by the name of the cost.

        Raises ValueError for limits that cannot be checked.
        """
        if not evaluator.knows_costs:
            raise InvalidInput(
                f"max_{next(iter(limits))} needs an evaluator that knows the costs of a child "
                f"before training: {evaluator.name} has no method costs"
            )
        for name, limit in limits.items():
            if not limit > 0:
                raise InvalidInput(f"max_{name} must be above 0, not {limit}")
        self.evaluator = evaluator
        self.limits = limits
        self.resource_limits = evaluator.resource_limits
        known = {"context": evaluator.context, "limits": dict(limits)}
        self.context = json.dumps(known, sort_keys=True)
        self._tickets = count()
        self._in_training: dict[int, int] = {}
        self._refused: list[tuple[int, Evaluation]] = []

    @property
    def workers(self) -> int | None:
        """The number of children trained at the same time."""
        return self.evaluator.workers

    def evaluate(self, architectures: Sequence[Any]) -> list[Evaluation]:
        """Return one evaluation for each of `architectures`, in order."""
        evaluations = [self._refusal(self.costs(child)) for child in architectures]
        within = [index for index, refusal in enumerate(evaluations) if refusal is None]
        if within:
            trained = evaluate_all(self.evaluator, [architectures[index] for index in within])
            for index, evaluation in zip(within, trained, strict=True):
                evaluations[index] = evaluation
        return [one for one in evaluations if one is not None]

    def submit(self, architectures: Sequence[Any]) -> list[int]:
        """Start to train the children within the limits; return a ticket for each of all."""
        refusals = [self._refusal(self.costs(child)) for child in architectures]
        tickets = list(islice(self._tickets, len(architectures)))
        within = {}
        for ticket, architecture, refusal in zip(tickets, architectures, refusals, strict=True):
            if refusal is None:
                within[ticket] = architecture
            else:
                self._refused.append((ticket, refusal))
        begun = self.evaluator.submit(list(within.values()))
        self._in_training |= zip(begun, within, strict=True)
        return tickets

    def finished(self) -> list[tuple[int, Evaluation]]:
        """Return (ticket, evaluation) of children, the refused ones first."""
        finished, self._refused = self._refused, []
        return finished or [
            (self._in_training.pop(ticket), evaluation)
            for ticket, evaluation in self.evaluator.finished()
        ]

    def cancel(self) -> None:
        """End the training of everything that was submitted."""
        self.evaluator.cancel()
        self._in_training.clear()
        self._refused.clear()

    def costs(self, architecture: Any) -> Mapping[str, float]:
        """Return the known costs of a child by name."""
        return self.evaluator.costs(architecture)

    def close(self) -> None:
        """Close the evaluator."""
        self.evaluator.close()

    def _refusal(self, costs: Mapping[str, float]) -> Evaluation | None:
        """Return the evaluation of a child beyond a limit; None for one within all limits.

        A child that cannot be built has no costs: its training reports the error.
        """
        for name, limit in self.limits.items() if costs else ():
            if name not in costs:
                raise InvalidInput(
                    f"max_{name} cannot be checked: only {', '.join(costs)} are known"
                )
            if costs[name] > limit:
                error = f"{costs[name]:,} {name}, more than max_{name}={limit}"
                return Evaluation(status="invalid", error=error, metrics={**costs, "limit": name})
        return None


def refused(outcome: Scored) -> bool:
    """Return whether a child was not trained because of a limit, which is no failure."""
    return "limit" in outcome.metrics
