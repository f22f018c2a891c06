"""Resuming: an agent proposes again what it proposed before, and nothing is trained twice."""

from collections import deque
from collections.abc import Sequence
from itertools import takewhile

from nasgym.archive import Archive, Proposal, Trial
from nasgym.errors import NasgymError
from nasgym.spaces.base import Tokens


class ReplayError(NasgymError):
    """A resumed agent proposed something else than before; the message is one line."""


class Replay:
    """The trials and proposals after the point where a search resumes.

    Each must be proposed again. Its result then comes from the archive.
    """

    def __init__(self, archive: Archive) -> None:
        """Replay nothing: the search continues after the last trial of `archive`."""
        self._archive = archive
        self.end = len(archive)
        """Number of trials that were recorded when the search resumed."""
        self._proposals: deque[Proposal] = deque()

    def start(self, trials: int, proposals: int) -> list[Proposal]:
        """Replay what follows the first `trials` trials and `proposals` proposals.

        Returns the proposals that were made before that point and had no trial then.
        """
        self.end = len(self._archive)
        without_trial = self._archive.proposals(trials)
        before = [one for one in without_trial if one.origin.proposal < proposals]
        self._proposals = deque(without_trial[len(before) :])
        return before

    def trials(self, first: int, strings: Sequence[Tokens]) -> list[Trial]:
        """Return the recorded trials from number `first` on that the first `strings` repeat.

        Raises ReplayError if a string differs from the recorded one.
        """
        if first >= self.end:
            return []
        recorded = self._archive[first : first + len(strings)]
        for trial, tokens in zip(recorded, strings, strict=False):
            if trial.tokens != tuple(tokens):
                raise ReplayError(_differs("trial", trial.number, tokens, trial.tokens))
        return recorded

    def trial(self, number: int) -> list[Trial]:
        """Return trial `number` in a list; an empty list if it was not recorded before."""
        return self._archive[number : number + 1] if number < self.end else []

    @property
    def pending(self) -> bool:
        """Whether there are proposals that must be made again."""
        return bool(self._proposals)

    def due(self, trials: int) -> list[Proposal]:
        """Return the proposals that one replica made after that number of trials, in order."""
        if not self._proposals:
            return []
        now = trials, self._proposals[0].origin.replica
        return list(
            takewhile(lambda one: (one.origin.trials, one.origin.replica) == now, self._proposals)
        )

    def repeated(self, proposals: Sequence[Proposal]) -> list[Proposal]:
        """Return the recorded proposals that the first of `proposals` repeat.

        Raises ReplayError if one of them differs.
        """
        recorded = [self._proposals.popleft() for _ in proposals[: len(self._proposals)]]
        for before, again in zip(recorded, proposals, strict=False):
            if (before.tokens, before.origin) != (again.tokens, again.origin):
                number = before.origin.proposal
                raise ReplayError(_differs("proposal", number, again.tokens, before.tokens))
        return recorded


def _differs(kind: str, number: int, now: Tokens, before: Tokens) -> str:
    return (
        f"{kind} {number} cannot be replayed: the agent proposed {tuple(now)}, the archive holds "
        f"{before}; was it made with another agent, seed or version?"
    )
