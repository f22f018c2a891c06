"""A mirror for tests that keeps the trials it is shown, and a search for it to show."""

import threading
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasgym import NASVectorEnv
from nasgym.archive import Trial
from nasgym.tracking import BackgroundMirror, Mirror
from tests.spaces import Numbers, Stack


class Notes(Mirror):
    """A mirror that keeps the trials it is shown, and can fail or hang in a method."""

    name = "notes"

    def __init__(self, broken: str = "", hung: str = "", pause: float = 0.0) -> None:
        self.broken, self.hung, self.pause = broken, hung, pause
        self.numbers: list[int] = []
        self.drawn: list[int] = []
        self.entropy: list[float | None] = []
        self.closed = self.abandoned = False
        self.free = threading.Event()

    def at(self, place: str) -> None:
        if place == self.broken:
            raise OSError("no space\nleft on device")
        if place == self.hung:
            self.free.wait(30)
        time.sleep(self.pause)

    def open(self, first: int) -> None:
        self.at("open")

    def log(self, number: int, numbers: Mapping[str, float], tokens: str) -> None:
        self.at("log")
        self.numbers.append(number)
        self.entropy.append(numbers.get("entropy"))

    def draw(self, number: int, pixels: NDArray[np.uint8]) -> None:
        self.at("draw")
        assert pixels.ndim == 3 and pixels.shape[2] == 3
        self.drawn.append(number)

    def close(self) -> None:
        self.at("close")
        self.closed = True

    def abandon(self) -> None:
        self.abandoned = True


def search(mirror: Mirror | None = None, **options: Any) -> list[Trial]:
    """Search for 24 children with `mirror`, and return their trials."""
    envs = NASVectorEnv(Stack(), Numbers(), num_envs=4)
    detached = None if mirror is None else BackgroundMirror(mirror, 0, **options)
    if detached is not None:
        envs.study.listeners.append(detached.show)
    for wave in range(6):
        envs.study.play([envs.study.space.string(index) for index in range(4 * wave, 4 * wave + 4)])
    if detached is not None:
        detached.close()
    return list(envs.archive)


TRIALS = search()
