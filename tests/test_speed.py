"""The speed benchmark: its statistic, its measurements, and baselines that do the same work."""

import json
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch

from nasgym import Evaluation, NASEnv
from nasgym.benchmarks.measurement import Effort, Measurement, least_times
from nasgym.benchmarks.speed import language as language_speed
from nasgym.benchmarks.speed import naive
from nasgym.benchmarks.speed.scheduling import ON_RAY
from nasgym.benchmarks.speed.search import ConstantReward
from nasgym.benchmarks.speed.speed import MEASUREMENTS, SpeedBenchmark, table
from nasgym.benchmarks.speed.training import check
from nasgym.benchmarks.workloads import LARGE, SMALL, TWENTY_TOKENS, noise, random_children
from nasgym.networks import flops
from nasgym.training.image.batches import prepare
from nasgym.training.image.recipe import ImageRecipe

TOY = Effort(rounds=1, seconds=0.0, share=0.01)


class FakeClock:
    """A clock that only its contenders advance."""

    def __init__(self) -> None:
        self.now = 0.0
        self.turns: list[str] = []

    def __call__(self) -> float:
        return self.now

    def contender(self, name: str, *seconds: float) -> Callable[[], None]:
        left: Iterator[float] = iter(seconds)

        def work() -> None:
            self.turns.append(name)
            self.now += next(left)

        return work


def test_contenders_take_turns_and_the_least_time_counts() -> None:
    clock = FakeClock()
    contenders = clock.contender("a", 3.0, 1.0, 2.0), clock.contender("b", 5.0, 6.0, 4.0)
    least = least_times(*contenders, effort=Effort(rounds=3, seconds=0.0), clock=clock)
    assert least == [1.0, 4.0]
    assert clock.turns == ["a", "b"] * 3


@pytest.mark.parametrize(
    ("rounds", "seconds", "more"),
    [(0, 99.0, True), (4, 9.0, True), (5, 1.0, True), (5, 2.0, False), (1, 60.0, False)],
)
def test_rounds_go_on_until_there_are_enough_or_patience_ends(
    rounds: int, seconds: float, more: bool
) -> None:
    assert Effort(rounds=5, seconds=2.0, patience=60.0).asks_for_more(rounds, seconds) is more


def test_higher_rates_are_better_and_longer_times_are_worse() -> None:
    rate = Measurement("", ours=30.0, baseline=10.0, unit="images/s", target=4.0)
    time = Measurement("", ours=10.0, baseline=30.0, unit="ms", target=60.0, aim="ours")
    assert (rate.ratio, rate.reached) == (3.0, False)
    assert (time.ratio, time.reached) == (3.0, True)


@pytest.mark.parametrize("name", [name for name in MEASUREMENTS if name not in ON_RAY])
def test_every_measurement_runs(name: str) -> None:
    measurement = MEASUREMENTS[name](TOY)
    plain = json.loads(json.dumps(measurement.to_plain(), allow_nan=False))
    assert {"ratio", "target", "ours", "baseline", "unit", "note"} <= set(plain)
    assert plain["target"] > 0 and plain["unit"]


def test_json_holds_the_machine_and_the_named_measurements(
    capsys: pytest.CaptureFixture[str],
) -> None:
    SpeedBenchmark(only=("P4", "P13"), json=True).main(TOY)
    printed, shown = capsys.readouterr()
    results = json.loads(printed)
    assert list(results) == ["machine", "P4", "P13"]
    assert {"processor", "cores", "bfloat16", "torch", "date"} <= set(results["machine"])
    assert "measuring P13, 2 of 2" in shown


def test_the_table_has_a_row_for_each_result() -> None:
    result = Measurement("what", 3.0, 1.0, "steps/s", 2.0)
    shown = table({"P1": result, "P2": result})
    assert shown.row_count == 2
    assert [column.header for column in shown.columns][2:6] == ["ours", "naive", "ratio", "target"]


def test_an_unknown_measurement_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="no measurement 'P3'; choose from P1, P2"):
        SpeedBenchmark(only=("P3",))


def test_workloads_have_the_stated_sizes() -> None:
    assert flops(LARGE) >= 100e6 and flops(SMALL) <= 10e6
    assert [len(child.layers) for child in random_children(3)] == [4, 5, 6]


def test_a_child_that_failed_is_not_timed() -> None:
    check([Evaluation(0.5)])
    with pytest.raises(RuntimeError, match="a child ended with nan: the loss"):
        check([Evaluation(0.5), Evaluation(status="nan", error="the loss was not finite")])


def test_both_input_pipelines_give_as_many_images_of_the_same_kind() -> None:
    data = noise(train=100, valid=2)
    ours = list(prepare(data, RECIPE, torch.float32).training(np.random.default_rng(0)))
    theirs = list(naive.augmented(data, RECIPE.batch_size))
    assert [images.shape for images, _ in ours] == [images.shape for images, _ in theirs]
    for batches in (ours, theirs):
        pixels = torch.cat([images for images, _ in batches])
        assert abs(float(pixels.mean())) < 0.05 and 0.5 < float(pixels.std()) < 1.0


RECIPE = ImageRecipe("test", epochs=1, batch_size=32, augment=True)


def test_the_bare_environment_returns_the_same_observations() -> None:
    options = [len(decision.options) for decision in TWENTY_TOKENS.automaton.decisions]
    envs = NASEnv(TWENTY_TOKENS, ConstantReward()), naive.PlainEnv(options)
    observations, infos = zip(*(env.reset() for env in envs), strict=True)
    for action in np.random.default_rng(0).integers(max(options), size=len(options)):
        np.testing.assert_array_equal(*observations)
        np.testing.assert_array_equal(*(info["action_mask"] for info in infos))
        observations, _, ends, _, infos = zip(*(env.step(action) for env in envs), strict=True)
    assert ends == (True, True)


def test_the_naive_controller_learns() -> None:
    agent = naive.Reinforce(naive.Controller(TWENTY_TOKENS.automaton.decisions), 0.02)
    shares = []
    for _ in range(30):
        strings = agent.propose(16)
        assert all(TWENTY_TOKENS.contains(tuple(tokens)) for tokens in strings.tolist())
        shares.append(float((strings == 0).mean()))
        agent.learn((strings == 0).mean(axis=1).tolist())
    assert np.mean(shares[-5:]) > np.mean(shares[:5]) + 0.1


def test_both_language_models_compute_the_same_loss_and_gradients() -> None:
    text, models = language_speed.random_text(50), language_speed.models(vocabulary=50, hidden=8)
    losses = [language_speed.loss(model.double(), text, torch.float32) for model in models]
    torch.testing.assert_close(*losses)
    torch.autograd.backward(losses)
    ours, theirs = (dict(model.named_parameters()) for model in models)
    for name, layers in (("weight_ih", "of_input"), ("weight_hh", "of_h")):
        whole = gradient(ours.pop(f"recurrent.cells.0.{name}"))
        for leaf, block in enumerate(whole.chunk(8)):
            weight = theirs.pop(f"recurrent.{layers}.{leaf}.weight")
            torch.testing.assert_close(block, gradient(weight))
    assert set(ours) == set(theirs)
    for name, weight in ours.items():
        torch.testing.assert_close(gradient(weight), gradient(theirs[name]))


def gradient(weight: torch.Tensor) -> torch.Tensor:
    assert weight.grad is not None and weight.grad.abs().max() > 0
    return weight.grad
