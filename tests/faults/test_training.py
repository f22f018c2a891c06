"""Training that goes wrong in its numbers, under a clock that jumps, or beside other threads."""

import json
import math
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import nasgym
from nasgym import Archive, Evaluation, NASVectorEnv
from nasgym.agents import make
from nasgym.agents.torch_state import unpacked
from nasgym.data import load
from nasgym.execution.local import Pool
from nasgym.networks import zoo
from nasgym.networks.conv import ConvNetwork
from nasgym.networks.language import LanguageModel
from nasgym.spaces import ConvArchitecture, ConvLayer, ConvSpace
from nasgym.spaces.plain import plain
from nasgym.training.final.plan import FinalError, FinalPlan
from nasgym.training.final.run import FinalRun
from nasgym.training.image.batches import ImageBatches, prepare
from nasgym.training.image.evaluator import ImageEvaluator
from nasgym.training.image.loop import ImageTraining, initial_network, train
from nasgym.training.image.recipe import IMAGE_RECIPES
from nasgym.training.text.batches import prepare as prepare_text
from nasgym.training.text.loop import train as train_text
from nasgym.training.text.recipe import TEXT_RECIPES
from tests.faults import odd_jobs
from tests.faults.table import Seen
from tests.faults.tiers import Scale
from tests.test_language import data as text_data

SHORT = IMAGE_RECIPES["short"]
LAYERS = ConvArchitecture((ConvLayer(3, 3, 8), ConvLayer(3, 3, 8, inputs=(1,))))
TO_ONE_PIXEL = ConvArchitecture(
    tuple(ConvLayer(1, 1, 4, 5, 5, inputs=(n,) if n else ()) for n in range(3))
)


# Numbers ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def digits() -> ImageBatches:
    return prepare(load("digits"), SHORT, torch.float32)


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[torch.Tensor]:
    """The losses of all steps of training, one after the other."""
    taken: list[torch.Tensor] = []
    step = ImageTraining.step

    def counted(*arguments: Any) -> torch.Tensor:
        taken.append(step(*arguments))
        return taken[-1]

    monkeypatch.setattr(ImageTraining, "step", counted)
    return taken


def with_weights(value: float, architecture: ConvArchitecture = LAYERS) -> ConvNetwork:
    """Return a network all of whose weights are `value`."""
    network = initial_network(architecture, (1, 8, 8), 10, seed=0)
    assert isinstance(network, ConvNetwork)
    with torch.no_grad():
        for weight in network.parameters():
            weight.fill_(value)
    return network


@pytest.mark.fault("F11", "learning rates of 1e9 and 1e20, weights that are inf and NaN")
def test_f11_a_loss_that_is_not_finite_ends_the_training_at_once(
    digits: ImageBatches, steps: list[torch.Tensor], seen: Seen
) -> None:
    usual = initial_network(LAYERS, (1, 8, 8), 10, seed=0)
    cases = [
        (usual, replace(SHORT, learning_rate=1e9)),
        (initial_network(LAYERS, (1, 8, 8), 10, seed=1), replace(SHORT, learning_rate=1e20)),
        (with_weights(math.inf), SHORT),
        (with_weights(math.nan), SHORT),
    ]
    longest = 0
    for network, recipe in cases:
        steps.clear()
        evaluation = train(network, digits, recipe, seed=0)
        assert (evaluation.status, evaluation.accuracy) == ("nan", 0.0)
        assert "epoch 1" in evaluation.error
        assert len(steps) < digits.steps
        longest = max(longest, len(steps))
    seen(len(cases), f"all nan within {longest} of the {digits.steps} steps of an epoch")


@pytest.mark.fault("F11", "language models with weights that are NaN and inf")
def test_f11_a_language_model_ends_at_once_too(seen: Seen) -> None:
    recipe = replace(TEXT_RECIPES["short"], parameters=4000, batch_size=4, unroll=10, epochs=2)
    texts = prepare_text(text_data(), recipe, torch.float32)
    ends = []
    for cell in (zoo.NAS_CELL, zoo.LSTM):
        for value in (math.nan, math.inf):
            model = LanguageModel(cell, 7, 8)
            torch.nn.init.constant_(model.decoder.weight, value)
            evaluation = train_text(model, texts, recipe, 0)
            assert evaluation.status == "nan"
            told = re.search(r"in epoch 1, step (\d+)$", evaluation.error)
            assert told is not None and int(told[1]) < texts.steps
            ends.append(int(told[1]))
    seen(len(ends), f"all nan within {max(ends)} of the {texts.steps} steps of an epoch")


@pytest.mark.fault("F11", "a network without a gradient, one whose maps shrink to a pixel")
def test_f11_a_network_that_cannot_learn_is_not_a_failure(digits: ImageBatches, seen: Seen) -> None:
    brief = replace(SHORT, epochs=1, judged_epochs=1)
    shrunk = initial_network(TO_ONE_PIXEL, (1, 8, 8), 10, seed=0)
    assert isinstance(shrunk, ConvNetwork) and shrunk.wiring.size == (1, 1)
    for network in (with_weights(0.0), shrunk):
        evaluation = train(network, digits, brief, seed=0)
        assert evaluation.status == "ok" and 0.0 < evaluation.accuracy < 0.5
        assert math.isfinite(evaluation.metrics["nll"])
        assert all(bool(weight.isfinite().all()) for weight in network.parameters())
    seen(2, "trained to their end, at chance or little above")


class Diverging:
    """An evaluator all of whose children diverge but the first of each wave."""

    def evaluate(self, architectures: Sequence[Any]) -> list[Evaluation]:
        failed = Evaluation(status="nan", error="the loss was not finite in epoch 1")
        return [Evaluation(0.5), *[failed] * (len(architectures) - 1)][: len(architectures)]


@pytest.mark.fault("F11", "searches in which nearly every child diverges, by three agents")
def test_f11_diverged_children_leave_agent_and_archive_in_numbers(
    tmp_path: Path, seen: Seen
) -> None:
    agents = ("evolution", "reinforce", "ppo")
    for name in agents:
        archive = Archive(tmp_path / f"{name}.db")
        agent = make(name, seed=0)
        agent.search(NASVectorEnv(ConvSpace(layers=2), Diverging(), 8, archive=archive), 48)
        state = agent.state()
        assert state is not None
        saved = json.loads(state) if name == "evolution" else unpacked(state)
        assert all(math.isfinite(number) for number in numbers(saved))
        paid = archive._db.execute("SELECT DISTINCT reward FROM trials").fetchall()
        assert sorted(paid) == [(0.0,), (0.5,)]
        archive.close()
    seen(48 * len(agents), "paid 0, none NULL; all numbers of the agents' states finite")


def numbers(data: Any) -> Iterator[float]:
    """Yield every number in tensors and plain data."""
    if isinstance(data, torch.Tensor):
        yield float(data.double().abs().sum())
    elif isinstance(data, int | float):
        yield data
    elif isinstance(data, Mapping | list | tuple):
        for inside in data.values() if isinstance(data, Mapping) else data:
            yield from numbers(inside)


# Threads ----------------------------------------------------------------------------------------


@pytest.mark.fault("F31", "two and four threads asked for, by the environment and by torch")
def test_f31_children_compute_on_one_thread_whoever_asks_for_more(
    monkeypatch: pytest.MonkeyPatch, seen: Seen
) -> None:
    before = torch.get_num_threads()
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.setenv(name, "4")
    with Pool("tests.faults.odd_jobs:with_threads", {}) as pool:
        ((_, evaluation),) = pool.run([{}])
    assert evaluation.metrics["torch"] == 1 and evaluation.metrics["OMP_NUM_THREADS"] == "1"
    options: dict[str, Any] = {"train_size": 40, "valid_size": 50, "epochs": 1, "device": "cpu"}
    outcomes = []
    for threads, workers in ((1, 0), (2, 0), (2, 1)):
        torch.set_num_threads(threads)
        try:
            children = ImageEvaluator("digits", workers=workers, **options)
            (evaluation,) = children.evaluate([LAYERS])
            children.close()
        finally:
            torch.set_num_threads(before)
        assert json.loads(children.context)["threads"] == 1
        outcomes.append((children.context, evaluation.accuracy, evaluation.metrics["nll"]))
    assert len(set(outcomes)) == 1
    seen(4, "1 thread, 1 key, the same bits")


@pytest.mark.fault("F31", "a final training on one thread gone on with on two")
def test_f31_a_final_training_on_two_threads_is_another_one(tmp_path: Path, seen: Seen) -> None:
    options = {"data": "digits", "train_size": 40, "valid_size": 50}
    plan = FinalPlan(plain(LAYERS), options, recipe="short", epochs=1)
    FinalRun(tmp_path, plan).run()
    with pytest.raises(FinalError, match="threads 1, not 2"):
        FinalRun(tmp_path, replace(plan, threads=2))
    (tmp_path / "test.json").unlink()
    plan_file = tmp_path / "train.json"
    plan_file.write_text(plan_file.read_text().replace('"threads": 1', '"threads": 2'))
    try:
        with pytest.raises(ValueError, match=r"checkpoint\.pt belongs to another training"):
            FinalRun(tmp_path).run()
    finally:
        torch.set_num_threads(1)
    seen(2, "refused: the checkpoint and the plan say how many")


# Clocks -----------------------------------------------------------------------------------------


@pytest.mark.fault("F32", "the clock set 115 days on and back, at every look, while children train")
def test_f32_a_clock_that_is_set_ends_no_child_and_spares_none(
    monkeypatch: pytest.MonkeyPatch, scale: Scale, seen: Seen
) -> None:
    monkeypatch.setattr(time, "time", odd_jobs.jumping)
    count = scale(20, 200)
    job = "tests.faults.odd_jobs:under_a_jumping_clock"
    tasks = [{"seconds": 0.01}] * count + [{"seconds": 60}]
    started = time.monotonic()
    with Pool(job, {}, workers=2, time_limit=2.0) as pool:
        outcomes = dict(pool.run(tasks))
    took = time.monotonic() - started
    assert all(outcomes[number].metrics["jumped"] for number in range(count))
    assert [outcomes[number].status for number in range(count + 1)] == ["ok"] * count + ["timeout"]
    assert all(0 <= outcome.seconds < 3.0 for outcome in outcomes.values())
    assert took < 30
    seen(count + 1, f"0 false timeouts of {count}; the hanging child ended after its 2 s")


@pytest.mark.fault("F32", "every module of the package, searched for the clock of the wall")
def test_f32_no_limit_and_no_duration_is_taken_from_the_clock_of_the_wall(seen: Seen) -> None:
    root = Path(nasgym.__file__).parent
    modules = sorted(root.rglob("*.py"))
    telling = re.compile(
        r"\btime\.time\(|\btime_ns\(|datetime\.now\(|utcnow|\blocaltime\(|\bctime\("
    )
    found = {
        path.relative_to(root).as_posix() for path in modules if telling.search(path.read_text())
    }
    # The date of a test, the time in a file name, and the time of day when a search should end.
    dates = {"training/final/run.py", "tracking/tensorboard.py", "search/estimate.py"}
    assert {name for name in found if not name.startswith("benchmarks/")} == dates
    seen(
        len(modules),
        "three uses: the date in test.json, a file's name, the expected end",
    )
