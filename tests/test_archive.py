"""The archive keeps all data that it is given, in whole transactions."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from nasgym import Archive, Evaluation
from nasgym.archive import ArchiveError, Origin, Proposal

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
    with pytest.raises(ArchiveError, match=r"archive\.db cannot be read as an archive") as error:
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
    (tmp_path / "none.db").touch()  # as if a process was killed while creating it
    with pytest.raises(ArchiveError, match="nothing was recorded in it yet"):
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


# Several runs -----------------------------------------------------------------------------------


def test_runs_share_children_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "archive.db"
    one, other = Archive(path), Archive(path, run="other")
    fill(one, 2)
    one.save_agent(2, b"one")
    other.store("own", CHILD)
    other.record([((7,), {}, 0.75, "own"), ((0, 1), {}, 0.75, "key0"), ((0, 1), {}, 0.75, "key0")])
    assert [trial.number for trial in one] == [0, 1] and len(other) == 3
    assert [(t.cached, t.found) for t in other] == [(False, False), (False, True), (True, True)]
    assert other.counts() == (3, 1, 1, 0) and one.counts() == (2, 2, 0, 0)
    assert list(other.agent_states()) == [] and one.runs() == ["main", "other"]
    assert len(Archive(path, run="third", read_only=True)) == 0
    assert one.runs() == ["main", "other"]


def test_of_two_outcomes_the_first_to_finish_is_everybodys(tmp_path: Path) -> None:
    one, other = (Archive(tmp_path / "archive.db", run=name) for name in ("one", "other"))
    assert one.store("key", CHILD) == CHILD
    assert other.store("key", Evaluation(0.25)) == CHILD
    assert other.result("key") == CHILD


def test_a_failure_for_want_of_something_is_a_hit_only_where_it_would_fail_again(
    tmp_path: Path,
) -> None:
    path = tmp_path / "archive.db"
    slow = Evaluation(status="timeout", error="stopped after 60 s", seconds=60.0)
    hasty = Archive(path, run="one", resource_limits="60 s")
    hasty.store("key", slow)
    hasty.store("wrong", Evaluation(status="nan"))
    hasty.record([((1,), {}, 0.0, "key")])
    patient, other = Archive(path, run="one", resource_limits="600 s"), Archive(path, run="other")
    assert hasty.result("key") == slow
    assert patient.result("key") is None and other.result("key") is None
    assert other.result("wrong") is not None  # a final result: more time does not help
    patient.store("key", CHILD)
    patient.record([((1,), {}, 0.75, "key")])
    assert hasty.result("key") == patient.result("key") == other.result("key") == CHILD
    before, after = patient
    assert (before.status, before.reward, before.seconds) == ("timeout", 0.0, 60.0)
    assert (after.status, after.reward, after.cached) == ("ok", 0.75, False)


def test_the_best_of_each_network_come_first_and_a_network_once() -> None:
    archive = Archive()
    rewards = {"a": 0.5, "b": 0.75, "c": 0.75}
    for key, reward in rewards.items():
        archive.store(key, Evaluation(reward))
    strings = ["a", "b", "c", "b", "a"]
    archive.record([((0,), {"network": key}, rewards[key], key) for key in strings])
    archive.store("failed", Evaluation(status="nan"))
    archive.record([((1,), {"network": "d"}, 0.0, "failed")])
    assert [trial.number for trial in archive.ranked()] == [1, 2, 0, 5]


def test_text_that_is_none_is_kept_as_far_as_it_goes() -> None:
    archive = Archive()
    archive.store("key", Evaluation(status="exception", error="no file \udcff.npz"))
    found = archive.result("key")
    assert found is not None and found.error == "no file ?.npz"


def test_nothing_is_asked_of_the_whole_archive_for_one_child(tmp_path: Path) -> None:
    """Each query that a child costs is answered from an index."""
    archive = Archive(tmp_path / "archive.db")
    asked: list[str] = []
    archive._db.set_trace_callback(asked.append)
    origin = Origin(0, 0)
    archive.propose([Proposal((0, 1), origin)])
    archive.store("key", Evaluation(0.5))
    archive.record([((0, 1), {}, 0.5, "key")], [origin])
    archive.store("key", Evaluation(status="oom"))
    assert archive.best() and next(archive.ranked()) and archive.proposed() == 1
    archive._db.set_trace_callback(None)
    queries = {query for query in asked if query.lstrip().startswith(("SELECT", "DELETE"))}
    assert len(queries) > 8
    for query in queries:
        for *_, step in archive._db.execute(f"EXPLAIN QUERY PLAN {query}"):
            assert not step.startswith("SCAN") or "CONSTANT ROW" in step, (query, step)
            assert "TEMP B-TREE" not in step, (query, step)


# Claims -----------------------------------------------------------------------------------------


def test_a_run_is_one_processes_and_the_next_gets_another(tmp_path: Path) -> None:
    path = tmp_path / "archive.db"
    first, second = Archive.claimed(path), Archive.claimed(path)
    assert (first.run, second.run) == ("main", "main-2")
    with pytest.raises(ArchiveError, match=f"process {os.getpid()} has the run 'main-2' of"):
        Archive.claimed(path, "main-2")
    with closing(Archive.claimed(path, "a/b %")) as named:  # not a file name
        assert named.runs() == ["main", "main-2", "a/b %"]
    first.close()
    assert Archive.claimed(path).run == "main"


def test_what_is_no_archive_gets_no_lock(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("milk, eggs" * 100)
    with pytest.raises(ArchiveError, match="cannot be read as an archive"):
        Archive.claimed(path)
    with pytest.raises(ArchiveError, match=r"cannot be written: .*No such file or directory"):
        Archive.claimed(tmp_path / "nowhere" / "archive.db")
    assert list(tmp_path.iterdir()) == [path]


CLAIM = """
import sys
from nasgym import Archive
archive = Archive.claimed(sys.argv[1])
print(archive.run, flush=True)
input()
"""


def test_a_claim_ends_with_its_process(tmp_path: Path) -> None:
    path = tmp_path / "archive.db"
    process = subprocess.Popen(
        [sys.executable, "-c", CLAIM, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None and process.stdout.readline() == b"main\n"
    assert Archive.claimed(path).run == "main-2"
    with pytest.raises(ArchiveError, match=f"process {process.pid} has the run 'main'"):
        Archive.claimed(path, "main")
    process.kill()
    process.communicate()
    assert Archive.claimed(path, "main").run == "main"
