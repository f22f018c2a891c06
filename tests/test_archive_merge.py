"""A merge copies all of every archive, each child once, and changes none of them."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from nasgym import Archive, Evaluation
from nasgym.archive.check import check
from nasgym.archive.merge import merge
from tests.archive_files import full
from tests.command_line import assert_mistake, run

Capture = pytest.CaptureFixture[str]


def seen(path: Path, name: str) -> tuple[Any, ...]:
    """Return all contents of a run, as a reader sees them."""
    with closing(Archive(path, run=name, read_only=True)) as archive:
        return (
            list(archive),
            list(archive.agent_states()),
            archive.proposals(0),
            archive.updates(),
            archive.plan(),
        )


def test_the_union_has_every_run_and_each_child_once(tmp_path: Path) -> None:
    one, other = full(tmp_path / "one.db"), full(tmp_path / "other.db", trials=7)
    third = full(tmp_path / "third.db", run="third")
    before = [path.read_bytes() for path in (one, other, third)]
    merged = merge([one, other, third], tmp_path / "all" / "union.db")
    union = tmp_path / "all" / "union.db"
    assert check(union).faults == ()
    assert (merged.runs, merged.trials) == (3, 12 + 7 + 12)
    assert [(run.before, run.now) for run in merged.renamed] == [("main", "main-2")]
    assert seen(union, "main") == seen(one, "main")
    assert seen(union, "third")[1:] == seen(third, "third")[1:]
    trials, *others = seen(union, "main-2")
    known, *others_before = seen(other, "main")
    assert others == others_before
    assert [(t.tokens, t.reward, t.status) for t in trials] == [
        (t.tokens, t.reward, t.status) for t in known
    ]
    assert [t.found for t in trials] == [t.status == "ok" for t in trials]  # the first is kept
    assert merged.shared == 5 + 9 and merged.differing == []
    assert [path.read_bytes() for path in (one, other, third)] == before
    assert [path.name for path in union.parent.iterdir() if "-" not in path.name] == ["union.db"]
    with closing(Archive(union, run="main-2")) as archive:  # and it goes on
        archive.store("new", Evaluation(0.5))
        assert archive.record([((1,), {}, 0.5, "new")])[0].number == 7


def test_other_outcomes_of_the_same_child_are_said(tmp_path: Path, capsys: Capture) -> None:
    outcomes = {
        "a": {"same": Evaluation(0.5, metrics={"latency": 1.0}), "other": Evaluation(0.5)},
        "b": {"same": Evaluation(0.5, metrics={"latency": 2.0}), "other": Evaluation(0.25)},
    }
    for name, results in outcomes.items():
        with closing(Archive(tmp_path / name, run=name)) as archive:
            for key, evaluation in results.items():
                archive.store(key, evaluation)
                archive.record([((1,), {}, evaluation.accuracy, key)])
    code, out, _ = run(
        capsys, "archive", "merge", tmp_path / "a", tmp_path / "b", "--into", tmp_path / "c"
    )
    assert code == 0
    assert out.splitlines()[0] == (
        f"child other: ok, accuracy 0.5, {{}}; left out ok, accuracy 0.25, {{}}, of {tmp_path}/b"
    )
    assert "2 runs, 4 trials, 2 children (2 of them in more than one archive, 1 with" in out
    with closing(Archive(tmp_path / "c", run="b", read_only=True)) as archive:
        assert [(trial.accuracy, trial.reward) for trial in archive] == [(0.5, 0.5), (0.5, 0.25)]
    into = tmp_path / "again"
    (tmp_path / ".again.part").write_bytes(b"left by a kill")
    code, out, _ = run(
        capsys, "archive", "merge", tmp_path / "b", tmp_path / "a", "--into", into, "--json"
    )
    assert json.loads(out)["differing"][0]["left_out"] == "ok, accuracy 0.5, {}"


def test_nothing_is_written_where_anything_is_wrong(tmp_path: Path, capsys: Capture) -> None:
    one, other = full(tmp_path / "one.db"), full(tmp_path / "other.db")
    into = tmp_path / "union.db"
    command = "archive", "merge", one, other, "--into"
    assert_mistake(run(capsys, *command, one), "one.db exists already: name another file")
    assert_mistake(run(capsys, "archive", "merge", one, one, "--into", into), "each once")
    assert_mistake(run(capsys, "archive", "merge", one, "--into", into), "two archives or more")
    with closing(sqlite3.connect(other, isolation_level=None)) as database:
        database.execute("UPDATE results SET accuracy = 0.875 WHERE result = 2")
    assert_mistake(run(capsys, *command, into), "other.db is damaged: see nasgym archive check")
    assert not list(tmp_path.glob("*union*")) + list(tmp_path.glob(".*union*"))
