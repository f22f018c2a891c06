"""A measurement: ours against the naive way, and what was wanted."""

import platform
from dataclasses import asdict, dataclass
from datetime import date
from importlib.metadata import version
from typing import Any, Literal

import torch

from nasgym.execution.machine import cores, precision, processor


@dataclass(frozen=True)
class Measurement:
    """What one comparison gave."""

    what: str
    """What was compared, in a few words."""
    ours: float
    """What nasgym does or takes, in `unit`."""
    baseline: float
    """What the naive way does or takes, in `unit`."""
    unit: str
    """Of `ours` and `baseline`: work a second, where more is better, or a time, where less is."""
    target: float
    """What was aimed at: a ratio, or a value in `unit`, as `aim` says."""
    aim: Literal["ratio", "ours"] = "ratio"
    """What the target is one for."""
    note: str = ""
    """What else was measured, or must be known."""

    @property
    def takes(self) -> bool:
        """Return whether it is a time, of which less is better."""
        return "/" not in self.unit

    @property
    def ratio(self) -> float:
        """Return how many times as good as the naive way ours is."""
        return self.baseline / self.ours if self.takes else self.ours / self.baseline

    @property
    def reached(self) -> bool:
        """Return whether the target is reached."""
        if self.aim == "ratio":
            return self.ratio >= self.target
        return self.ours <= self.target if self.takes else self.ours >= self.target

    def to_plain(self) -> dict[str, Any]:
        """Return the measurement as JSON-able data."""
        return {**asdict(self), "ratio": self.ratio, "reached": self.reached}


LIBRARIES = ("torch", "numpy", "gymnasium", "stable-baselines3")
"""Whose versions matter."""


def machine() -> dict[str, Any]:
    """Return what the figures depend on, as plain data."""
    return {
        "processor": processor()[0],
        "cores": cores(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "bfloat16": precision("cpu") == "bfloat16",
        "system": platform.platform(),
        "python": platform.python_version(),
        **{name: version(name) for name in LIBRARIES},
        "date": date.today().isoformat(),
    }
