"""How much memory this process had at its peak, as the kernel counts it."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def peak() -> Iterator[Callable[[], float]]:
    """Give what tells the most MB that this process had since, beyond what it has now."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pytest.skip("the kernel does not tell the peak of a process's memory")
    before = _megabytes("VmRSS")
    yield lambda: _megabytes("VmHWM") - before


def _megabytes(name: str) -> float:
    found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) / 1024
