"""The interface of a mirror: a service that shows a search, trial by trial."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from math import inf
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from nasgym.archive import Trial
from nasgym.crash_points import crash_point
from nasgym.errors import NasgymError


class MirrorError(NasgymError):
    """A mirror cannot be created or failed; the message is one line for the user."""


class Mirror(ABC):
    """Shows trials in an external service.

    One thread calls all methods but `abandon`. Any of them may fail or hang: `BackgroundMirror`
    protects a search from that.
    """

    name: ClassVar[str]
    """Name of the service."""

    best: float = -inf
    """Highest reward so far; the picture of a child with a higher one is shown."""
    close_timeout: float = inf
    """Seconds that the caller waits for `close`."""

    @abstractmethod
    def open(self, first: int) -> None:
        """Begin to show trials from number `first` on, replacing any that were shown before."""

    @abstractmethod
    def log(self, number: int, numbers: Mapping[str, float], tokens: str) -> None:
        """Show the measurements of a trial, and its tokens separated by spaces."""

    @abstractmethod
    def draw(self, number: int, pixels: NDArray[np.uint8]) -> None:
        """Show the picture, (height, width, 3), of a child better than all before it."""

    @abstractmethod
    def close(self) -> None:
        """Send all that is still buffered, and close."""

    @abstractmethod
    def abandon(self) -> None:
        """Kill whatever would delay the exit of the program, while another thread may hang."""

    def show(self, trial: Trial, entropy: float | None = None) -> None:
        """Show a trial, and the entropy of the agent's policy, if any, in nats per decision."""
        numbers = measures(trial) | ({} if entropy is None else {"entropy": entropy})
        self.log(trial.number, numbers, " ".join(map(str, trial.tokens)))
        crash_point("mid_mirror")
        if trial.status == "ok" and trial.reward > self.best:
            self.best = trial.reward
            self.draw(trial.number, _picture(trial))

    def show_all(self, trials: Sequence[Trial], entropy: Sequence[tuple[int, float]] = ()) -> None:
        """Open, show all `trials`, and close; `entropy` is as `Agent.entropy` returns it.

        Raises MirrorError, in one line, for any failure.
        """
        upcoming = list(reversed(entropy))
        latest = None
        try:
            self.open(0)
            for trial in trials:
                while upcoming and upcoming[-1][0] <= trial.number:
                    latest = upcoming.pop()[1]
                self.show(trial, latest)
            self.close()
        except Exception as error:
            raise MirrorError(f"{self.name} failed: {one_line(error)}") from error


def measures(trial: Trial) -> dict[str, float]:
    """Return all numbers of a trial, by name."""
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


def one_line(error: Exception) -> str:
    """Return the message of `error` in one line, or its type if it has none."""
    return " ".join(str(error).split()) or type(error).__name__


def _picture(trial: Trial) -> NDArray[np.uint8]:
    from nasgym import drawing

    return drawing.rgb(drawing.drawable(trial.architecture))
