"""Records: what an archive is given and gives back."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from nasgym.spaces.base import Tokens


@dataclass(frozen=True)
class Origin:
    """When and by whom a string was proposed, in a search that does not wait for waves."""

    proposal: int
    """Its place among all proposals of the run, from 0."""
    trials: int
    """Trials that were finished when it was made: what the agent could know, and the ceiling."""
    replica: int | None = None
    """Which replica of a controller sampled it."""
    version: int | None = None
    """Which version of the parameters it was sampled with."""


@dataclass(frozen=True)
class Proposal:
    """A string whose child is, or was, to be trained."""

    tokens: Tokens
    """The string."""
    origin: Origin
    """When and by whom it was proposed."""
    finished: bool = False
    """Whether there is a trial of it."""


@dataclass(frozen=True)
class Update:
    """A gradient that a parameter server applied (Zoph & Le 2017, section 3.2)."""

    replica: int
    """Whose gradient it was."""
    read: int
    """The version of the parameters it was computed with."""
    made: int
    """The version of the parameters it became part of."""
    reward: float
    """Mean reward of its children."""
    proposals: tuple[int, ...]
    """Its children."""


class Saved(NamedTuple):
    """An agent's state, and when it was saved."""

    trials: int
    """Trials finished by then."""
    proposals: int
    """Proposals made by then; 0 where strings come in waves."""
    state: bytes
    """What the agent made of itself."""


@dataclass(frozen=True)
class Trial:
    """One finished episode as recorded."""

    number: int
    """Its place in the run, from 0."""
    tokens: Tokens
    """The string the agent wrote."""
    architecture: Any
    """What the string means, as plain data."""
    reward: float
    """What the agent was paid."""
    accuracy: float
    """Validation accuracy, a fraction of 1."""
    metrics: Mapping[str, Any]
    """Whatever else was measured of the child."""
    status: str
    """How the child's training ended: "ok" or the kind of failure."""
    error: str
    """Why it failed; empty if it did not."""
    seconds: float
    """Wall-clock seconds of the child's training."""
    cached: bool
    """True if an earlier trial of the run was the same child, so that nothing was trained."""
    origin: Origin | None = None
    """Where it came from, in a search that does not wait for waves."""
    found: bool = False
    """True if another run of the archive had trained the child."""


class Counts(NamedTuple):
    """How many trials a run has, and where their children came from."""

    trials: int
    """All of them."""
    trained: int
    """Those whose child the run itself trained, or refused to."""
    found: int
    """Those whose child another run had trained."""
    failed: int
    """Those whose child failed, repeats too."""

    @property
    def different(self) -> int:
        """Return the number of different children."""
        return self.trained + self.found
