"""The outcome of a child's training."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from nasgym.errors import InvalidInput

STATUSES = ("ok", "nan", "oom", "timeout", "exception", "killed", "invalid")
"""How a child's training can end. Every status but "ok" is a failure and earns FAILURE_REWARD."""

RESOURCE_FAILURES = ("oom", "timeout", "killed")
"""Failures for lack of memory, time or a machine: under other limits the child may train."""

LONGEST_ERROR = 4000
"""Characters of an error message that are kept, the last ones."""


@dataclass(frozen=True)
class Evaluation:
    """The outcome of one child's training. `Evaluation(accuracy=0.93)` is complete."""

    accuracy: float = 0.0
    """Validation accuracy as a fraction of 1; finite, also for a failed child."""
    status: str = "ok"
    """One of STATUSES."""
    error: str = ""
    """Why the child failed, at most LONGEST_ERROR characters; empty if it did not fail."""
    seconds: float = 0.0
    """Wall-clock seconds of the child's training."""
    metrics: Mapping[str, Any] = field(default_factory=dict)
    """All other measurements as plain JSON data: "nll", "curve", "parameters", ..."""

    def __post_init__(self) -> None:
        if self.status not in STATUSES:
            raise InvalidInput(f"status {self.status!r} is none of {', '.join(STATUSES)}")
        if not 0.0 <= self.accuracy <= 1.0:
            raise InvalidInput(f"accuracy must be a fraction of 1, not {self.accuracy!r}")
        if len(self.error) > LONGEST_ERROR:
            object.__setattr__(self, "error", self.error[-LONGEST_ERROR:])

    def to_plain(self) -> dict[str, Any]:
        """Return the evaluation as JSON-able data."""
        return asdict(self)

    @classmethod
    def from_plain(cls, data: Mapping[str, Any]) -> "Evaluation":
        """Return the evaluation that `to_plain` wrote."""
        return cls(**data)


class Scored(Protocol):
    """An outcome with an accuracy and metrics: an Evaluation or a Trial."""

    @property
    def accuracy(self) -> float:
        """Return the validation accuracy as a fraction of 1."""
        ...

    @property
    def metrics(self) -> Mapping[str, Any]:
        """Return all other measurements."""
        ...


def score(outcome: Scored) -> str:
    """Return the perplexity of a child if it has one, else its accuracy, in words."""
    if "perplexity" in outcome.metrics:
        return f"perplexity {outcome.metrics['perplexity']:,.1f}"
    return f"accuracy {outcome.accuracy:.2%}"
