"""A mirror: a service that shows people a search, child by child, each under its number."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from math import inf
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from nasgym.archive import Trial
from nasgym.crash_points import crash_point


class MirrorError(Exception):
    """A mirror that cannot show what it was asked to; the message is one line for the user."""


class Mirror(ABC):
    """What shows trials outside the archive.

    Between `open` and `close` one thread calls its methods; any of them may fail or take as long
    as it likes: `Detached` keeps that from a search.
    """

    name: ClassVar[str]
    """What the service is called."""

    best: float = -inf
    """The highest reward so far: the picture of a child is shown if its reward is higher."""
    patience: float = inf
    """Seconds that anybody waits for `close`."""

    @abstractmethod
    def open(self, first: int) -> None:
        """Begin to show trials from number `first` on, in place of those shown before."""

    @abstractmethod
    def log(self, number: int, numbers: Mapping[str, float], tokens: str) -> None:
        """Show the numbers of a trial, and its string."""

    @abstractmethod
    def draw(self, number: int, pixels: NDArray[np.uint8]) -> None:
        """Show the picture, (height, width, 3), of a child better than all before."""

    @abstractmethod
    def close(self) -> None:
        """Bring out what is still on its way, and end."""

    @abstractmethod
    def abandon(self) -> None:
        """End at once what the program would wait for when it ends; another thread may hang."""

    def show(self, trial: Trial, entropy: float | None = None) -> None:
        """Show a trial and, if the agent has a policy, its entropy then, in nats a decision."""
        numbers = measures(trial) | ({} if entropy is None else {"entropy": entropy})
        self.log(trial.number, numbers, " ".join(map(str, trial.tokens)))
        crash_point("mid_mirror")
        if trial.status == "ok" and trial.reward > self.best:
            self.best = trial.reward
            self.draw(trial.number, _picture(trial))

    def show_all(self, trials: Sequence[Trial], entropy: Sequence[tuple[int, float]] = ()) -> None:
        """Show all `trials` from beginning to end; `entropy` is what `Agent.entropy` returned.

        Raises MirrorError, in one line, for whatever fails.
        """
        coming = list(reversed(entropy))
        known = None
        try:
            self.open(0)
            for trial in trials:
                while coming and coming[-1][0] <= trial.number:
                    known = coming.pop()[1]
                self.show(trial, known)
            self.close()
        except Exception as error:
            raise MirrorError(f"{self.name} failed: {in_a_line(error)}") from error


def measures(trial: Trial) -> dict[str, float]:
    """Return all that is a number in a trial, by name."""
    numbers = {
        name: value
        for name, value in trial.metrics.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    return {
        **numbers,
        "reward": trial.reward,
        "accuracy": trial.accuracy,
        "seconds": trial.seconds,
        "cached": int(trial.cached),
        "failed": int(trial.status != "ok"),
    }


def in_a_line(error: Exception) -> str:
    """Return what `error` says, in one line."""
    return " ".join(str(error).split()) or type(error).__name__


def _picture(trial: Trial) -> NDArray[np.uint8]:
    from nasgym import drawing

    return drawing.rgb(drawing.drawable(trial.architecture))
