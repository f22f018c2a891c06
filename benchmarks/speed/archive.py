"""The speed of a large archive: opened, looked into, shown and written to.

python -m nasgym.benchmarks.speed.archive --trials 1000000 --out runs/large-archive

The trials are random strings of the digits' space, a tenth of them repeats, with results as long as
those of five epochs; a million take some minutes to make and stay in `--out` for the next time.
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
from nasgym.benchmarks.clock import time_with_children
from nasgym.evaluation.evaluation import Evaluation
from nasgym.spaces import PRESETS
from nasgym.spaces.base import Tokens
from nasgym.spaces.plain import digest, plain

SPACE = PRESETS["digits"]

WAVE = 100
"""Trials recorded at a time while an archive is made."""

REPEATED = 0.1
"""The share of trials whose child had been trained."""

SAMPLE = 1_000
"""Children looked up, and written, for a figure."""

SHOWN = 3
"""How often `nasgym show` is timed."""

Child = tuple[Tokens, Any, str, Evaluation]
"""The string of a child, what it means, its key and what came of it."""


@dataclass(frozen=True)
class Figures:
    """What an archive of so many trials takes."""

    trials: int
    """Trials in it."""
    megabytes: float
    """Its size on the disk."""
    open_ms: float
    """To open it and count its trials."""
    look_up_ms: float
    """To look up a child that is there, the median."""
    slowest_look_up_ms: float
    """The slowest of all look-ups."""
    best_ms: float
    """To find the best trial."""
    counts_s: float
    """To count what was trained, found and failed: processor time."""
    show_s: float
    """`nasgym show`, from the start of Python to its end: processor time, the least of SHOWN."""
    propose_us: float
    """To note a proposal: processor time, the median."""
    store_us: float
    """To store a child."""
    record_us: float
    """To record its trial."""


@dataclass(frozen=True)
class ArchiveSpeed:
    """Make an archive, unless it is there, and print what it takes to use it."""

    trials: int = 1_000_000
    """Trials of the large archive; it is compared to one of a thousandth."""
    out: Path = Path("runs/large-archive")
    """Folder of the archives."""

    def main(self) -> None:
        """Make, measure and print."""
        for trials in (max(WAVE, self.trials // 1000), self.trials):
            folder = self.out / str(trials)
            folder.mkdir(parents=True, exist_ok=True)
            if not (folder / "archive.db").exists():
                make(folder / "archive.db", trials)
            print(json.dumps(asdict(measured(folder))), flush=True)


def children(seed: int) -> Iterator[Child]:
    """Yield random children for ever, some of them again."""
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
    """Return a result as five epochs bring it, always the same for the same digest."""
    accuracies = [int(digest[start : start + 8], 16) / 2**32 for start in range(0, 40, 8)]
    curve = [{"epoch": n, "loss": 2.5 - one} for n, one in enumerate(accuracies, start=1)]
    curve[-1] |= {"accuracy": accuracies[-1], "nll": 2.5 - accuracies[-1]}
    metrics = {"nll": 2.5 - accuracies[-1], "curve": curve, "samples": 1440}
    sizes = {"parameters": int(digest[40:44], 16), "flops": int(digest[44:50], 16)}
    return Evaluation(accuracies[-1], seconds=1.5, metrics=metrics | sizes)


def make(path: Path, trials: int) -> None:
    """Make an archive with so many trials, in the manner of a search in waves."""
    part = path.with_suffix(".part")
    part.unlink(missing_ok=True)
    with closing(Archive(part)) as archive:
        archive._db.execute("PRAGMA synchronous = OFF")  # a benchmark that is lost is made again
        source = children(seed=0)
        for _ in range(trials // WAVE):
            episodes = []
            for tokens, architecture, key, evaluation in islice(source, WAVE):
                kept = archive.result(key) or archive.store(key, evaluation)
                episodes.append((tokens, architecture, kept.accuracy, key))
            archive.record(episodes)
    part.replace(path)


def measured(folder: Path) -> Figures:
    """Return what the archive in `folder` takes; a few trials are added to it."""
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
    return Figures(
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
    """Return the median processor seconds to propose, store and record a child."""
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
