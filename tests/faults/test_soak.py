"""Thousands of children: memory, open files and the archive stay what they were."""

import os
import signal
import sys
import time
from contextlib import closing, suppress
from pathlib import Path

import numpy as np
import pytest

from nasgym import Archive
from tests.faults.table import Seen
from tests.killing import archive_digest, first_line, start
from tests.processes import children_of, files_of, memory_of

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="looks processes up in /proc"
)


@pytest.mark.fault("F29", "one worker process or two")
def test_f29_the_number_of_workers_changes_nothing(tmp_path: Path, seen: Seen) -> None:
    digests = set()
    for workers in ("1", "2"):
        folder = tmp_path / workers
        process = start("tests.faults.soak", str(folder), "random", "48", workers)
        assert process.communicate()[1] == "" and process.returncode == 0
        digests.add(archive_digest(folder / "archive.db"))
    assert len(digests) == 1
    seen(1, "digests equal")


@pytest.mark.fault(
    "F35", "10,000 children, 2 at a time, all worker processes killed every 5 s", full=True
)
def test_f35_ten_thousand_children(tmp_path: Path, seen: Seen) -> None:
    children, path = 10_000, tmp_path / "archive.db"
    process = start("tests.faults.soak", str(tmp_path), "reinforce", str(children), "2")
    assert process.stdout is not None
    kills, samples = 0, []
    killed = time.monotonic()
    for count, _ in enumerate(process.stdout):
        if count % 100 == 50 and count < children:
            samples.append((count, memory_of(process.pid), files_of(process.pid)))
        if time.monotonic() - killed > 5:
            for server in children_of(process.pid):
                with suppress(ProcessLookupError):
                    os.kill(server, signal.SIGKILL)
                    kills += 1
            killed = time.monotonic()
    errors = process.communicate()[1]
    assert process.returncode == 0, errors
    trials, memory, files = np.array(samples[len(samples) // 2 :]).T
    slope = 1000 * np.polyfit(trials, memory, 1)[0]
    size = path.stat().st_size / 1e6
    with closing(Archive(path, read_only=True)) as archive:
        assert len(archive) == children
        assert all(trial.status == "ok" for trial in archive)
    first = until_first_child(tmp_path / "new", 8)
    restart = until_first_child(tmp_path, children + 8)
    assert kills > 0
    assert slope < 1
    assert files.max() - files.min() <= 6  # a new fork server starts before the old one is closed
    assert size < 100
    assert restart - first < 1
    seen(
        kills,
        f"{children:,} trained; memory {memory[0]:.0f} to {memory[-1]:.0f} MB, {slope:+.2f} MB per "
        f"1,000; {files.min():.0f} to {files.max():.0f} open files; archive {size:.1f} MB; "
        f"first child after {restart:.2f} s of a restart, {first:.2f} s of a new run",
    )


def until_first_child(folder: Path, children: int) -> float:
    """Return how long a search needs from its start, its imports done, to a new child."""
    process = start("tests.faults.soak", str(folder), "reinforce", str(children), "2")
    first_line(process, "START")
    begun = time.monotonic()
    first_line(process, '{"child"')
    seconds = time.monotonic() - begun
    process.kill()
    process.communicate()
    return seconds
