"""Runs, archives and keys written before the folders were introduced: they resume to the same bits.

The runs in tests/older_runs were stopped at 24 children. `expected.json` holds the children 24 to
39 and the final state of the agent, as computed by the code that wrote the runs.
"""

import hashlib
import json
import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from nasgym.archive import Archive
from nasgym.archive.check import check
from nasgym.environments.options import ImageOptions
from nasgym.evaluation.cache import EvaluationCache
from nasgym.evaluation.constraints import CostLimits
from nasgym.execution import machine
from nasgym.search.plan import read_plan
from nasgym.search.replay import replay
from nasgym.search.run import Run
from nasgym.spaces import PRESETS
from tests.command_line import run

RUNS = Path(__file__).parent / "older_runs"


@pytest.mark.parametrize("name", ["evolution", "asynchronous"])
def test_a_run_resumes_to_the_same_bits(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(shutil.copytree(RUNS / name, tmp_path / "run"))
    expected = json.loads((folder / "expected.json").read_text())
    assert replay(Run(folder)).equal
    assert run(capsys, "search", "--out", folder, "--children", "40")[0] == 0
    with closing(Run(folder).archive()) as archive:
        trials = [[list(trial.tokens), trial.reward] for trial in archive]
        state = next(archive.agent_states()).state
    assert trials[24:] == expected["trials"]
    assert hashlib.sha256(state).hexdigest() == expected["state"]
    assert check(folder / "archive.db").faults == ()


def test_an_archive_is_read_and_written(tmp_path: Path) -> None:
    path = Path(shutil.copy(RUNS / "evolution" / "archive.db", tmp_path / "archive.db"))
    with closing(Archive(path, read_only=True)) as archive:
        assert archive.runs() == ["main"] and archive.counts().trials == len(archive) == 24
        best = archive.best()
    assert best is not None and best.architecture["kind"] == "conv"
    with closing(Archive(path, run="other")) as archive:
        assert len(archive) == 0 and archive.runs() == ["main", "other"]
    assert check(path).faults == ()


def test_a_child_is_found_under_the_same_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine is part of the key; the one that wrote the keys is put in its place."""
    keys = json.loads((RUNS / "keys.json").read_text())
    known = json.loads(keys["context"])
    kind = {name: known[name] for name in ("device", "precision", "machine")}
    monkeypatch.setattr(machine, "survey", lambda device: kind)
    options: dict[str, Any] = {"data": "digits", "epochs": 2, "train_size": 400, "workers": 0}
    evaluator = ImageOptions.of({**options, "device": "cpu"}).evaluator()
    assert evaluator.resource_limits == keys["resource_limits"]
    space = PRESETS["digits"]
    child = space.canonical(space.decode(space.string(123456)))
    assert json.loads(evaluator.context) == known
    assert EvaluationCache(evaluator, Archive()).key(child) == keys["key"]
    limited = CostLimits(evaluator, {"parameters": 3000})
    assert EvaluationCache(limited, Archive()).key(child) == keys["limited_key"]


def test_a_plan_without_a_preset_meant_the_papers() -> None:
    plan = {"env": "NAS-Digits-v0", "agent": "reinforce", "children": 200}
    assert read_plan(json.dumps(plan), "search.json").agent_options == {"preset": "paper"}
    other = {**plan, "agent_options": {"preset": "short", "lr": 0.01}}
    known = {"preset": "short", "lr": 0.01}
    assert read_plan(json.dumps(other), "search.json").agent_options == known
