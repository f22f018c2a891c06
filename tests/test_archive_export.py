"""An exported table has every trial, with its types."""

import csv
import json
from contextlib import closing
from pathlib import Path

import pytest

from nasgym import Archive, Evaluation
from tests.archive_files import full
from tests.command_line import assert_mistake, run

Capture = pytest.CaptureFixture[str]


def test_both_tables_have_every_trial_of_every_run(tmp_path: Path, capsys: Capture) -> None:
    path = full(tmp_path / "archive.db")
    with closing(Archive(path, run="other")) as archive:
        error = 'said "no",\nthen stopped'
        archive.store("failed", Evaluation(status="exception", error=error))
        archive.record([((1, 2), {"layers": []}, 0.0, "failed"), ((2, 1), {}, 0.5, f"{1:064x}")])
    for suffix in ("csv", "jsonl"):
        out = tmp_path / f"trials.{suffix}"
        assert run(capsys, "archive", "export", tmp_path, "--out", out)[:2] == (
            0,
            f"14 trials are in {out}\n",
        )
    with (tmp_path / "trials.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    lines = (tmp_path / "trials.jsonl").read_text().splitlines()
    objects = [json.loads(line) for line in lines]
    with closing(Archive(path, read_only=True)) as archive:
        trials = list(archive)
    for trial, row, plain in zip(trials, table, objects, strict=False):
        assert trial.origin is not None
        assert row["run"] == plain["run"] == "main"
        assert int(row["number"]) == plain["number"] == trial.number
        assert tuple(json.loads(row["tokens"])) == tuple(plain["tokens"]) == trial.tokens
        assert float(row["reward"]) == plain["reward"] == trial.reward
        assert (row["cached"] == "True") == plain["cached"] == trial.cached
        assert row["metrics.nll"] == str(plain["metrics"].get("nll", ""))
        assert int(row["proposed_after"]) == plain["proposed_after"] == trial.origin.trials
    assert [row["found"] for row in table[12:]] == ["False", "True"]
    assert table[12]["error"] == objects[12]["error"] == error
    assert objects[13]["proposal"] is None and table[13]["proposal"] == ""
    assert len(table) == len(objects) == 14


def test_other_formats_are_refused(tmp_path: Path, capsys: Capture) -> None:
    path, parquet = full(tmp_path / "archive.db"), tmp_path / "trials.parquet"
    outcome = run(capsys, "archive", "export", path, "--out", parquet)
    assert_mistake(outcome, "is neither .csv nor .jsonl")
    assert not list(tmp_path.glob("*.parquet*"))
