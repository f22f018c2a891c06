"""The published protocol: its budget in seconds, its score, and the REINFORCE agent."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from nasgym import tables
from nasgym.archive import Trial
from nasgym.benchmarks.experiments.nasbench201_protocol import (
    AGENTS,
    PUBLISHED,
    SECONDS,
    LogitTable,
    SearchScore,
    main,
    rows,
    search_score,
)
from nasgym.data.download import data_folder
from nasgym.spaces.base import Tokens
from nasgym.spaces.nas_bench import NASBench201Space
from nasgym.tables import Table
from nasgym.testing import check_agent

SPACE = NASBench201Space()
HAVE_TABLE = (data_folder() / "nas-bench-201.csv.gz").is_file()


def synthetic() -> Table:
    """Return a table where every child takes 100 s and the highest reward has the lowest test."""
    reward = np.linspace(0.1, 0.9, SPACE.size)
    return Table(
        name="synthetic",
        space=SPACE,
        reward=reward,
        clean=reward,
        test=1 - reward,
        seconds=np.full(SPACE.size, 100.0),
        chance=0.1,
    )


def trial(tokens: Tokens, reward: float) -> Trial:
    return Trial(0, tokens, None, reward, reward, {}, "ok", "", 0.0, False)


@pytest.mark.parametrize("name", AGENTS)
def test_seconds_end_a_search_and_the_reward_chooses(name: str) -> None:
    """The child that exceeds the limit counts; the best reward's test accuracy is the score."""
    found = search_score(AGENTS[name](0), synthetic(), seconds=950)
    assert found.children == 10
    assert found.different <= 10
    assert found.test < 50  # the best of ten strings has a reward above 0.5


def test_repeats_cost_seconds() -> None:
    table = synthetic()
    agent = LogitTable(lr=5.0)  # soon samples one string only
    found = search_score(agent, table, seconds=20_000)
    assert found.children == 200
    assert found.different < 100


def test_the_logit_table_climbs_as_autograd_and_adam_do() -> None:
    agent = LogitTable(seed=1, lr=0.05)
    (tokens,) = agent.propose(SPACE, 1)
    assert agent.logits is not None
    logits = torch.tensor(agent.logits, requires_grad=True)
    adam = torch.optim.Adam([logits], lr=0.05)
    baseline = 0.0
    for reward in (0.5, 0.8, 0.7, 0.9):
        agent.learn([trial(tokens, reward)])
        baseline = 0.9 * baseline + 0.1 * reward
        log_prob = logits.log_softmax(1)[range(6), list(tokens)].sum()
        adam.zero_grad()
        (-log_prob * (reward - baseline)).backward()  # type: ignore[no-untyped-call]
        adam.step()
        np.testing.assert_allclose(agent.logits, logits.detach().numpy(), rtol=1e-6)
        (tokens,) = agent.propose(SPACE, 1)


def test_the_logit_table_is_an_agent_like_others() -> None:
    check_agent(LogitTable, SPACE)


def test_rows_stand_beside_the_published_ones() -> None:
    table = rows("cifar10", {"random": [SearchScore(93.0, 180, 178), SearchScore(94.0, 182, 180)]})
    cells = [list(column.cells) for column in table.columns]
    assert cells == [["random"], ["93.50 ± 0.50"], ["93.86 ± 0.23"], ["181"], ["179"]]


def test_a_missing_table_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NASGYM_DATA", str(tmp_path))
    with pytest.raises(SystemExit) as ended:
        main(["--runs", "1"])
    assert ended.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.skipif(not HAVE_TABLE, reason="the table of NAS-Bench-201 is not in the data folder")
def test_a_few_runs_land_near_the_published_rows(capsys: pytest.CaptureFixture[str]) -> None:
    """Within four standard errors of four runs; the command's 100 land within 0.15 points."""
    table = tables.load("nas-bench-201", dataset="cifar10", epochs=12)
    for name, (mean, deviation) in PUBLISHED["cifar10"].items():
        tests = [
            search_score(AGENTS[name](seed), table, SECONDS["cifar10"]).test for seed in range(4)
        ]
        assert np.mean(tests) == pytest.approx(mean, abs=4 * deviation / 4**0.5)
    main(["--runs", "1", "--json"])
    printed = json.loads(capsys.readouterr().out)
    assert set(printed["outcomes"]) == set(AGENTS)
