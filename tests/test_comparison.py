"""Comparisons of agents: the numbers of figure 6 of the paper, from hand-made archives."""

import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict
from math import nan
from pathlib import Path
from typing import Any

import pytest

from nasgym import Evaluation
from nasgym.analysis.comparison import compare
from nasgym.archive import Archive
from nasgym.search.plan import Plan, SearchError
from tests.command_line import run

Child = tuple[str, float | None]
"""A child's key, and its perplexity or accuracy; None if it failed."""


def made(
    folder: Path, agent: str, children: Sequence[Child], *, env: str = "NAS-Text-v0", **plan: Any
) -> Path:
    """Write a run with the trials of `children` into `folder`."""
    folder.mkdir()
    written = Plan(env, agent, max(1, len(children)), **plan)
    (folder / "search.json").write_text(json.dumps(asdict(written)))
    with closing(Archive(folder / "archive.db")) as archive:
        for key, value in children:
            if value is None:
                archive.store(key, Evaluation(status="nan"))
            elif env == "NAS-Text-v0":
                archive.store(key, Evaluation(0.1, metrics={"perplexity": value}))
            else:
                archive.store(key, Evaluation(value))
            archive.record([((0,), key, 0.0, key)])
    return folder


FIRST = [("a", 90.0), ("a", 90.0), ("b", 80.0), ("c", None), ("d", 100.0), ("e", 70.0)]
SECOND = [("a", 95.0), ("b", 85.0), ("c", 105.0), ("d", 75.0), ("e", 110.0), ("f", None)]
FIVE = [*FIRST, ("f", 60.0), ("f", 60.0), ("b", 80.0), ("g", 50.0)]
FIVE_MORE = [*SECOND, ("g", 60.0), ("h", 200.0), ("i", None), ("b", 85.0)]


def test_a_child_counts_once_and_a_failure_not_at_all(tmp_path: Path) -> None:
    runs = [made(tmp_path / "a", "reinforce", FIVE), made(tmp_path / "b", "random", FIVE_MORE)]
    comparison = compare(runs, every=2)
    assert comparison.children == (2, 4, 6, 8, 10)
    (improvement,) = comparison.improvements
    ((*one,),) = improvement.differences
    # The best perplexities: 90, 80, 70, 60, 50 against 85, 75, 75, 60, 60.
    assert [row[0] for row in one] == [-5, -5, 5, 0, 10]
    # Five unique ones: the first run has them from the 7th child on (100, 90, 80, 70, 60), the
    # second from the 5th (95, 85, 105, 75, 110), but a difference needs both.
    first, second = [80, 70], [(60 + 75 + 85 + 95 + 105) / 5] * 2
    expected = [nan, nan, nan, second[0] - first[0], second[1] - first[1]]
    assert [row[1] for row in one] == pytest.approx(expected, nan_ok=True)
    assert [row[2] for row in one] == pytest.approx([nan] * 5, nan_ok=True)


def test_accuracies_differ_in_points(tmp_path: Path) -> None:
    env = "NAS-Digits-v0"
    one = made(tmp_path / "a", "ppo", [("a", 0.5), ("b", 0.9)], env=env)
    other = made(tmp_path / "b", "random", [("a", 0.7), ("b", 0.6)], env=env)
    comparison = compare([one, other], every=1)
    assert comparison.unit == "points of accuracy"
    assert comparison.improvements[0].differences[0, :, 0] == pytest.approx([-20, 20])


def test_seeds_go_together_and_each_agent_is_compared_to_the_last(tmp_path: Path) -> None:
    runs = [
        made(tmp_path / "a0", "reinforce", [("a", 10.0)]),
        made(tmp_path / "b0", "random", [("a", 20.0)]),
        made(
            tmp_path / "s",
            "reinforce",
            [("a", 15.0)],
            agent_options={"preset": "short"},
            num_envs=4,
        ),
        made(tmp_path / "a1", "reinforce", [("a", 40.0), ("b", 1.0)], seed=1),
        made(tmp_path / "b1", "random", [("a", 22.0)], seed=1, workers=3),
    ]
    plain = compare(runs, every=1).to_plain()
    assert plain["against"] == {"agent": "random", "seeds": 2}
    assert [one["agent"] for one in plain["agents"]] == [
        "reinforce preset=paper",
        "reinforce num_envs=4 preset=short",
    ]
    assert [one["seeds"] for one in plain["agents"]] == [2, 1]
    assert plain["children"] == (1,)  # as many as the shortest run has
    # 20 or 22 less 10 or 40: -20, -18, 10, 12.
    assert plain["agents"][0]["top"]["1"] == {"mean": [-4.0], "low": [-20.0], "high": [12.0]}
    assert plain["agents"][1]["top"]["1"] == {"mean": [6.0], "low": [5.0], "high": [7.0]}
    assert plain["agents"][1]["top"]["5"]["mean"] == [None]


def test_the_command_prints_and_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [
        str(made(tmp_path / "a", "reinforce", FIVE)),
        str(made(tmp_path / "c", "reinforce", FIVE_MORE, seed=7)),
        str(made(tmp_path / "b", "random", FIVE_MORE)),
    ]
    picture = tmp_path / "picture.png"
    code, out, err = run(capsys, "compare", *runs, "--every", "5", "--out", str(picture))
    assert (code, err) == (0, "") and "reinforce preset=paper (n = 2) over random (n = 1)" in out
    assert "too few" in out and picture.read_bytes().startswith(b"\x89PNG")
    code, out, _ = run(capsys, "compare", *runs, "--every", "5", "--out", str(picture), "--json")
    assert json.loads(out)["agents"][0]["top"]["1"]["mean"] == [-2.5, 5.0]


def test_runs_that_cannot_be_compared_are_named(tmp_path: Path) -> None:
    one = made(tmp_path / "one", "reinforce", FIRST)
    mistakes = {
        "no child of": made(tmp_path / "empty", "random", []),
        "only runs in the same environment": made(
            tmp_path / "env", "random", [("a", 0.5)], env="NAS-Digits-v0"
        ),
        "epochs=None and .* has epochs=2": made(
            tmp_path / "options", "random", FIRST, env_options={"epochs": 2}
        ),
        "fewer than 4": made(tmp_path / "few", "random", FIRST[:3]),
        "by the same agent": made(tmp_path / "same", "reinforce", FIRST, seed=1),
        "the second run": made(tmp_path / "again", "reinforce", FIRST),
        "there is no run": tmp_path / "nowhere",
    }
    for message, other in mistakes.items():
        with pytest.raises(SearchError, match=message):
            compare([one, other], every=4)
    same_said_twice = made(
        tmp_path / "said", "random", FIRST, env_options={"corpus": "documentation"}
    )
    assert compare([one, same_said_twice], every=4).children == (4,)
    with pytest.raises(SearchError, match="name the folders"):
        compare([], every=4)
    with pytest.raises(SearchError, match="every must be at least 1"):
        compare([one, same_said_twice], every=0)
