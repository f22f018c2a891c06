"""Signals that stop a search, as an exception."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(BaseException):
    """The user or the system asked the search to stop."""

    def __init__(self, signum: int) -> None:
        """Keep the number of the signal, which decides the exit code."""
        super().__init__(signal.Signals(signum).name)
        self.signum = signum


@contextmanager
def signals_raise() -> Iterator[None]:
    """Let SIGINT, SIGTERM and SIGHUP raise Interrupted, once; a second one ends the process.

    A SIGHUP that is ignored, as under `nohup`, stays ignored.
    """
    watched = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        watched.append(signal.SIGHUP)

    def interrupt(signum: int, frame: FrameType | None) -> None:
        for other in watched:
            signal.signal(other, lambda again, _: os._exit(128 + again))
        raise Interrupted(signum)

    before = {signum: signal.signal(signum, interrupt) for signum in watched}
    try:
        yield
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
