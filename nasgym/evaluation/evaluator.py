"""Evaluation: what training a child brought, who may bring it, and what reward it earns."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import count, islice
from math import exp
from typing import Any, Protocol, runtime_checkable

from nasgym.architecture import digest

STATUSES = ("ok", "nan", "oom", "timeout", "exception", "killed", "invalid")
"""How a child's training can end; everything but "ok" is a failure and earns the failure reward."""

ENVIRONMENTAL = ("oom", "timeout", "killed")
"""Failures for want of memory, time or a machine: more of that, and the child may train."""

FAILURE_REWARD = 0.0
"""The reward of a child that failed: finite, and no better than the worst child that trained."""

LONGEST_ERROR = 4000

PERPLEXITY_CONSTANT = 80.0
"""The usual constant of the reward for perplexity (Zoph & Le 2017, section 4.2)."""


@dataclass(frozen=True)
class Evaluation:
    """The outcome of one child's training. `Evaluation(accuracy=0.93)` is complete."""

    accuracy: float = 0.0
    """Validation accuracy as a fraction of 1; finite, also for a failed child."""
    status: str = "ok"
    """One of STATUSES."""
    error: str = ""
    """Why the child failed, at most 4,000 characters; empty if it did not."""
    seconds: float = 0.0
    """Wall-clock seconds of the child's training."""
    metrics: Mapping[str, Any] = field(default_factory=dict)
    """Whatever else was measured, as plain JSON data: "nll", "curve", "parameters", ..."""

    def __post_init__(self) -> None:
        if self.status not in STATUSES:
            raise ValueError(f"status {self.status!r} is none of {', '.join(STATUSES)}")
        if not 0.0 <= self.accuracy <= 1.0:
            raise ValueError(f"accuracy must be a fraction of 1, not {self.accuracy!r}")
        if len(self.error) > LONGEST_ERROR:
            object.__setattr__(self, "error", self.error[-LONGEST_ERROR:])

    def to_plain(self) -> dict[str, Any]:
        """Return the evaluation as JSON-able data."""
        return asdict(self)

    @classmethod
    def from_plain(cls, data: Mapping[str, Any]) -> "Evaluation":
        """Return the evaluation that `to_plain` wrote."""
        return cls(**data)


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


class ResultStore(Protocol):
    """Where `Cached` keeps finished children: `nasgym.archive.Archive` is one."""

    def result(self, key: str) -> Evaluation | None:
        """Return the evaluation stored under `key`, or None."""
        ...

    def store(self, key: str, evaluation: Evaluation) -> Evaluation:
        """Keep `evaluation` under `key`, durably, and return what is kept there.

        That is another one if somebody else was first.
        """
        ...


class Cached:
    """An evaluator that never trains the same child twice.

    Two architectures are the same child if their digests agree and everything else that decides
    the outcome does too: `context` names it (recipe, data, seed, threads, precision).
    """

    def __init__(self, evaluator: Evaluator, store: ResultStore, context: str = "") -> None:
        """Answer from `store` what it holds, and have `evaluator` train the rest."""
        self.evaluator = evaluator
        self.store = store
        self.context = context
        self._running = asynchronous(evaluator)
        self._keys: dict[int, str] = {}
        self._under_way: set[str] = set()
        self._known: dict[str, Evaluation] = {}

    def key(self, architecture: Any) -> str:
        """Return what the evaluation of `architecture` is stored under."""
        return digest((self.context, architecture))

    def evaluate(
        self, architectures: Sequence[Any], keys: Sequence[str] | None = None
    ) -> list[Evaluation]:
        """Return one evaluation for each architecture, in order; repeats are trained once.

        `keys` are those of the architectures, if the caller has them already.
        """
        keys = keys or [self.key(architecture) for architecture in architectures]
        children = dict(zip(keys, architectures, strict=True))
        known = ((key, self.store.result(key)) for key in children)
        finished = {key: evaluation for key, evaluation in known if evaluation is not None}
        missing = [key for key in children if key not in finished]
        if missing:
            for index, evaluation in stream(self.evaluator, [children[key] for key in missing]):
                finished[missing[index]] = self.store.store(missing[index], evaluation)
        return [finished[key] for key in keys]

    def submit(self, architectures: Sequence[Any], keys: Sequence[str]) -> None:
        """Begin with the children that are neither known nor under way; `keys` are theirs."""
        children = {}
        for key, architecture in zip(keys, architectures, strict=True):
            if key in self._under_way or key in self._known:
                continue
            known = self.store.result(key)
            if known is None:
                children[key] = architecture
            else:
                self._known[key] = known
        tickets = self._running.submit(list(children.values()))
        self._keys |= zip(tickets, children, strict=True)
        self._under_way.update(children)

    def finished(self) -> dict[str, Evaluation]:
        """Wait for children and return, by key, what was submitted and is known by now.

        That is at least one, or none if none is under way. The caller is to store them, with all
        that it has to say of them: what was trained is in the store no sooner.
        """
        finished, self._known = self._known, {}
        if not finished:
            for ticket, evaluation in self._running.finished():
                key = self._keys.pop(ticket)
                self._under_way.remove(key)
                finished[key] = evaluation
        return finished


class Scored(Protocol):
    """What says how good a child is: an Evaluation, or a Trial."""

    @property
    def accuracy(self) -> float:
        """Return the validation accuracy as a fraction of 1."""
        ...

    @property
    def metrics(self) -> Mapping[str, Any]:
        """Return whatever else was measured."""
        ...


Reward = Callable[[Evaluation], float]


def accuracy(evaluation: Evaluation) -> float:
    """Return the validation accuracy."""
    return evaluation.accuracy


def accuracy_cubed(evaluation: Evaluation) -> float:
    """Return the cube of the validation accuracy (Zoph & Le 2017, section 4.1)."""
    return float(evaluation.accuracy**3)


def nll(evaluation: Evaluation) -> float:
    """Return exp(-NLL): the geometric mean probability the child gives the right class.

    It orders children as the negative log likelihood does, lies in [0, 1] whatever happens, and
    agrees between seeds better than accuracy.
    """
    return exp(-float(evaluation.metrics["nll"]))


def perplexity(evaluation: Evaluation, constant: float = PERPLEXITY_CONSTANT) -> float:
    """Return `constant` over the square of the validation perplexity.

    For language models (Zoph & Le 2017, section 4.2).
    """
    return constant / float(evaluation.metrics["perplexity"]) ** 2


REWARDS: Mapping[str, Reward] = {
    "accuracy": accuracy,
    "accuracy_cubed": accuracy_cubed,
    "nll": nll,
    "perplexity": perplexity,
}


def reward_named(reward: str | Reward) -> Reward:
    """Return the reward of that name, or `reward` itself; ValueError for a name there is not."""
    if callable(reward):
        return reward
    if reward not in tuple(REWARDS):
        raise ValueError(f"reward {reward!r} is none of {', '.join(REWARDS)}")
    return REWARDS[reward]


def reward_of(evaluation: Evaluation, reward: Reward) -> float:
    """Return what `evaluation` earns: `reward` of it, or the failure reward if the child failed."""
    return reward(evaluation) if evaluation.status == "ok" else FAILURE_REWARD


def score(outcome: Scored) -> str:
    """Return in words how good a child is: its perplexity if it has one, else its accuracy."""
    if "perplexity" in outcome.metrics:
        return f"perplexity {outcome.metrics['perplexity']:,.1f}"
    return f"accuracy {outcome.accuracy:.2%}"
