"""A cache in front of an evaluator: a finished child is never trained twice."""

from collections.abc import Sequence
from typing import Any, Protocol

from nasgym.evaluation.evaluation import Evaluation
from nasgym.evaluation.evaluator import Evaluator, asynchronous, stream
from nasgym.spaces.plain import digest


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
