"""A mirror behind a queue: whatever it does, it neither stops nor slows the search it shows."""

import sys
from queue import SimpleQueue
from threading import Thread

from nasgym.archive import Trial
from nasgym.tracking.mirror import Mirror, in_a_line

WAITING = 1000
"""Trials that may wait to be shown; more are left out."""

PATIENCE = 3.0
"""Seconds that a search waits in the end for what has not been shown yet."""


class Detached:
    """A mirror that works in a thread of its own.

    If it fails, hangs or is too slow, that costs one warning, a few seconds at the end and never a
    trial: the archive has them, and `nasgym track` shows them later.
    """

    def __init__(
        self, mirror: Mirror, first: int, *, waiting: int = WAITING, patience: float = PATIENCE
    ) -> None:
        """Have `mirror` opened, for trials from number `first` on, and return at once."""
        self.mirror, self.first, self.waiting = mirror, first, waiting
        mirror.patience = patience
        self._queue: SimpleQueue[tuple[Trial, float | None] | None] = SimpleQueue()
        self._given = self._shown = 0
        self._left_alone = False
        self._thread = Thread(target=self._work, name=mirror.name, daemon=True)
        self._thread.start()

    def show(self, trial: Trial, entropy: float | None = None) -> None:
        """Have `mirror` show a trial, by and by, unless too many wait for that."""
        self._given += 1
        if self._queue.qsize() < self.waiting:
            self._queue.put((trial, entropy))

    def close(self) -> None:
        """Let the mirror come to an end, but leave it alone after its patience."""
        self._queue.put(None)
        self._thread.join(self.mirror.patience)
        missing, hangs = self._given - self._shown, self._thread.is_alive()
        if missing or hangs:
            self._leave(
                f"is too slow and is left alone: it lacks {missing} of {self._given} trials"
            )
        if hangs:
            self.mirror.abandon()

    def _work(self) -> None:
        try:
            self.mirror.open(self.first)
            while (waiting := self._queue.get()) is not None:
                self.mirror.show(*waiting)
                self._shown += 1
            self.mirror.close()
        except Exception as error:
            self._leave(f"failed and is left alone from now on: {in_a_line(error)}")

    def _leave(self, why: str) -> None:
        """Say once why the mirror is left alone."""
        if not self._left_alone:
            self._left_alone = True
            print(f"{self.mirror.name} {why} (nasgym track shows all later)", file=sys.stderr)
