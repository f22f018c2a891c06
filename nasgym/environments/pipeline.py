"""The pipeline from strings to trials: decode, train or look up, store, record."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nasgym.archive import Archive, Origin, Trial
from nasgym.evaluation.cache import EvaluationCache
from nasgym.evaluation.evaluation import Evaluation
from nasgym.evaluation.evaluator import Evaluator
from nasgym.evaluation.rewards import Reward, reward_of
from nasgym.spaces.base import SearchSpace, Tokens
from nasgym.spaces.plain import plain


@dataclass(frozen=True)
class Candidate:
    """A string, and the child that it describes."""

    tokens: Tokens
    """The string."""
    architecture: Any
    """The decoded architecture as plain data."""
    child: Any
    """The canonical architecture, which is trained."""
    key: str
    """The key under which the child's evaluation is stored."""
    origin: Origin | None = None
    """When and by whom it was proposed, in an asynchronous search."""


class Pipeline:
    """Turns candidates into trials; children that are the same network are trained once.

    `play` is for batches: it records trials in the order of their strings. `queue`, `begin` and
    `finished` are for asynchronous searches: they record trials in the order of finishing.
    """

    def __init__(self, evaluator: Evaluator, archive: Archive, reward: Reward) -> None:
        """Train with `evaluator`, reward with `reward`, and record in `archive`."""
        self.archive = archive
        self.reward = reward
        self._cache = EvaluationCache(evaluator, archive)
        self._awaited: dict[str, list[Candidate]] = {}
        self._queued: dict[str, Any] = {}

    def candidate(
        self, space: SearchSpace, tokens: Tokens, origin: Origin | None = None
    ) -> Candidate:
        """Return the candidate that `tokens` describe; ValueError if they are not in `space`."""
        architecture = space.decode(tokens)
        child, described = space.canonical(architecture), plain(architecture)
        key = self._cache.key_of_plain(described if child is architecture else plain(child))
        return Candidate(tuple(tokens), described, child, key, origin)

    def play(self, candidates: Sequence[Candidate]) -> list[Trial]:
        """Train the children of all candidates, wait for them, and record their trials in order.

        Every child is stored as soon as it finishes.
        """
        keys = [one.key for one in candidates]
        evaluations = self._cache.evaluate([one.child for one in candidates], keys)
        return self._record(candidates, dict(zip(keys, evaluations, strict=True)))

    @property
    def in_training(self) -> int:
        """The number of different children that were queued and not recorded."""
        return len(self._awaited)

    def queue(self, candidates: Sequence[Candidate]) -> None:
        """Queue candidates for `begin`; `finished` records their trials."""
        for one in candidates:
            self._awaited.setdefault(one.key, []).append(one)
            self._queued[one.key] = one.child

    def begin(self) -> None:
        """Start to train the queued children."""
        queued, self._queued = self._queued, {}
        self._cache.submit(queued)

    def finished(self) -> list[Trial]:
        """Wait for children, and store and record them in one transaction; return the trials.

        Returns at least one trial, or none if nothing was submitted.
        """
        evaluations = self._cache.finished()
        trials: list[Trial] = []
        try:
            with self.archive.together():
                for key, evaluation in evaluations.items():
                    kept = self.archive.store(key, evaluation)
                    trials += self._record(self._awaited.pop(key, []), {key: kept})
        except BaseException:  # of a reward, or a signal: keep the finished children all the same
            for key, evaluation in evaluations.items():
                self.archive.store(key, evaluation)
            raise
        return trials

    def forget(self) -> None:
        """Drop all queued candidates; a child in training finishes and is stored."""
        self._awaited, self._queued = {}, {}

    def _record(
        self, candidates: Sequence[Candidate], evaluations: Mapping[str, Evaluation]
    ) -> list[Trial]:
        rewards = [reward_of(evaluations[one.key], self.reward) for one in candidates]
        episodes = [
            (one.tokens, one.architecture, reward, one.key)
            for one, reward in zip(candidates, rewards, strict=True)
        ]
        origins = [one.origin for one in candidates if one.origin is not None]
        return self.archive.record(episodes, origins or None)
