"""Estimates: linear in all that is trained, weighted by ceiling, from a real probe."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from nasgym import Evaluation, NASEnv
from nasgym.commands.main import main
from nasgym.search import estimate as cost
from nasgym.search.estimate import Cost, duration, fidelity_of, mean_work, probe
from nasgym.search.plan import Plan, SearchError
from nasgym.spaces import ConvSpace
from tests.command_line import assert_mistake, run

BASE = Cost(children=10, epochs=5, samples=720, seconds_a_sample=0.5, workers=2, device="cpu")


def test_cost_is_linear() -> None:
    assert BASE.hours == 10 * 5 * 720 * 0.5 / 3600 == 5
    assert BASE.seconds == 9000
    for change in ({"children": 30}, {"epochs": 15}, {"samples": 2160}, {"seconds_a_sample": 1.5}):
        assert replace(BASE, **change).seconds == pytest.approx(3 * BASE.seconds)
    assert replace(BASE, workers=6).seconds == BASE.seconds / 3
    assert replace(BASE, workers=6).hours == BASE.hours


def test_cost_for_a_reader() -> None:
    assert BASE.text().startswith("2.5 hours, 2 children at a time: 5 CPU-hours\n")
    assert "10 children x 5 epochs x 720 training samples x 0.5 s" in BASE.text()
    assert "10,000 hours of training" in replace(BASE, device="cuda", children=20_480).text()
    assert duration(1.5) == "1.5 seconds"
    assert duration(119) == "120 seconds"
    assert duration(150) == "2.5 minutes"
    assert duration(47 * 3600) == "47 hours"
    assert duration(48 * 3600) == "2 days"
    assert duration(28 * 86400) == "28 days"
    assert duration(1234.5 * 365.25 * 86400) == "1,200 years"


class Clock:
    """Takes a second to start, and two for each of 100 samples and unit of work, here layers."""

    context = '{"device": "cpu"}'
    seen: list[int] = []  # noqa: RUF012

    def __init__(self, epochs: int = 5, status: str = "ok") -> None:
        self.epochs, self.status = epochs, status

    def evaluate(self, architectures: Sequence[Any]) -> list[Evaluation]:
        return [self.one(len(architecture.layers)) for architecture in architectures]

    def one(self, layers: int) -> Evaluation:
        self.seen.append(self.epochs)
        if self.status != "ok":
            return Evaluation(status=self.status, error="first line\nno such device")
        samples = 100 * self.epochs
        return Evaluation(0.5, seconds=1 + 2 * samples * layers, metrics={"samples": samples})


SPACE = ConvSpace(layers=1, max_layers=4, filters=(4,), skip_connections=False)


def layers(architecture: Any) -> float:
    return float(len(architecture.layers))


@pytest.fixture
def clock_env() -> Iterator[str]:
    def make(**options: Any) -> NASEnv:
        return NASEnv(SPACE, Clock(**options))

    gym.register("NAS-Clock-v0", entry_point=make)
    Clock.seen.clear()
    yield "NAS-Clock-v0"
    del gym.registry["NAS-Clock-v0"]


def test_work_is_weighted_by_ceiling() -> None:
    env = NASEnv(SPACE, Clock(), grow_by=2, grow_every=10)
    rng = np.random.default_rng(0)
    assert mean_work(env, 10, layers, rng) == 1
    assert mean_work(env, 14, layers, rng) == pytest.approx((10 * 1 + 4 * 3) / 14)
    assert mean_work(env, 100, layers, rng) == pytest.approx((10 * 1 + 10 * 3 + 80 * 4) / 100)
    assert env.study.trials == 0
    assert mean_work(NASEnv(SPACE, Clock()), 5000, layers, rng) == 1


def test_a_probe_counts_neither_start_nor_validation(clock_env: str) -> None:
    rng = np.random.default_rng(0)
    children = [*cost.draw(SPACE, rng, 2), *cost.draw(SPACE.with_layers(3), rng, 2)]
    assert probe(clock_env, {}, children, layers) == pytest.approx(2)
    assert Clock.seen == [1] * 4 + [4] * 4


@pytest.mark.parametrize("status", ["oom", "exception"])
def test_a_probe_whose_children_fail_says_why(clock_env: str, status: str) -> None:
    children = cost.draw(SPACE, np.random.default_rng(0), 2)
    with pytest.raises(SearchError, match=f"{status}, no such device"):
        probe(clock_env, {"status": status}, children, layers)


@pytest.mark.parametrize(
    ("options", "epochs", "samples", "train_size"),
    [
        ({"data": "digits"}, 5, 500, 64),
        ({"data": "digits", "epochs": 9, "train_size": 50}, 9, 50, 50),
        ({"data": "digits", "recipe": "paper"}, 50, 500, 128),
        ({"corpus": "documentation", "train_size": 5000, "recipe": "paper"}, 35, 5000, 1420),
        ({"corpus": "documentation", "train_size": 5000, "epochs": 2}, 2, 5000, 1000),
    ],
)
def test_fidelity(options: Mapping[str, Any], epochs: int, samples: int, train_size: int) -> None:
    fidelity = fidelity_of(options)
    assert (fidelity.epochs, fidelity.samples) == (epochs, samples)
    assert fidelity.shortened["train_size"] == train_size


def test_no_more_children_at_a_time_than_a_wave(monkeypatch: pytest.MonkeyPatch) -> None:
    probed: list[int] = []

    def two(env: str, options: Any, children: Sequence[Any], work: Any) -> float:
        probed.append(len(children))
        return 2.0

    monkeypatch.setattr(cost, "probe", two)
    digits = Plan("NAS-Digits-v0", "random", children=3, num_envs=4, workers=64)
    estimated = cost.estimate(digits)
    assert (estimated.workers, estimated.children, estimated.epochs) == (4, 3, 5)
    assert estimated.device == "cpu"
    alone = cost.estimate(replace(digits, workers=1))
    assert alone.workers == 1 and probed == [4, 2]
    paper = replace(digits, agent="reinforce", agent_options={"batch": 16})
    assert cost.estimate(paper).workers == 16


def test_estimate_trains_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    search = ["search", "NAS-Digits-v0", "--agent", "random", "--children", "7", "--workers", "2"]
    main([*search, "--estimate", "--json"])
    (line,) = capsys.readouterr().out.splitlines()
    estimated = json.loads(line)["estimate"]
    here = estimated["here"]
    assert (here["children"], here["epochs"], here["samples"], here["workers"]) == (7, 5, 500, 2)
    assert 0 < here["seconds"] < 600 and estimated["paper"] is None
    assert not list(tmp_path.iterdir())


MISTAKES = {
    "no preset": (("--preset", "paper"), "preset 'paper' is none of paper-cifar10, paper-ptb"),
    "no data": (("--preset", "paper-cifar10"), "nasgym data cifar10"),
    "no text": (("--preset", "paper-ptb"), "nasgym data ptb"),
    "unknown option": (("NAS-Digits-v0", "--estimate", "--set", "epoch=1"), "did you mean"),
    "unknown agent": (("NAS-Digits-v0", "--estimate", "--agent", "ppoo"), "did you mean 'ppo'"),
    "not ours": (("CartPole-v1", "--estimate"), "the cost of CartPole-v1 cannot be estimated"),
}


@pytest.mark.parametrize(("arguments", "message"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_get_one_line_before_any_probe(
    arguments: tuple[str, ...],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NASGYM_DATA", str(tmp_path))
    monkeypatch.setattr(cost, "probe", lambda *_: pytest.fail("a probe was begun"))
    assert_mistake(run(capsys, "search", *arguments), message)
    assert not list(tmp_path.iterdir())
