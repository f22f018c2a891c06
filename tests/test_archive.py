"""The archive keeps what it was given, and only whole transactions."""

import random
import shutil
import sqlite3
from pathlib import Path

import pytest

from nasgym import Archive, Evaluation
from nasgym.archive import ArchiveError

CHILD = Evaluation(0.75, seconds=1.5, metrics={"nll": 0.25, "curve": [0.5, 0.75]})


def fill(archive: Archive, count: int, first: int = 0) -> None:
    for number in range(first, first + count):
        archive.store(f"key{number}", CHILD)
        archive.record([((number, 1), {"layers": number}, 0.75, f"key{number}")])


def test_everything_comes_back_after_reopening(tmp_path: Path) -> None:
    path = tmp_path / "archive.db"
    archive = Archive(path)
    archive.store("failed", Evaluation(status="oom", error="out of memory"))
    archive.record([((5,), "small", 0.0, "failed")])
    fill(archive, 3)
    archive.save_agent(4, b"state")
    archive.close()
    again = Archive(path, read_only=True)
    assert [trial.number for trial in again] == [0, 1, 2, 3]
    assert again[1:][0].tokens == (0, 1)
    assert again[0:1][0].status == "oom"
    assert again[3:][0].metrics == CHILD.metrics
    best = again.best()
    assert best is not None and best.number == 1
    assert again.result("key2") == CHILD
    assert list(again.agent_states()) == [(4, 0, b"state")]


def test_every_commit_is_synchronous(tmp_path: Path) -> None:
    database = Archive(tmp_path / "archive.db")._db
    assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert database.execute("PRAGMA synchronous").fetchone() == (2,)


def test_a_power_loss_leaves_a_prefix(tmp_path: Path) -> None:
    """Cut a copy of the log anywhere, go on with noise or zeros: whole trials are left."""
    path = tmp_path / "archive.db"
    archive = Archive(path)
    fill(archive, 30)
    rng = random.Random(0)
    log = Path(f"{path}-wal").read_bytes()
    for attempt in range(100):
        folder = tmp_path / str(attempt)
        folder.mkdir()
        copy = folder / "archive.db"
        shutil.copy(path, copy)
        cut = rng.randrange(len(log))
        tail = [b"", rng.randbytes(4096), bytes(4096)][attempt % 3]
        Path(f"{copy}-wal").write_bytes(log[:cut] + tail)
        survivors = list(Archive(copy))
        assert [trial.number for trial in survivors] == list(range(len(survivors)))
        assert sqlite3.connect(copy).execute("PRAGMA integrity_check").fetchone() == ("ok",)
    archive.close()


def test_a_damaged_agent_state_is_passed_over(tmp_path: Path) -> None:
    archive = Archive(tmp_path / "archive.db")
    for trials in (1, 2, 3):
        archive.save_agent(trials, bytes([trials]) * 100)
    archive._db.execute("UPDATE agent SET state = zeroblob(100) WHERE trials = 3")
    assert list(archive.agent_states()) == [(2, 0, bytes([2]) * 100)]


@pytest.mark.parametrize("content", [b"", b"text" * 1000, b"SQLite format 3\0" + b"x" * 4000])
def test_other_files_are_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "archive.db"
    path.write_bytes(content)
    if not content:
        assert len(Archive(path)) == 0  # an empty file becomes an archive
        return
    with pytest.raises(ArchiveError, match=r"archive\.db is no archive that can be read") as error:
        Archive(path)
    assert "\n" not in str(error.value)
    assert path.read_bytes() == content


def test_other_and_newer_databases_are_refused(tmp_path: Path) -> None:
    foreign = sqlite3.connect(tmp_path / "foreign.db")
    foreign.execute("CREATE TABLE t (x)")
    foreign.close()
    with pytest.raises(ArchiveError, match="but not an archive of nasgym"):
        Archive(tmp_path / "foreign.db")
    newer = Archive(tmp_path / "newer.db")
    newer._db.execute("PRAGMA user_version = 99")
    newer.close()
    with pytest.raises(ArchiveError, match="upgrade nasgym"):
        Archive(tmp_path / "newer.db")
    with pytest.raises(ArchiveError, match="there is no archive"):
        Archive(tmp_path / "none.db", read_only=True)


def test_a_nan_never_gets_in() -> None:
    archive = Archive()
    with pytest.raises(ValueError, match="not JSON compliant"):
        archive.store("key", Evaluation(metrics={"nll": float("nan")}))
    assert archive.result("key") is None
    archive.store("key", CHILD)
    with pytest.raises(sqlite3.IntegrityError):
        archive.record([((1,), {}, float("nan"), "key")])
    assert len(archive) == 0
