"""A mirror behind a queue, in a thread of its own: it neither stops nor slows the search."""

import sys
from queue import SimpleQueue
from threading import Thread

from nasgym.archive import Trial
from nasgym.tracking.mirror import Mirror, one_line

QUEUE_SIZE = 1000
"""Maximum number of trials that wait to be shown; further ones are left out."""

CLOSE_TIMEOUT = 3.0
"""Seconds that a search waits at its end for trials that are not shown yet."""


class BackgroundMirror:
    """Runs a mirror in a thread of its own.

    A mirror that fails, hangs or is too slow costs one warning and at most the timeout at the end,
    never a trial: the archive has them all, and `nasgym track` shows them later.
    """

    def __init__(
        self,
        mirror: Mirror,
        first: int,
        *,
        queue_size: int = QUEUE_SIZE,
        close_timeout: float = CLOSE_TIMEOUT,
    ) -> None:
        """Open `mirror` for trials from number `first` on, without waiting for it."""
        self.mirror, self.first, self.queue_size = mirror, first, queue_size
        mirror.close_timeout = close_timeout
        self._queue: SimpleQueue[tuple[Trial, float | None] | None] = SimpleQueue()
        self._received = self._shown = 0
        self._has_warned = False
        self._thread = Thread(target=self._work, name=mirror.name, daemon=True)
        self._thread.start()

    def show(self, trial: Trial, entropy: float | None = None) -> None:
        """Queue a trial to be shown; leave it out if the queue is full."""
        self._received += 1
        if self._queue.qsize() < self.queue_size:
            self._queue.put((trial, entropy))

    def close(self) -> None:
        """Wait until the mirror has shown the queue and is closed; abandon it after the timeout."""
        self._queue.put(None)
        self._thread.join(self.mirror.close_timeout)
        missing, hangs = self._received - self._shown, self._thread.is_alive()
        if missing or hangs:
            self._warn(
                f"was too slow and is stopped: it lacks {missing} of {self._received} trials"
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
            self._warn(f"failed and is stopped: {one_line(error)}")

    def _warn(self, problem: str) -> None:
        """Print the first problem, and no other."""
        if not self._has_warned:
            self._has_warned = True
            print(f"{self.mirror.name} {problem} (nasgym track shows all later)", file=sys.stderr)
