"""Archives and runs of version 1 open as ever, and become version 2 when they are written."""

from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from nasgym import Archive, Evaluation
from nasgym.archive import VERSION, Saved
from nasgym.archive.check import check
from nasgym.search.plan import Plan
from nasgym.search.run import Run
from tests.archive_files import OLD, old_archive, old_run
from tests.command_line import run

KEPT = (OLD / "version-1.db").read_bytes()


def assert_all_there(archive: Archive) -> None:
    """Assert that an archive holds what version-1.db was given."""
    trials = list(archive)
    assert [trial.number for trial in trials] == list(range(8))
    statuses = ["ok", "nan", "timeout", "ok", "ok", "ok", "nan", "ok"]
    assert [trial.status for trial in trials] == statuses
    assert [trial.cached for trial in trials] == [False] * 5 + [True] * 3
    assert trials[1].error == "loss nan in step 3" and trials[2].seconds == 60.0
    assert trials[0].metrics == {"nll": 0.25, "curve": [0.25, 0.5], "parameters": 1000}
    assert not any(trial.found or trial.origin for trial in trials)
    assert [trial.number for trial in archive.ranked()] == [3, 0, 4, 1, 2]
    assert archive.counts() == (8, 5, 0, 3)
    assert list(archive.agent_states()) == [Saved(8, 0, b"the state after eight")]
    assert archive.runs() == ["main"] and archive.proposed() == 0
    assert archive.proposals(0) == [] and archive.updates() == []


def test_it_is_read_as_it_is_and_left_so(tmp_path: Path) -> None:
    path = old_archive(tmp_path)
    with closing(Archive(path, read_only=True)) as archive:
        assert_all_there(archive)
    assert path.read_bytes() == KEPT
    assert not path.with_name("archive.db.v1").exists()


def test_it_is_migrated_when_it_is_written_and_a_copy_is_kept(tmp_path: Path) -> None:
    path = old_archive(tmp_path)
    with closing(Archive(path)) as archive:
        assert_all_there(archive)
        archive.store("new", Evaluation(0.9))
        assert archive.record([((1,), {}, 0.9, "new")])[0].number == 8
    checked = check(path)
    assert (checked.version, checked.faults, checked.rows["trials"]) == (VERSION, (), 9)
    with closing(Archive(tmp_path / "archive.db.v1", read_only=True)) as archive:
        assert_all_there(archive)
    before = (tmp_path / "archive.db.v1").read_bytes()
    Archive(path).close()
    assert (tmp_path / "archive.db.v1").read_bytes() == before


def outcome(found: Run) -> tuple[list[Any], list[Saved]]:
    with closing(found.archive()) as archive:
        return list(archive), list(archive.agent_states())[:1]


def test_an_old_run_is_shown_and_goes_on_as_if_it_were_new(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = old_run(tmp_path / "old")
    before = (old / "archive.db").read_bytes()
    code, out, _ = run(capsys, "show", old)
    assert code == 0 and "24 children in" in out
    assert run(capsys, "report", old)[0] == 0
    assert run(capsys, "watch", old, "--once")[0] == 0
    assert (old / "archive.db").read_bytes() == before
    assert run(capsys, "search", "--out", old, "--children", "40")[0] == 0
    plan = Plan("NAS-Digits-Table-v0", "evolution", 40, 3, agent_options={"population": 10})
    new = Run(tmp_path / "new", plan)
    new.search()
    assert outcome(Run(old)) == outcome(new)
    assert check(old / "archive.db").faults == ()
