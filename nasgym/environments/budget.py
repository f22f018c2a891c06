"""The budget of a search: a number of children, and seconds of training."""

from collections.abc import Iterator
from contextlib import contextmanager

from nasgym.archive import Archive


class BudgetSpent(Exception):
    """The budget is spent; `Budget.limited_to` catches it."""


class Budget:
    """Counts the children and the seconds of a run against their limits."""

    def __init__(self, archive: Archive) -> None:
        """Count the trials of `archive`; there are no limits yet."""
        self.children: int | None = None
        self.seconds: float | None = None
        self._archive = archive
        self._seconds_after = [0.0]

    @contextmanager
    def limited_to(self, children: int, seconds: float | None = None) -> Iterator[None]:
        """Leave the block without an error when the budget is spent.

        That happens after `children` children, or when the seconds of all trials reach `seconds`,
        repeated children included (the budget of published tables). In a nested block the limits
        of the outer ones still hold.
        """
        before = self.children, self.seconds
        self.children = children if self.children is None else min(children, self.children)
        self.seconds = min((s for s in (seconds, self.seconds) if s is not None), default=None)
        try:
            yield
        except BudgetSpent:
            pass
        finally:
            self.children, self.seconds = before

    def left(self, trials: int) -> int | None:
        """Return how many children are left after that number of trials; None without a limit."""
        return None if self.children is None else max(0, self.children - trials)

    def check_seconds(self, trials: int) -> None:
        """Raise BudgetSpent if the trials so far have used up the seconds."""
        if self.seconds_are_spent(trials):
            raise BudgetSpent(f"all {self.seconds:g} seconds are spent")

    def seconds_are_spent(self, trials: int) -> bool:
        """Return whether the first `trials` trials have used up the seconds."""
        if self.seconds is None:
            return False
        known = self._seconds_after
        while len(known) <= trials:
            for seconds in self._archive.seconds(len(known) - 1, trials):
                known.append(known[-1] + seconds)
        return known[trials] >= self.seconds
