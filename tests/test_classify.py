"""Image training: schedules, batches against a naive oracle, equal bits, and failing children."""

import io
import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from nasgym.data import ImageData, load
from nasgym.evaluation.evaluation import Evaluation
from nasgym.evaluation.rewards import REWARDS
from nasgym.networks import flops, parameters
from nasgym.spaces import PRESETS, ConvArchitecture, ConvLayer
from nasgym.spaces.plain import plain
from nasgym.training.determinism import child_seed
from nasgym.training.image import job as image_job
from nasgym.training.image import loop
from nasgym.training.image.batches import ImageBatches, prepare
from nasgym.training.image.job import job
from nasgym.training.image.loop import (
    VALID_BATCH_SIZE,
    ImageTraining,
    initial_network,
    train,
    validate,
)
from nasgym.training.image.recipe import IMAGE_RECIPES, ImageRecipe

SHORT, PAPER = IMAGE_RECIPES["short"], IMAGE_RECIPES["paper"]

DECENT = ConvArchitecture(
    tuple(
        ConvLayer(3, 3, filters, inputs=(number,) if number else ())
        for number, filters in enumerate((16, 16, 32, 32))
    )
)
TINY = ConvArchitecture((ConvLayer(3, 1, 8), ConvLayer(1, 3, 8, inputs=(1,))))


def settings(**changes: Any) -> dict[str, Any]:
    return {
        "data": "digits",
        "data_options": {"train_size": 100, "valid_size": 300},
        "recipe": asdict(replace(SHORT, epochs=2)),
        "seed": 0,
        "device": "cpu",
        "precision": "float32",
    } | changes


@pytest.fixture(scope="module")
def run() -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    return job(settings())


def small_data(flips: bool = True, count: int = 10) -> ImageData:
    rng = np.random.default_rng(0)
    return ImageData(
        rng.integers(0, 256, (count, 8, 12, 3), np.uint8),
        np.arange(count) % 2,
        rng.integers(0, 256, (300, 8, 12, 3), np.uint8),
        np.arange(300) % 2,
        ("a", "b"),
        flips,
    )


# Recipes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("epochs", "steps"), [(1, 1), (1, 7), (5, 15), (10, 31)])
def test_the_linear_schedule_rises_to_its_rate_and_falls_to_its_end(
    epochs: int, steps: int
) -> None:
    rates = list(replace(SHORT, epochs=epochs, learning_rate=0.4).rates(steps))
    assert len(rates) == epochs * steps
    assert max(rates) == pytest.approx(0.4)
    top = rates.index(max(rates))
    assert top <= len(rates) / 10
    assert all(a < b for a, b in pairwise(rates[: top + 1]))
    assert all(a > b for a, b in pairwise(rates[top:]))
    assert 0 < rates[-1] <= 0.4 / (len(rates) - top)


def test_the_papers_schedule_drops_at_epochs_25_and_38() -> None:
    rates = list(PAPER.rates(steps=3))
    assert rates[: 25 * 3] == pytest.approx([0.1] * 75)
    assert rates[25 * 3 : 38 * 3] == pytest.approx([0.01] * 39)
    assert rates[38 * 3 :] == pytest.approx([0.001] * 36)


def test_a_shorter_training_has_the_whole_schedule() -> None:
    assert list(replace(PAPER, epochs=4).rates(1)) == pytest.approx([0.1, 0.1, 0.01, 0.001])


def test_the_papers_recipe_is_that_of_the_paper() -> None:
    assert (PAPER.epochs, PAPER.batch_size, PAPER.judged_epochs) == (50, 64, 5)
    assert (PAPER.learning_rate, PAPER.momentum, PAPER.weight_decay) == (0.1, 0.9, 1e-4)
    assert PAPER.whiten
    assert PAPER.augment
    canvas = prepare(
        replace(small_data(), train_images=np.zeros((10, 32, 32, 3), np.uint8)),
        PAPER,
        torch.float32,
    ).canvases
    assert canvas.shape == (10, 2, 40, 40, 3)


def test_drops_can_come_at_other_shares() -> None:
    rates = list(replace(PAPER, epochs=10, drops=(0.3, 0.9)).rates(1))
    assert rates == pytest.approx([0.1] * 3 + [0.01] * 6 + [0.001])


def test_fields_left_at_none_are_not_in_the_plain_form() -> None:
    assert {"drops", "norm_epsilon"}.isdisjoint(plain(PAPER))
    changed = replace(PAPER, drops=(0.3,), norm_epsilon=0.1)
    assert ImageRecipe(**plain(changed)) == replace(changed, drops=[0.3])


@pytest.mark.parametrize("name", ["epochs", "batch_size", "judged_epochs"])
def test_a_recipe_without_training_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        ImageRecipe(**asdict(SHORT) | {name: 0})


# Batches ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("flips", [True, False])
def test_a_batch_equals_naive_enlarging_mirroring_and_cropping(flips: bool) -> None:
    data, recipe = small_data(flips), replace(PAPER, batch_size=5)
    batches = prepare(data, recipe, torch.float32)
    got = list(batches.training(np.random.default_rng(7)))
    rng = np.random.default_rng(7)
    order, mirrored = rng.permutation(10), rng.integers(1 + flips, size=10)
    top, left = rng.integers(3, size=10), rng.integers(4, size=10)
    assert [len(labels) for _, labels in got] == [5, 5]
    for place, image in enumerate(torch.cat([images for images, _ in got])):
        pixels = data.train_images[order[place]].astype(np.float64)
        white = torch.from_numpy((pixels - pixels.mean()) / pixels.std()).permute(2, 0, 1)
        large = F.interpolate(white[None], (10, 15), mode="bilinear")[0]
        large = large.flip(2) if mirrored[place] else large
        rows, columns = slice(top[place], top[place] + 8), slice(left[place], left[place] + 12)
        assert torch.allclose(image.double(), large[:, rows, columns], atol=1e-5)
        assert got[place // 5][1][place % 5] == data.train_labels[order[place]]
    assert len(set(mirrored)) == 1 + flips
    assert len(set(top)) == 3


def test_batches_are_whole_and_an_epoch_has_no_image_twice() -> None:
    data = small_data(count=50)
    batches = prepare(data, replace(SHORT, batch_size=16), torch.float32)
    epoch = list(batches.training(np.random.default_rng(0)))
    assert [len(images) for images, _ in epoch] == [16, 16, 16]
    assert len({image.numpy().tobytes() for images, _ in epoch for image in images}) == 48
    other = next(batches.training(np.random.default_rng(1)))
    assert not torch.equal(epoch[0][0], other[0])


def test_few_images_are_one_batch() -> None:
    batches = prepare(small_data(), replace(SHORT, batch_size=64), torch.float32)
    assert [len(labels) for _, labels in batches.training(np.random.default_rng(0))] == [10]


@pytest.mark.parametrize("name", ["digits", "small"])
def test_images_are_channels_last_also_with_one_channel(name: str) -> None:
    batches = prepare(load("digits") if name == "digits" else small_data(), SHORT, torch.float32)
    weights = torch.zeros(4, batches.valid_images.shape[1], 1, 1)
    for images in (next(batches.training(np.random.default_rng(0)))[0], batches.valid_images):
        convolved = F.conv2d(images, weights)
        assert convolved.is_contiguous(memory_format=torch.channels_last)


def test_channels_are_standardised_by_the_training_images() -> None:
    data = small_data(count=400)
    batches = prepare(data, SHORT, torch.float32)
    images = batches.canvases[:, 0]
    assert torch.allclose(images.mean((0, 1, 2)), torch.zeros(3), atol=1e-4)
    assert torch.allclose(images.std((0, 1, 2)), torch.ones(3), atol=1e-3)
    pixels = data.train_images.reshape(-1, 3)
    expected = (data.valid_images - pixels.mean(0)) / pixels.std(0)
    assert np.allclose(batches.valid_images.permute(0, 2, 3, 1), expected, atol=1e-4)


def test_pictures_of_one_colour_stay_finite() -> None:
    data = replace(small_data(), train_images=np.full((10, 8, 12, 3), 255, np.uint8))
    for recipe in (SHORT, PAPER):
        assert prepare(data, recipe, torch.float32).canvases.isfinite().all()


# Training ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def digits() -> ImageBatches:
    return prepare(load("digits"), SHORT, torch.float32)


def trained(batches: ImageBatches, recipe: ImageRecipe, seed: int = 0) -> Any:
    return train(initial_network(DECENT, (1, 8, 8), 10, seed), batches, recipe, seed)


def test_a_decent_network_learns_the_digits(digits: ImageBatches) -> None:
    evaluation = trained(digits, SHORT)
    assert evaluation.status == "ok"
    assert evaluation.accuracy > 0.9
    assert evaluation.metrics["nll"] < 0.5
    assert evaluation.metrics["samples"] == SHORT.epochs * 480
    curve = evaluation.metrics["curve"]
    assert [point["epoch"] for point in curve] == list(range(1, SHORT.epochs + 1))
    assert curve[-1]["loss"] < curve[0]["loss"] / 2
    assert ["accuracy" in point for point in curve] == [False] * (SHORT.epochs - 1) + [True]


def test_the_best_of_the_judged_epochs_counts(digits: ImageBatches) -> None:
    evaluation = trained(digits, replace(SHORT, epochs=3, judged_epochs=2))
    judged = [point for point in evaluation.metrics["curve"] if "accuracy" in point]
    assert [point["epoch"] for point in judged] == [2, 3]
    best = max(judged, key=lambda point: point["accuracy"])
    assert (evaluation.accuracy, evaluation.metrics["nll"]) == (best["accuracy"], best["nll"])


def test_the_papers_reward_is_the_best_of_the_last_five_epochs_cubed(
    digits: ImageBatches, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Acceptance check 9 (section 4.1)."""
    accuracies = iter((0.90, 0.91, 0.93, 0.92, 0.92))
    monkeypatch.setattr(loop, "validate", lambda *_: {"accuracy": next(accuracies), "nll": 1.0})
    recipe = replace(SHORT, epochs=6, judged_epochs=PAPER.judged_epochs)
    evaluation = train(initial_network(TINY, (1, 8, 8), 10, 0), digits, recipe, 0)
    assert next(accuracies, None) is None
    assert REWARDS["accuracy_cubed"](evaluation) == pytest.approx(0.804357)


def test_validation_is_right_and_takes_all_images(digits: ImageBatches) -> None:
    network = initial_network(DECENT, (1, 8, 8), 10, 0)
    result = validate(network, digits)
    assert len(digits.valid_labels) > VALID_BATCH_SIZE
    with torch.no_grad():
        chances = network(digits.valid_images).softmax(1).numpy()
    labels = digits.valid_labels.numpy()
    assert result["accuracy"] == pytest.approx((chances.argmax(1) == labels).mean())
    logs = np.log(chances[np.arange(len(labels)), labels])
    assert result["nll"] == pytest.approx(-logs.mean(), rel=1e-4)


def test_reduced_precision_is_for_the_network_alone() -> None:
    batches = prepare(load("digits", train_size=64, valid_size=20), SHORT, torch.bfloat16)
    assert batches.canvases.dtype == torch.bfloat16
    network = initial_network(TINY, (1, 8, 8), 10, 0)
    evaluation = train(network, batches, replace(SHORT, epochs=1), 0)
    assert evaluation.status == "ok"
    assert all(weights.dtype == torch.float32 for weights in network.parameters())


@pytest.mark.parametrize("epochs", [0, 1, 2])
def test_a_restored_training_continues_to_the_same_bits(epochs: int, digits: ImageBatches) -> None:
    recipe = replace(SHORT, epochs=3, judged_epochs=2)

    def begun(seed: int) -> ImageTraining:
        return ImageTraining(initial_network(TINY, (1, 8, 8), 10, seed), digits, recipe, seed)

    whole, first, second = begun(0), begun(0), begun(1)
    for _ in range(epochs):
        first.advance()
    file = io.BytesIO()
    torch.save(first.state(), file)
    file.seek(0)
    second.restore(torch.load(file, weights_only=True))
    for training in (whole, second):
        while not training.finished:
            training.advance()
    assert second.curve == whole.curve and len(whole.curve) == 3
    assert_same(second.state(), whole.state())


def assert_same(one: Any, other: Any) -> None:
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for name, value in one.items():
            assert_same(value, other[name])
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, other) and one.stride() == other.stride()
    else:
        assert one == other


def test_the_batch_normalisation_takes_the_epsilon() -> None:
    for epsilon, expected in ((None, 1e-5), (0.1, 0.1)):
        network = initial_network(TINY, (1, 8, 8), 10, 0, epsilon)
        norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
        assert [norm.eps for norm in norms] == [expected] * 2


# Jobs -------------------------------------------------------------------------------------------


def without_time(outcome: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in outcome.items() if name != "seconds"}


def test_a_child_comes_out_equal_bit_by_bit_whatever_ran_before(
    run: Callable[[Mapping[str, Any]], dict[str, Any]],
) -> None:
    task = {"architecture": plain(TINY)}
    first = run(task)
    state = torch.get_rng_state()
    torch.manual_seed(5)
    run({"architecture": plain(DECENT)})
    assert without_time(run(task)) == without_time(first)
    torch.set_rng_state(state)
    run(task)
    assert torch.equal(torch.get_rng_state(), state)
    fresh = job(settings())(task)
    assert without_time(fresh) == without_time(first)
    assert without_time(job(settings(seed=1))(task)) != without_time(first)


def test_the_outcome_is_plain_data_with_the_size_of_the_network(
    run: Callable[[Mapping[str, Any]], dict[str, Any]],
) -> None:
    outcome = run({"architecture": plain(TINY), "slot": 1})
    assert json.loads(json.dumps(outcome, allow_nan=False)) == outcome
    assert outcome["seconds"] > 0
    assert outcome["metrics"]["parameters"] == parameters(TINY, (1, 8, 8), 10)
    assert outcome["metrics"]["flops"] == flops(TINY, (1, 8, 8), 10)


@pytest.mark.parametrize(
    "architecture",
    [
        {"kind": "conv", "layers": []},
        {"kind": "cauliflower"},
        {"kind": "conv"},
        plain(ConvArchitecture((ConvLayer(3, 3, 8, inputs=(1,)),))),
        plain(ConvArchitecture((ConvLayer(0, 3, 8),))),
    ],
)
def test_an_architecture_that_cannot_be_built_is_invalid(
    architecture: Any, run: Callable[[Mapping[str, Any]], dict[str, Any]]
) -> None:
    outcome = run({"architecture": architecture})
    assert outcome["status"] == "invalid"
    assert outcome["error"]
    assert "\n" not in outcome["error"]


def test_the_learning_rate_of_an_architecture_replaces_the_recipes(
    monkeypatch: pytest.MonkeyPatch, run: Callable[[Mapping[str, Any]], dict[str, Any]]
) -> None:
    used: list[float] = []

    def noted(
        network: nn.Module, batches: ImageBatches, recipe: ImageRecipe, seed: int
    ) -> Evaluation:
        used.append(recipe.learning_rate)
        return Evaluation(0.5)

    monkeypatch.setattr(image_job, "train", noted)
    for rate in (None, 0.007):
        run({"architecture": plain(replace(TINY, learning_rate=rate))})
    assert used == [SHORT.learning_rate, 0.007]


def test_a_childs_seed_depends_on_the_runs_seed_and_on_the_child() -> None:
    seeds = {child_seed(seed, child) for seed in (0, 1) for child in (TINY, DECENT)}
    assert len(seeds) == 4
    assert child_seed(0, TINY) == child_seed(0, plain(TINY))
    assert all(0 <= seed < 2**63 for seed in seeds)


@pytest.mark.parametrize("preset", PRESETS)
def test_children_of_every_space_train(preset: str) -> None:
    space = PRESETS[preset].with_layers(3)
    rng = np.random.default_rng(1)
    run = job(
        settings(
            data_options={"train_size": 32, "valid_size": 20},
            recipe=asdict(replace(PAPER, epochs=1, judged_epochs=1)),
        )
    )
    for _ in range(3):
        outcome = run({"architecture": plain(space.decode(space.sample(rng)))})
        assert outcome["status"] == "ok", outcome["error"]


def test_a_job_leaves_one_thread_and_no_gpu_behind() -> None:
    code = (
        "import json, os, sys, torch\n"
        "from nasgym.training.image.job import job\n"
        "job(json.loads(sys.argv[1]))\n"
        "assert torch.get_num_threads() == 1\n"
        "assert not torch.cuda.is_initialized()\n"
        "assert 'torch._dynamo' in sys.modules\n"
        "print(len(os.listdir('/proc/self/task')) if os.path.isdir('/proc/self/task') else 1)\n"
    )
    command = [sys.executable, "-c", code, json.dumps(settings())]
    answer = subprocess.run(command, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "1"
