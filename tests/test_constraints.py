"""What a network may cost: MnasNet's formula, limits that cost no training, measured latency."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym
import pytest

from nasgym import Evaluation, NASVectorEnv
from nasgym.archive import Archive
from nasgym.evaluation.constraints import CostLimits, refused
from nasgym.evaluation.evaluator import as_evaluator
from nasgym.evaluation.rewards import REWARDS, CostWeightedReward, accuracy
from nasgym.networks import flops, parameters
from nasgym.search.plan import Plan, SearchError
from nasgym.search.run import Run
from nasgym.spaces import ConvArchitecture, ConvLayer, LSTMArchitecture
from nasgym.training.image.evaluator import ImageEvaluator
from nasgym.training.text.evaluator import TextEvaluator
from tests.spaces import Numbers, Stack

SMALL = ConvArchitecture((ConvLayer(3, 3, 8),))
LARGE = ConvArchitecture((ConvLayer(3, 3, 8), ConvLayer(3, 3, 24, inputs=(1,))))
SMALL_OF_TWO = ConvArchitecture((ConvLayer(1, 1, 8), ConvLayer(1, 1, 8, inputs=(1,))))
BAD = ConvArchitecture((ConvLayer(3, 3, 8, inputs=(4,)),))
DIGITS = (1, 8, 8), 10
QUICK: dict[str, Any] = {"epochs": 1, "train_size": 64, "valid_size": 100, "device": "cpu"}


def child(**metrics: Any) -> Evaluation:
    return Evaluation(0.8, metrics=metrics)


def test_the_reward_is_that_of_mnasnet() -> None:
    weighed = CostWeightedReward(accuracy, "flops", target=100.0)
    assert weighed(child(flops=100)) == 0.8
    # Section 3.1: twice the latency and 5 % more accuracy earn about the same.
    assert 1.05 * weighed(child(flops=200)) == pytest.approx(weighed(child(flops=100)), rel=1e-3)
    hard = CostWeightedReward(accuracy, "flops", target=100.0, exponent=-1.0, exponent_below=0.0)
    assert hard(child(flops=50)) == 0.8 and hard(child(flops=400)) == 0.8 / 4


@pytest.mark.parametrize("name", REWARDS)
def test_every_reward_can_be_weighed(name: str) -> None:
    evaluation = child(parameters=400, nll=0.5, perplexity=90.0)
    weighed = CostWeightedReward(REWARDS[name], "parameters", target=100.0, exponent=-0.5)
    assert weighed(evaluation) == pytest.approx(REWARDS[name](evaluation) / 2)
    assert 0 < weighed(child(parameters=0, nll=0.5, perplexity=90.0)) < 1e9


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cost": "size"}, "none of parameters, flops, latency"),
        ({"target": 0}, "target must be above 0"),
        ({"exponent": 0.07}, "exponent must be 0 or less"),
        ({"exponent_below": 1.0}, "exponent_below must be 0 or less"),
    ],
)
def test_a_weight_that_makes_no_sense_is_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CostWeightedReward(**{"reward": accuracy, "cost": "flops", "target": 1.0, **options})


def test_a_cost_that_is_not_measured_is_named() -> None:
    with pytest.raises(
        ValueError, match=r"'latency' is not reported by the evaluator; reported costs: flops$"
    ):
        CostWeightedReward(accuracy, "latency", target=1.0)(child(flops=3))


# Limits -----------------------------------------------------------------------------------------


class Sized(Numbers):
    """Numbers whose parameters are known: the length of the string, times a thousand."""

    context = "sized"

    def costs(self, architecture: Any) -> Mapping[str, float]:
        return {"parameters": 1000 * len(architecture)}


def test_a_child_beyond_a_limit_is_declared_and_not_trained() -> None:
    inner = Sized()
    evaluations = CostLimits(as_evaluator(inner), {"parameters": 2000}).evaluate(
        [[1] * 3, [1], [1] * 2, [2] * 4]
    )
    assert inner.asked == [[1], [1] * 2]
    assert [each.status for each in evaluations] == ["invalid", "ok", "ok", "invalid"]
    assert evaluations[1:3] == Numbers().evaluate([[1], [1] * 2])
    assert evaluations[0].error == "3,000 parameters, more than max_parameters=2000"
    assert [refused(each) for each in evaluations] == [True, False, False, True]


def test_an_environment_keeps_the_limits_and_an_archive_tells_them_apart() -> None:
    archive = Archive()
    strings = [Stack().string(index) for index in range(12)]
    limited = NASVectorEnv(Stack(), Sized(), 4, limits={"parameters": 3000}, archive=archive)
    for trial, tokens in zip(limited.study.play(strings), strings, strict=True):
        beyond = len(tokens) > 3
        assert (trial.status, trial.reward == 0) == ("invalid" if beyond else "ok", beyond)
    free = NASVectorEnv(Stack(), Sized(), 4, archive=archive)
    assert {trial.status for trial in free.study.play(strings)} == {"ok"}


@pytest.mark.parametrize(
    ("evaluator", "limits", "message"),
    [
        (Numbers(), {"parameters": 5}, "Numbers has no method costs"),
        (Sized(), {"parameters": 0}, "max_parameters must be above 0, not 0"),
        (Sized(), {"flops": 5}, "max_flops cannot be checked: only parameters are known"),
    ],
)
def test_limits_that_cannot_be_kept_are_named(
    evaluator: Any, limits: dict[str, float], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        NASVectorEnv(Stack(), evaluator, limits=limits).study.play([Stack().string(0)])


class Broken(Sized):
    """Every second child is too large, and of the others `failing` in ten fail."""

    failing = 0

    def costs(self, architecture: Any) -> Mapping[str, float]:
        return {"parameters": 1 if len(str(architecture)) % 3 else 10}

    def evaluate(self, architectures: Sequence[Any]) -> list[Evaluation]:
        self.asked += architectures
        return [Evaluation(status="exception", error="no device") for _ in architectures]


def test_refusing_stops_no_search_but_failing_does(tmp_path: Any) -> None:
    def make(num_envs: int = 1, **options: Any) -> NASVectorEnv:
        evaluator = Sized() if options.pop("sound") else Broken()
        return NASVectorEnv(Stack(), evaluator, num_envs, limits={"parameters": 5}, **options)

    gym.register("NAS-Limited-v0", vector_entry_point=make)
    strings = {"uniform": "strings"}
    plan = Plan(
        "NAS-Limited-v0",
        "random",
        children=60,
        env_options={"sound": True},
        agent_options=strings,
    )
    Run(tmp_path / "sound", plan).search()
    trials = list(Run(tmp_path / "sound").archive())
    assert len(trials) == 60 and all(refused(trial) for trial in trials)
    broken = Run(tmp_path / "broken", Plan(**{**vars(plan), "env_options": {"sound": False}}))
    with pytest.raises(SearchError, match="20 of the last 20 children failed"):
        broken.search()
    assert any(refused(trial) for trial in broken.archive())


# Options of the registered environments -----------------------------------------------------------


def test_options_weigh_any_reward_and_set_limits() -> None:
    most = parameters(SMALL_OF_TWO, *DIGITS)
    costs: dict[str, Any] = {
        "cost": "flops",
        "target": 1e5,
        "exponent": -0.5,
        "max_parameters": most,
    }
    training: dict[str, Any] = {**QUICK, "workers": 0, "layers": 2, "reward": "accuracy_cubed"}
    envs: Any = gym.make_vec("NAS-Digits-v0", num_envs=2, **costs, **training).unwrapped
    strings = [envs.study.space.encode(SMALL_OF_TWO), envs.study.space.encode(LARGE)]
    small, large = envs.study.play(strings)
    expected = small.accuracy**3 * (small.metrics["flops"] / 1e5) ** -0.5
    assert small.reward == pytest.approx(expected) and small.status == "ok"
    assert refused(large) and large.reward == 0
    assert isinstance(envs.study.evaluator, ImageEvaluator)


def test_latency_in_the_reward_is_measured() -> None:
    options: dict[str, Any] = {
        "cost": "latency",
        "target": 1e-3,
        "layers": 2,
        "workers": 0,
        **QUICK,
    }
    envs: Any = gym.make_vec("NAS-Digits-v0", num_envs=1, **options).unwrapped
    (trial,) = envs.study.play([envs.study.space.string(0)])
    expected = trial.accuracy * (trial.metrics["latency"] / 1e-3) ** -0.07
    assert trial.reward == pytest.approx(expected)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("NAS-Digits-v0", {"cost": "size", "target": 1}, "'size' cannot be a cost .* latency$"),
        ("NAS-Digits-v0", {"cost": "flops"}, "needs both cost=... and target=..."),
        ("NAS-Digits-v0", {"target": 5}, "needs both cost=... and target=..."),
        ("NAS-Digits-v0", {"max_flops": -5}, "max_flops must be above 0, not -5"),
        ("NAS-Digits-v0", {"max_flops": "many"}, "max_flops must be a number, not 'many'"),
        ("NAS-Digits-v0", {"max_parameter": 5}, "did you mean 'max_parameters'"),
        ("NAS-Text-v0", {"max_flops": 5}, "'flops' cannot be a cost or limit here"),
    ],
)
def test_options_that_cannot_be_are_named(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        gym.make_vec(name, num_envs=1, **options)


# What the evaluators that train know and measure -------------------------------------------------


def test_children_that_classify_know_their_costs_and_refuse_untrained() -> None:
    evaluator = ImageEvaluator(workers=0, **QUICK)
    most = parameters(SMALL, *DIGITS)
    refusal, bad, trained = CostLimits(evaluator, {"parameters": most}).evaluate(
        [LARGE, BAD, SMALL]
    )
    assert refusal.error.startswith(f"{parameters(LARGE, *DIGITS):,} parameters, more than")
    assert refusal.metrics["flops"] == flops(LARGE, *DIGITS)
    assert "layer 1" in bad.error and not refused(bad)
    assert trained.metrics.items() >= evaluator.costs(SMALL).items()
    assert "latency" not in trained.metrics


def test_latency_is_measured_only_if_asked_for() -> None:
    plain, timed = (ImageEvaluator(workers=0, latency=asked, **QUICK) for asked in (False, True))
    assert json.loads(timed.context) == {**json.loads(plain.context), "latency": True}
    (without,), (small, large) = plain.evaluate([SMALL]), timed.evaluate([SMALL, LARGE])
    assert 0 < small.metrics["latency"] < large.metrics["latency"] < 1
    assert {**small.metrics, "latency": 0} == {**without.metrics, "latency": 0}


def test_language_models_know_their_parameters_and_are_timed() -> None:
    sizes: dict[str, Any] = {"unit": "characters", "train_size": 5000, "valid_size": 200}
    evaluator = TextEvaluator(
        workers=0, epochs=1, parameters=20_000, latency=True, device="cpu", **sizes
    )
    cell = LSTMArchitecture()
    (evaluation,) = evaluator.evaluate([cell])
    assert evaluation.status == "ok", evaluation.error
    assert evaluation.metrics["parameters"] == evaluator.costs(cell)["parameters"]
    assert 0 < evaluation.metrics["latency"] < 0.1
