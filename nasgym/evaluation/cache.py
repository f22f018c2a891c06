"""A cache in front of an evaluator: no child is trained twice."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from nasgym.evaluation.evaluation import Evaluation
from nasgym.evaluation.evaluator import Evaluator
from nasgym.spaces.plain import digest_of_plain, plain


class ResultStore(Protocol):
    """Where finished children are kept: `nasgym.archive.Archive` is one."""

    def result(self, key: str) -> Evaluation | None:
        """Return the evaluation stored under `key`, or None."""
        ...

    def store(self, key: str, evaluation: Evaluation) -> Evaluation:
        """Keep `evaluation` under `key`, durably, and return it.

        If another process stored one first, returns that one.
        """
        ...


class EvaluationCache:
    """Answers from a store if it can, else from an evaluator.

    Two architectures are the same child if their canonical forms and the evaluator's `context`
    (recipe, data, seed, precision, ...) are equal.
    """

    def __init__(self, evaluator: Evaluator, store: ResultStore) -> None:
        """Look children up in `store`; have `evaluator` train those it does not hold."""
        self.evaluator = evaluator
        self._store = store
        self._keys: dict[int, str] = {}
        self._in_training: set[str] = set()
        self._known: dict[str, Evaluation] = {}

    def key(self, child: Any) -> str:
        """Return the key under which the evaluation of a canonical architecture is stored."""
        return self.key_of_plain(plain(child))

    def key_of_plain(self, child: Any) -> str:
        """Return the key of a canonical architecture in plain form."""
        return digest_of_plain([self.evaluator.context, child])

    def evaluate(
        self, children: Sequence[Any], keys: Sequence[str] | None = None
    ) -> list[Evaluation]:
        """Return one evaluation for each of `children`, in order; store each as it finishes.

        `keys` are the keys of the children, if the caller has them. `finished` still returns the
        children that were submitted before. If the wait is interrupted, all children are ended.
        """
        keys = keys or [self.key(child) for child in children]
        submitted = self._in_training | self._known.keys()
        try:
            self.submit(dict(zip(keys, children, strict=True)))
            evaluations, self._known = self._known, {}
            while not evaluations.keys() >= set(keys):
                for key, evaluation in self.finished().items():
                    evaluations[key] = self._store.store(key, evaluation)
        except BaseException:
            self.cancel()
            raise
        self._known = {key: evaluations[key] for key in submitted & evaluations.keys()}
        return [evaluations[key] for key in keys]

    def submit(self, children: Mapping[str, Any]) -> None:
        """Start to train those of `children`, by their keys, that are not known or in training."""
        missing = {}
        for key, child in children.items():
            if key in self._in_training or key in self._known:
                continue
            known = self._store.result(key)
            if known is None:
                missing[key] = child
            else:
                self._known[key] = known
        if missing:
            tickets = self.evaluator.submit(list(missing.values()))
            self._keys |= zip(tickets, missing, strict=True)
            self._in_training.update(missing)

    def finished(self) -> dict[str, Evaluation]:
        """Wait for children and return the evaluations of those submitted and known, by key.

        Returns at least one, or none if none was submitted. The caller stores them, together with
        the trials they belong to.
        """
        finished, self._known = self._known, {}
        if not finished:
            for ticket, evaluation in self.evaluator.finished():
                key = self._keys.pop(ticket)
                self._in_training.remove(key)
                finished[key] = evaluation
        return finished

    def cancel(self) -> None:
        """End the training of all children that were submitted."""
        self.evaluator.cancel()
        self._keys.clear()
        self._in_training.clear()
        self._known.clear()
