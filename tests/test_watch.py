"""Watching a run in another process: it only reads, and ends when the budget is spent."""

import json
import threading
import time
from pathlib import Path

import pytest

from nasgym import Evaluation
from nasgym.archive import Archive
from nasgym.commands import watch
from tests.command_line import assert_mistake, run
from tests.test_report import recorded


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "SECONDS", 0.02)


def add(folder: Path, accuracy: float) -> None:
    archive = Archive(folder / "archive.db")
    archive.store(f"{accuracy}", Evaluation(accuracy))
    archive.record([((0, 1), {}, accuracy, f"{accuracy}")])
    archive.close()


def test_children_appear_as_they_finish_elsewhere_until_the_budget_is_spent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    recorded(folder, [Evaluation(0.3), Evaluation(status="nan")], children=4)

    def search() -> None:
        for accuracy in (0.5, 0.4):
            time.sleep(0.2)
            add(folder, accuracy)

    elsewhere = threading.Thread(target=search)
    elsewhere.start()
    code, out, err = run(capsys, "watch", folder)
    elsewhere.join()
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert [line.split("  ")[0] for line in lines] == ["3/4", "4/4", "all 4 children are done"]
    assert "reward 0.5 (ok)" in lines[0] and "reward 0.4 (ok)  best 0.5" in lines[1]


def test_one_look_says_how_far_it_is_and_leaves_the_archive_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = recorded(tmp_path / "run", [Evaluation(0.3), Evaluation(status="nan")], children=4)
    before = found.archive_path.read_bytes()
    code, out, _ = run(capsys, "watch", tmp_path / "run", "--once")
    assert code == 0 and "2 of 4 children" in out and "0.3 (child 0)" in out
    assert f"none; resume with: {found.command}\n" in out
    state = json.loads(run(capsys, "watch", tmp_path / "run", "--once", "--json")[1])
    assert (state["children"], state["budget"], state["failed"]) == (2, 4, 1)
    assert state["best"] == {"child": 0, "reward": 0.3} and state["searching"] is False
    assert found.archive_path.read_bytes() == before


def test_stopping_to_watch_is_no_failure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded(tmp_path / "run", [Evaluation(0.3)])

    def stop(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(watch, "sleep", stop)
    assert run(capsys, "watch", tmp_path / "run") == (0, "", "")


def test_a_run_that_is_not_there_gets_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert_mistake(run(capsys, "watch", tmp_path), "there is no run in")
    recorded(tmp_path / "run", []).archive_path.unlink()
    assert_mistake(run(capsys, "watch", tmp_path / "run"), "there is no archive at")
