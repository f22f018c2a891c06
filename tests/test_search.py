"""A run keeps its plan, says where it is, and can be extended; tests/faults kills it."""

import json
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest

from nasgym import Archive
from nasgym.search.plan import Plan, SearchError
from nasgym.search.run import Run
from tests.free_search import ID, register
from tests.killing import acknowledged, start


def test_a_finished_run_says_where_it_is_and_can_be_extended(tmp_path: Path) -> None:
    command = ("tests.free_search", str(tmp_path), "random")
    assert sorted(acknowledged(start(*command, "20").communicate()[0])) == list(range(20))
    output, _ = start(*command, "20").communicate()
    assert not acknowledged(output)
    summary = json.loads(output.splitlines()[-1])
    assert summary["children"] == 20 and summary["folder"] == str(tmp_path)
    assert sorted(acknowledged(start(*command, "24").communicate()[0])) == list(range(20, 24))
    best = json.loads((tmp_path / "best.json").read_text())
    assert best["reward"] == max(trial.reward for trial in Archive(tmp_path / "archive.db"))
    for name in ("best.png", "rewards.png", "policy.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def plan(**changes: Any) -> Plan:
    return Plan(**{"env": ID, "agent": "random", "children": 40, "num_envs": 4, **changes})


def test_a_folder_keeps_its_plan(tmp_path: Path) -> None:
    if ID not in gym.registry:
        register()
    Run(tmp_path, plan(children=4)).search()
    with pytest.raises(SearchError, match="holds a run with seed 0, not 1"):
        Run(tmp_path, plan(seed=1))
    with pytest.raises(SearchError, match="holds a run with agent 'random', not 'ppo'"):
        Run(tmp_path, plan(agent="ppo"))
    assert Run(tmp_path, plan(children=8, workers=2)).plan.children == 8
    (tmp_path / "search.json").write_text("{")
    with pytest.raises(SearchError, match=r"search\.json is damaged"):
        Run(tmp_path)
    with pytest.raises(SearchError, match="name an environment"):
        Run(tmp_path / "nothing")
