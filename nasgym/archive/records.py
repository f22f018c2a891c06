"""Records: the data that an archive takes and returns."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from nasgym.spaces.base import Tokens


@dataclass(frozen=True)
class Origin:
    """When a string was proposed and by which replica, in an asynchronous search."""

    proposal: int
    """Its number among all proposals of the run, from 0."""
    trials: int
    """Trials finished when it was proposed: they decide the agent's knowledge and the ceiling."""
    replica: int | None = None
    """The controller replica that sampled it."""
    version: int | None = None
    """The version of the parameters that it was sampled with."""


@dataclass(frozen=True)
class Proposal:
    """A string proposed for training."""

    tokens: Tokens
    """The string."""
    origin: Origin
    """When and by which replica it was proposed."""
    finished: bool = False
    """Whether it has a trial."""


@dataclass(frozen=True)
class Update:
    """A gradient that a parameter server applied (Zoph & Le 2017, section 3.2)."""

    replica: int
    """The controller replica that computed it."""
    read: int
    """The version of the parameters that it was computed with."""
    made: int
    """The version of the parameters that it produced."""
    reward: float
    """Mean reward of its children."""
    proposals: tuple[int, ...]
    """The numbers of its children's proposals."""


class AgentState(NamedTuple):
    """A saved state of an agent."""

    trials: int
    """Trials finished when it was saved."""
    proposals: int
    """Proposals made when it was saved; 0 in a search in waves."""
    state: bytes
    """The state as the agent serialized it."""


@dataclass(frozen=True)
class Trial:
    """A finished episode."""

    number: int
    """Its number in the run, from 0."""
    tokens: Tokens
    """The string that the agent proposed."""
    architecture: Any
    """The decoded architecture as plain data."""
    reward: float
    """The reward that the agent received."""
    accuracy: float
    """Validation accuracy, a fraction of 1."""
    metrics: Mapping[str, Any]
    """All other measurements of the child, by name."""
    status: str
    """How the child's training ended: "ok" or the kind of failure."""
    error: str
    """Why it failed; empty if it did not."""
    seconds: float
    """Wall-clock seconds of the child's training."""
    cached: bool
    """Whether an earlier trial of the run has the same child, so that nothing was trained."""
    origin: Origin | None = None
    """When it was proposed, in an asynchronous search."""
    found: bool = False
    """Whether another run of the archive trained the child."""


class Counts(NamedTuple):
    """The number of trials of a run, by where their children came from."""

    trials: int
    """All trials."""
    trained: int
    """Trials whose child this run trained, or rejected because of a constraint."""
    found: int
    """Trials whose child another run trained."""
    failed: int
    """Trials whose child failed, repeats included."""

    @property
    def different(self) -> int:
        """Return the number of different children."""
        return self.trained + self.found
