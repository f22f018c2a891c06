"""The speed of a large archive: to open, query, show and write it.

python -m nasgym.benchmarks.speed.archive --trials 1000000 --out runs/large-archive

The trials are random strings of the space for digits, a tenth of them repeats, with results as long
as those of five epochs. A million take some minutes to make; `--out` keeps them for the next time.
"""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import tyro

from nasgym.archive import Archive, Origin, Proposal
from nasgym.benchmarks.measurement import time_with_children
from nasgym.evaluation.evaluation import Evaluation
from nasgym.spaces import PRESETS
from nasgym.spaces.base import Tokens
from nasgym.spaces.plain import digest, plain

SPACE = PRESETS["digits"]

WAVE = 100
"""Trials recorded at once while making an archive."""

REPEATED = 0.1
"""Share of trials that repeat an earlier child."""

SAMPLE = 1_000
"""Children looked up, and children written, for a time."""

SHOWN = 3
"""Number of times that `nasgym show` is timed."""

Child = tuple[Tokens, Any, str, Evaluation]
"""String, architecture, key and evaluation of a child."""


@dataclass(frozen=True)
class ArchiveTimes:
    """Size of an archive, and the times to use it."""

    trials: int
    """Trials in the archive."""
    megabytes: float
    """Size on disk."""
    open_ms: float
    """Time to open it and count its trials."""
    look_up_ms: float
    """Median time to look up a stored child."""
    slowest_look_up_ms: float
    """Longest time to look up a stored child."""
    best_ms: float
    """Time to find the best trial."""
    counts_s: float
    """CPU time to count trained, repeated and failed children."""
    show_s: float
    """CPU time of the whole process of `nasgym show`, the least of SHOWN runs."""
    propose_us: float
    """Median CPU time to store a proposal."""
    store_us: float
    """Median CPU time to store a child."""
    record_us: float
    """Median CPU time to record its trial."""


@dataclass(frozen=True)
class ArchiveSpeed:
    """Make an archive if there is none, and print the times to use it."""

    trials: int = 1_000_000
    """Trials of the large archive, which is compared to one a thousandth of its size."""
    out: Path = Path("runs/large-archive")
    """Folder of the archives."""

    def main(self) -> None:
        """Make, measure and print."""
        for trials in (max(WAVE, self.trials // 1000), self.trials):
            folder = self.out / str(trials)
            folder.mkdir(parents=True, exist_ok=True)
            if not (folder / "archive.db").exists():
                make(folder / "archive.db", trials)
            print(json.dumps(asdict(measure(folder))), flush=True)


def children(seed: int) -> Iterator[Child]:
    """Yield random children without end, some of them repeats."""
    rng = np.random.default_rng(seed)
    strings: list[Tokens] = []
    while True:
        if strings and rng.random() < REPEATED:
            tokens = strings[rng.integers(len(strings))]
        else:
            tokens = SPACE.sample(rng)
            strings.append(tokens)
        architecture = SPACE.decode(tokens)
        yield tokens, plain(architecture), digest(architecture), _evaluation(digest(tokens))


def _evaluation(digest: str) -> Evaluation:
    """Return a result like one of five epochs; the same digest gives the same result."""
    accuracies = [int(digest[start : start + 8], 16) / 2**32 for start in range(0, 40, 8)]
    curve = [{"epoch": n, "loss": 2.5 - one} for n, one in enumerate(accuracies, start=1)]
    curve[-1] |= {"accuracy": accuracies[-1], "nll": 2.5 - accuracies[-1]}
    metrics = {"nll": 2.5 - accuracies[-1], "curve": curve, "samples": 1440}
    sizes = {"parameters": int(digest[40:44], 16), "flops": int(digest[44:50], 16)}
    return Evaluation(accuracies[-1], seconds=1.5, metrics=metrics | sizes)


def make(path: Path, trials: int) -> None:
    """Make an archive with `trials` trials, as a search in waves does."""
    part = path.with_suffix(".part")
    part.unlink(missing_ok=True)
    with closing(Archive(part)) as archive:
        archive._db.execute(
            "PRAGMA synchronous = OFF"
        )  # a lost benchmark archive can be made again
        source = children(seed=0)
        for _ in range(trials // WAVE):
            episodes = []
            for tokens, architecture, key, evaluation in islice(source, WAVE):
                kept = archive.result(key) or archive.store(key, evaluation)
                episodes.append((tokens, architecture, kept.accuracy, key))
            archive.record(episodes)
    part.replace(path)


def measure(folder: Path) -> ArchiveTimes:
    """Measure the archive in `folder`; adds a few trials to it."""
    path = folder / "archive.db"
    started = time.perf_counter()
    with closing(Archive(path, read_only=True)) as archive:
        trials = len(archive)
        opened = time.perf_counter() - started
        known = [key for _, _, key, _ in islice(children(seed=0), SAMPLE)]
        looks = [_seconds(partial(archive.result, key)) for key in known]
        best, counts = _seconds(archive.best), _seconds(archive.counts, time.process_time)
    megabytes = path.stat().st_size / 1e6
    show = [sys.executable, "-m", "nasgym.commands.main", "show", str(folder)]
    run = partial(subprocess.run, show, check=True, stdout=subprocess.DEVNULL)
    shown = min(_seconds(run, time_with_children) for _ in range(SHOWN))
    propose, store, record = _writing(path)
    return ArchiveTimes(
        trials=trials,
        megabytes=megabytes,
        open_ms=1e3 * opened,
        look_up_ms=1e3 * median(looks),
        slowest_look_up_ms=1e3 * max(looks),
        best_ms=1e3 * best,
        counts_s=counts,
        show_s=shown,
        propose_us=1e6 * propose,
        store_us=1e6 * store,
        record_us=1e6 * record,
    )


def _writing(path: Path) -> tuple[float, float, float]:
    """Return the median CPU seconds to propose, store and record a child."""
    propose, store, record = [], [], []
    with closing(Archive(path)) as archive:
        for tokens, architecture, key, evaluation in islice(children(seed=time.time_ns()), SAMPLE):
            origin = Origin(archive.proposed(), len(archive))
            clock = time.process_time
            propose.append(_seconds(partial(archive.propose, [Proposal(tokens, origin)]), clock))
            store.append(_seconds(partial(archive.store, key, evaluation), clock))
            episode = tokens, architecture, evaluation.accuracy, key
            record.append(_seconds(partial(archive.record, [episode], [origin]), clock))
    return median(propose), median(store), median(record)


def _seconds(work: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    before = clock()
    work()
    return clock() - before


if __name__ == "__main__":
    tyro.cli(ArchiveSpeed, description=__doc__).main()
