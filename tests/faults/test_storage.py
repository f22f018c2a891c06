"""The archive's file: power loss, a full disk, leftovers of a crash, and a long read."""

import functools
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from nasgym import Archive, Evaluation
from tests.faults.damage import crash_images, tiny_disk
from tests.faults.table import Seen
from tests.faults.tiers import Scale
from tests.free_search import ID
from tests.killing import ROOT, Nest, acknowledged, archive_digest

CHILD = Evaluation(0.75, seconds=1.5, metrics={"nll": 0.25, "curve": [0.5, 0.75]})


@pytest.fixture(scope="module")
def nest() -> Iterator[Nest]:
    nest = Nest("random", "reinforce")
    yield nest
    nest.close()


def fill(archive: Archive, count: int, agent_every: int = 0) -> None:
    """Record `count` trials, whose reward is their number, and save the agent's state sometimes."""
    for number in range(len(archive), len(archive) + count):
        archive.store(f"key{number}", CHILD)
        archive.record([((number, 1), {"layers": number}, float(number), f"key{number}")])
        if agent_every and number % agent_every == 0:
            archive.save_agent(number + 1, number.to_bytes(4) * 1000)


@pytest.mark.fault("F3", "power loss: the log cut at a random byte, then nothing, noise or zeros")
def test_f03_a_power_loss_leaves_a_prefix(
    tmp_path: Path, scale: Scale, seed: int, seen: Seen
) -> None:
    archive = Archive(tmp_path / "archive.db")
    fill(archive, 15, agent_every=4)
    # Checkpoint these trials into the database, so that cutting the log cannot lose them.
    archive._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    fill(archive, 25, agent_every=4)
    truth, states = list(archive), {0: b"", **{n + 1: n.to_bytes(4) * 1000 for n in range(40)}}
    images, lengths = scale(150, 5000), set()
    for image in crash_images(tmp_path / "archive.db", tmp_path, images, seed):
        survivor = Archive(image)
        trials = list(survivor)
        assert trials == truth[: len(trials)] and len(trials) >= 15
        for saved in survivor.agent_states():
            assert saved.trials <= len(trials) and saved.state == states[saved.trials]
        assert survivor._db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        fill(survivor, 1)
        assert len(survivor) == len(trials) + 1
        survivor.close()
        lengths.add(len(trials))
    archive.close()
    assert len(lengths) > 20
    seen(images, f"all open, whole, a prefix of the truth ({min(lengths)} to {max(lengths)} of 40)")


@pytest.mark.fault("F4", "none: the archive's settings are read")
def test_f04_every_commit_is_synchronous(tmp_path: Path, seen: Seen) -> None:
    database = Archive(tmp_path / "archive.db")._db
    assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert database.execute("PRAGMA synchronous").fetchone() == (2,)
    seen(1, "journal_mode=WAL, synchronous=FULL")


@pytest.mark.fault("F4", "none: the calls of a search are counted by strace")
@pytest.mark.skipif(shutil.which("strace") is None, reason="there is no strace here")
def test_f04_every_commit_reaches_the_disk(tmp_path: Path, seen: Seen) -> None:
    calls, commits = tmp_path / "calls", 50
    script = f"""
from nasgym import Archive, Evaluation
archive = Archive({str(tmp_path / "archive.db")!r})
print("FILLING", flush=True)
for number in range({commits}):
    archive.store(str(number), Evaluation(0.5))
"""
    trace = ["strace", "-f", "-e", "trace=fdatasync,fsync,write", "-o", str(calls)]
    subprocess.run(
        [*trace, sys.executable, "-c", script], cwd=ROOT, check=True, capture_output=True
    )
    after = calls.read_text().partition("FILLING")[2]
    synced = after.count("fdatasync(") + after.count("fsync(")
    assert synced >= commits
    seen(commits, f"{synced} syncs for {commits} commits")


FREE = {"SECONDS_A_CHILD": "0"}


def search(folder: Path, agent: str, children: int = 400) -> tuple[str, ...]:
    """Return the arguments of a nest; a small agent fits on a small disk."""
    return (str(folder), agent, str(children), *(["hidden=4"] if agent == "reinforce" else []))


@pytest.fixture(scope="module")
def undisturbed(nest: Nest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """The digest of an agent's run, never disturbed."""

    @functools.cache
    def digest(agent: str) -> str:
        folder = tmp_path_factory.mktemp(agent)
        assert nest.begin(*search(folder, agent), **FREE).end() == 0
        return archive_digest(folder / "archive.db")

    return digest


def stopped(nest: Nest, folder: Path, agent: str, **limit: str) -> int:
    """Search until the disk is full; return the number of trials acknowledged, and kept."""
    life = nest.begin(*search(folder, agent), **FREE, **limit)
    assert life.end() == 2, life.errors
    assert life.errors.startswith(f"nasgym: {folder}/archive.db cannot be written: ")
    assert life.errors.endswith(f"then resume with: nasgym search --out {folder}\n")
    assert life.errors.count("\n") == 1
    promised = acknowledged(life.output)
    with closing(Archive(folder / "archive.db", read_only=True)) as archive:
        kept = {trial.number: list(trial.tokens) for trial in archive}
    assert promised and promised.items() <= kept.items()
    return len(promised)


@pytest.mark.fault("F16", "disk full (a file system of 0.5 MB), then larger")
@pytest.mark.parametrize("agent", ["random", "reinforce"])
def test_f16_a_full_disk(
    agent: str, tmp_path: Path, nest: Nest, undisturbed: Callable[[str], str], seen: Seen
) -> None:
    with tiny_disk(tmp_path / "disk", 0.5) as disk:
        folder = disk / "run"
        promised = stopped(nest, folder, agent)
        subprocess.run(["mount", "-o", "remount,size=50m", disk], check=True)
        life = nest.begin(*search(folder, agent), **FREE)
        assert life.end() == 0, life.errors
        assert archive_digest(folder / "archive.db") == undisturbed(agent)
    seen(1, f"one line, exit code 2; {promised} acknowledged, 0 lost; went on, digest equal")


@pytest.mark.fault("F16", "no file may be larger than 300 kB (RLIMIT_FSIZE), then it may")
@pytest.mark.parametrize("agent", ["random", "reinforce"])
def test_f16_files_of_limited_size(
    agent: str, tmp_path: Path, nest: Nest, undisturbed: Callable[[str], str], seen: Seen
) -> None:
    promised = stopped(nest, tmp_path, agent, LARGEST_FILE="300000")
    life = nest.begin(*search(tmp_path, agent), **FREE)
    assert life.end() == 0, life.errors
    assert archive_digest(tmp_path / "archive.db") == undisturbed(agent)
    seen(1, f"one line, exit code 2; {promised} acknowledged, 0 lost; went on, digest equal")


@pytest.mark.fault("F16", "disk full behind the standard output (/dev/full)")
def test_f16_output_that_nobody_can_write(tmp_path: Path, seen: Seen) -> None:
    script = "import sys; from tests import free_search; free_search.register()\n"
    script += "from nasgym.commands.main import main; main(sys.argv[1:])"
    options = ["--agent", "random", "--children", "24", "--out", str(tmp_path)]
    with open("/dev/full", "w") as full:
        process = subprocess.run(
            [sys.executable, "-c", script, "search", ID, *options],
            cwd=ROOT,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
        )
    assert process.stderr.count("the search goes on: [Errno 28]") == 1
    with closing(Archive(tmp_path / "archive.db", read_only=True)) as archive:
        assert len(archive) == 24
    seen(1, "one warning; all 24 children finished")


@pytest.mark.fault("F18", "leftovers of a crash: half files, lock, pid, log, index of the log")
def test_f18_leftovers_are_no_obstacle(
    tmp_path: Path, nest: Nest, undisturbed: Callable[[str], str], seed: int, seen: Seen
) -> None:
    folder, noise = tmp_path / "run", random.Random(seed).randbytes(5000)
    life = nest.begin(*search(folder, "random"), NASGYM_CRASH_AT="before_commit:50", **FREE)
    assert life.end() == -signal.SIGKILL
    assert Path(f"{folder}/archive.db-wal").stat().st_size > 0
    leftovers = [".best.json.part.json", ".search.json.part.json", ".best.png.part.png"]
    for name in [*leftovers, "search.lock", "search.pid", "archive.db-shm"]:
        (folder / name).write_bytes(noise)
    begun = time.monotonic()
    life = nest.begin(*search(folder, "random"), **FREE)
    life.await_line('{"child"')
    took = time.monotonic() - begun
    assert life.end() == 0, life.errors
    assert took < 1
    assert archive_digest(folder / "archive.db") == undisturbed("random")
    assert not list(folder.glob(".*.part*"))
    (folder / "archive.db").unlink()
    Path(f"{folder}/archive.db-wal").write_bytes(noise)
    assert len(Archive(folder / "archive.db")) == 0
    seen(7, f"first child after {took:.2f} s; digest equal, no half file left")


@pytest.mark.fault("F24", "a reader that holds one view of the archive for so many children")
def test_f24_a_long_read_blocks_nobody(tmp_path: Path, scale: Scale, seen: Seen) -> None:
    path, log, count = tmp_path / "archive.db", tmp_path / "archive.db-wal", scale(100, 1000)
    archive = Archive(path)
    fill(archive, 10)
    reader = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)
    reader.execute("BEGIN")
    held = reader.execute("SELECT COUNT(*) FROM trials").fetchone()
    seconds = [busy(archive, number) for number in range(count)]
    largest = log.stat().st_size
    assert reader.execute("SELECT COUNT(*) FROM trials").fetchone() == held == (10,)
    reader.execute("COMMIT")
    assert reader.execute("SELECT COUNT(*) FROM trials").fetchone() == (10 + count,)
    slowest = sorted(seconds)[int(0.99 * count)]
    assert slowest < 0.1
    assert largest < 50e6
    # Without the reader the log starts again in the space that it has.
    for number in range(count):
        busy(archive, number)
    assert log.stat().st_size < max(largest + 1e6, 10e6)  # the first rows came before that
    archive.close()
    seen(
        count,
        f"99 of 100 commits within {1000 * slowest:.1f} ms; log at most {largest / 1e6:.1f} MB, "
        "and no larger after",
    )


def busy(archive: Archive, number: int) -> float:
    """Finish a child, sometimes save an agent; return the seconds of a commit."""
    begun = time.monotonic()
    fill(archive, 1)
    seconds = (time.monotonic() - begun) / 2
    if number % 20 == 0:  # every two seconds, at ten children a second
        archive.save_agent(len(archive), bytes(100_000))
    return seconds
