"""Estimates: linear in all that is trained, weighted by ceiling, from a real probe."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nasgym import Evaluation
from nasgym.commands.main import main
from nasgym.environments.ceiling import Ceiling
from nasgym.environments.registry import problem
from nasgym.search import estimate as cost
from nasgym.search.estimate import Cost, duration, mean_work, probe
from nasgym.search.plan import Plan, SearchError
from nasgym.spaces import ConvSpace
from nasgym.training.evaluator import TrainingEvaluator
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


class Clock(TrainingEvaluator):
    """Takes a second to start, and two for each of 100 samples a step and unit of work: layers."""

    def __init__(self, status: str = "ok") -> None:
        self.status, self.steps = status, list[int]()

    def work(self, architecture: Any) -> float:
        return float(len(architecture.layers))

    def probe(self, architectures: Sequence[Any], steps: int) -> list[Evaluation]:
        self.steps.append(steps)
        return [self._one(self.work(each), 100 * steps) for each in architectures]

    def _one(self, layers: float, samples: int) -> Evaluation:
        if self.status != "ok":
            return Evaluation(status=self.status, error="first line\nno such device")
        return Evaluation(0.5, seconds=1 + 2 * samples * layers, metrics={"samples": samples})


SPACE = ConvSpace(layers=1, max_layers=4, filters=(4,), skip_connections=False)


def layers(architecture: Any) -> float:
    return float(len(architecture.layers))


def test_work_is_weighted_by_ceiling() -> None:
    growing, rng = Ceiling(SPACE, grow_by=2, grow_every=10), np.random.default_rng(0)
    assert mean_work(growing, 10, layers, rng) == 1
    assert mean_work(growing, 14, layers, rng) == pytest.approx((10 * 1 + 4 * 3) / 14)
    assert mean_work(growing, 100, layers, rng) == pytest.approx((10 * 1 + 10 * 3 + 80 * 4) / 100)
    assert mean_work(Ceiling(SPACE), 5000, layers, rng) == 1


def test_a_probe_does_not_count_the_start() -> None:
    rng, clock = np.random.default_rng(0), Clock()
    children = [*cost.draw(SPACE, rng, 2), *cost.draw(SPACE.with_layers(3), rng, 2)]
    assert probe(clock, children) == pytest.approx(2)
    assert clock.steps == [cost.PROBE_STEPS, cost.PROBE_STEPS, cost.PROBE_STEPS + 1]


@pytest.mark.parametrize("status", ["oom", "exception"])
def test_a_probe_whose_children_fail_says_why(status: str) -> None:
    children = cost.draw(SPACE, np.random.default_rng(0), 2)
    with pytest.raises(SearchError, match=f"{status}, no such device"):
        probe(Clock(status), children)


@pytest.mark.parametrize(
    ("env", "options", "epochs", "samples"),
    [
        ("NAS-Digits-v0", {}, 5, 500),
        ("NAS-Digits-v0", {"epochs": 9, "train_size": 50}, 9, 50),
        ("NAS-Digits-v0", {"recipe": "paper"}, 50, 500),
        ("NAS-Text-v0", {"train_size": 5000, "recipe": "paper"}, 35, 5000),
        ("NAS-Text-v0", {"train_size": 5000, "epochs": 2}, 2, 5000),
    ],
)
def test_an_evaluator_knows_how_much_a_child_trains(
    env: str, options: Mapping[str, Any], epochs: int, samples: int
) -> None:
    evaluator = problem(env, {**options, "workers": 0}).evaluator()
    assert isinstance(evaluator, TrainingEvaluator)
    assert (evaluator.epochs, evaluator.samples) == (epochs, samples)


@pytest.mark.parametrize("env", ["NAS-Digits-v0", "NAS-Text-v0"])
def test_a_probe_ends_after_its_steps(env: str) -> None:
    options = problem(env, {"workers": 0, "device": "cpu"})
    evaluator = options.evaluator()
    assert isinstance(evaluator, TrainingEvaluator)
    children = cost.draw(options.search_space(), np.random.default_rng(0), 1)
    (short,), (long,) = evaluator.probe(children, 2), evaluator.probe(children, 6)
    assert (short.status, long.status) == ("ok", "ok")
    assert long.metrics["samples"] == 3 * short.metrics["samples"]


def test_no_more_children_at_a_time_than_a_wave(monkeypatch: pytest.MonkeyPatch) -> None:
    probed: list[int] = []

    def two(evaluator: Any, children: Sequence[Any]) -> float:
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
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
