"""The final training: grid, training and test, killed at any point, and the record it leaves."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from nasgym.data import load
from nasgym.data.final import load_test, load_test_text
from nasgym.execution import machine
from nasgym.files import ProcessLock
from nasgym.networks import build, parameters
from nasgym.search.plan import Plan
from nasgym.search.run import Run
from nasgym.spaces import ConvArchitecture, ConvLayer, LSTMArchitecture
from nasgym.spaces.plain import plain
from nasgym.training.final.checkpoint import CheckpointError
from nasgym.training.final.grid import GridError
from nasgym.training.final.plan import FinalError, FinalPlan
from nasgym.training.final.run import FinalRun, Step
from nasgym.training.image.loop import ImageTraining
from nasgym.training.image.problem import ImageProblem
from nasgym.training.text.recipe import TEXT_RECIPES
from tests.command_line import assert_mistake, run
from tests.killing import ROOT

TINY = ConvArchitecture((ConvLayer(3, 3, 4), ConvLayer(3, 3, 8, inputs=(1,))))
PLAN = FinalPlan(
    plain(TINY),
    {"data": "digits", "train_size": 100, "valid_size": 100},
    recipe="short",
    epochs=3,
    grid=True,
    grid_epochs=1,
)
SMALL_TEXT = {
    "corpus": "documentation",
    "vocabulary_size": 200,
    "train_size": 2000,
    "valid_size": 300,
    "parameters": 4000,
}
TEXT = FinalPlan(plain(LSTMArchitecture()), SMALL_TEXT, recipe="short", epochs=3)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an uninterrupted training of PLAN."""
    folder = tmp_path_factory.mktemp("undisturbed")
    FinalRun(folder, PLAN).run()
    return folder


def weights(folder: Path) -> dict[str, torch.Tensor]:
    state: dict[str, torch.Tensor] = torch.load(folder / "weights.pt", weights_only=True)
    return state


def read(folder: Path, name: str) -> Any:
    return json.loads((folder / name).read_text())


def without_time(point: Any) -> Any:
    evaluation = {**point["evaluation"], "seconds": None}
    return {**point, "evaluation": evaluation}


def assert_same(folder: Path, other: Path) -> None:
    one, two = weights(folder), weights(other)
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)
    for name in ("test", "validation", "curve", "grid", "digest"):
        assert read(folder, "test.json")[name] == read(other, "test.json")[name]


# Killed -----------------------------------------------------------------------------------------

KILLS = {
    "after_grid_point:3": "grid.json",
    "mid_epoch:20": "checkpoint.pt",
    "mid_save": ".checkpoint.pt.part.pt",
    "before_test": "checkpoint.pt",
}
"""Where the process is killed, in this order, and the file that must then be in the folder. After
5 more grid points and one epoch, of 3 steps each, the 20th step is in the second epoch."""


def test_killed_anywhere_it_goes_on_to_the_same_bits(tmp_path: Path, undisturbed: Path) -> None:
    (tmp_path / "train.json").write_bytes((undisturbed / "train.json").read_bytes())
    code = f"from nasgym.training.final.run import FinalRun; FinalRun({str(tmp_path)!r}).run()"
    for point, name in KILLS.items():
        process = subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env={"NASGYM_CRASH_AT": point, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
        )
        assert process.returncode == -signal.SIGKILL, process.stderr
        assert (tmp_path / name).exists(), point
        assert len(read(tmp_path, "grid.json")["points"]) == (3 if point[:5] == "after" else 8)
        assert not (tmp_path / "test.json").exists()
    steps: list[Step] = []
    FinalRun(tmp_path).run(steps.append)
    assert [(step.phase, step.done, step.seconds) for step in steps] == [("training", 3, 0.0)]
    assert_same(tmp_path, undisturbed)
    grids = [read(folder, "grid.json")["points"] for folder in (tmp_path, undisturbed)]
    assert [*map(without_time, grids[0])] == [*map(without_time, grids[1])]


class Stopped(Exception):
    """Raised by a listener to stop a training."""


def stop_after(epochs: int) -> Callable[[Step], None]:
    def listener(step: Step) -> None:
        if (step.phase, step.done) == ("training", epochs):
            raise Stopped

    return listener


@pytest.fixture
def stopped(tmp_path: Path) -> Path:
    """A folder with a training stopped after two of three epochs."""
    with pytest.raises(Stopped):
        FinalRun(tmp_path, replace(PLAN, grid=False)).run(stop_after(2))
    return tmp_path


def test_a_damaged_checkpoint_is_named_and_kept(stopped: Path) -> None:
    path = stopped / "checkpoint.pt"
    whole = path.read_bytes()
    flipped = whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:]
    for damaged in (flipped, whole[: len(whole) // 2], b""):
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError, match=r"checkpoint\.pt is damaged"):
            FinalRun(stopped).run()
        assert path.read_bytes() == damaged
        assert not (stopped / "test.json").exists()


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"epochs": 4},
        {"threads": 2},
        {"architecture": plain(ConvArchitecture(TINY.layers[:1]))},
        {"options": {**PLAN.options, "train_size": 90}},
    ],
)
def test_a_checkpoint_of_another_training_is_refused(change: Any, stopped: Path) -> None:
    other = replace(PLAN, grid=False, **change)
    with pytest.raises(FinalError, match="holds a training with"):
        FinalRun(stopped, other)
    (stopped / "train.json").unlink()
    before = (stopped / "checkpoint.pt").read_bytes()
    with pytest.raises(CheckpointError, match="belongs to another training"):
        FinalRun(stopped, other).run()
    assert (stopped / "checkpoint.pt").read_bytes() == before
    torch.set_num_threads(1)


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    final = FinalRun(tmp_path, PLAN)
    with (
        ProcessLock(tmp_path / "train.lock", tmp_path / "train.pid"),
        pytest.raises(FinalError, match=f"process {os.getpid()} is training in"),
    ):
        final.run()


# The test ---------------------------------------------------------------------------------------


def test_the_test_is_of_the_final_weights_on_all_test_images(undisturbed: Path) -> None:
    result = read(undisturbed, "test.json")
    network: Any = build(TINY, (1, 8, 8), 10)
    network.load_state_dict(weights(undisturbed))
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = result["recipe"]["norm_epsilon"]
    data = load("digits", train_size=100, valid_size=100)
    images, labels = load_test("digits")
    pixels = (images - data.train_images.mean()) / data.train_images.std()
    with torch.no_grad():
        logits = network.eval()(torch.from_numpy(pixels).float().permute(0, 3, 1, 2))
    assert result["test"]["images"] == 297
    assert result["test"]["accuracy"] == (logits.argmax(1).numpy() == labels).mean()
    nll = F.cross_entropy(logits, torch.from_numpy(labels)).item()
    assert result["test"]["nll"] == pytest.approx(nll, rel=1e-4)


def test_the_result_records_how_it_was_obtained(undisturbed: Path) -> None:
    result = read(undisturbed, "test.json")
    assert result["architecture"] == plain(TINY) and result["options"] == PLAN.options
    assert result["grid"] == read(undisturbed, "grid.json")["chosen"]
    assert result["recipe"].items() >= {"epochs": 3, **result["grid"]}.items()
    assert result["digest"] == load("digits", train_size=100, valid_size=100).digest
    assert result["validation"] == result["curve"][-1] and len(result["curve"]) == 3
    assert result["parameters"] == parameters(TINY, (1, 8, 8), 10)
    assert (
        result["versions"]["torch"] == torch.__version__.partition("+")[0]
        or "+" in (result["versions"]["torch"])
    )
    assert (undisturbed / "curve.png").read_bytes().startswith(b"\x89PNG")


def test_the_test_images_are_read_once_and_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[bool] = []

    def noted(*arguments: Any, **options: Any) -> Any:
        seen.append((tmp_path / "weights.pt").exists())
        return load_test(*arguments, **options)

    monkeypatch.setattr("nasgym.training.image.problem.load_test", noted)
    first = FinalRun(tmp_path, replace(PLAN, grid=False)).run()
    assert seen == [True]
    monkeypatch.setattr(ImageTraining, "advance", None)
    assert FinalRun(tmp_path).run() == read(tmp_path, "test.json") == first
    assert seen == [True]


# The grid ---------------------------------------------------------------------------------------


def grid_of(monkeypatch: pytest.MonkeyPatch, *rates: float) -> None:
    changes = [{"learning_rate": rate} for rate in rates]
    monkeypatch.setattr(ImageProblem, "grid", lambda self: iter(changes))


def test_the_grid_is_all_combinations_and_the_best_in_validation_is_chosen(
    undisturbed: Path,
) -> None:
    record = read(undisturbed, "grid.json")
    tried = {tuple(sorted(point["changes"].items())) for point in record["points"]}
    assert len(tried) == len(record["points"]) == 2**3
    best = max(record["points"], key=lambda point: point["evaluation"]["accuracy"])
    assert record["chosen"] == best["changes"]


def test_a_point_that_diverges_is_recorded_and_not_chosen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid_of(monkeypatch, 1e20, 0.1, 1e20)
    assert FinalRun(tmp_path, PLAN).run()["grid"] == {"learning_rate": 0.1}
    points = read(tmp_path, "grid.json")["points"]
    assert [point["evaluation"]["status"] for point in points] == ["nan", "ok", "nan"]


def test_a_hopeless_grid_and_a_training_that_diverges_are_never_tested(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid_of(monkeypatch, 1e20)
    for _ in range(2):
        with pytest.raises(GridError, match=r"every point of .* failed.*not finite"):
            FinalRun(tmp_path, PLAN).run()
    wild = plain(replace(TINY, learning_rate=1e20))
    for _ in range(2):
        with pytest.raises(FinalError, match="not finite in epoch 1: there is nothing to test"):
            FinalRun(tmp_path / "wild", replace(PLAN, architecture=wild, grid=False)).run()
    assert not list(tmp_path.rglob("test.json"))


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"identity": "x", "points": []}'])
def test_a_damaged_grid_is_named_and_kept(content: str, tmp_path: Path) -> None:
    (tmp_path / "grid.json").write_text(content)
    with pytest.raises(GridError, match=r"grid\.json"):
        FinalRun(tmp_path, PLAN).run()
    assert (tmp_path / "grid.json").read_text() == content


# The command ------------------------------------------------------------------------------------

QUICK = ("--recipe", "short", "--epochs", "2", "--set", "train_size=100", "valid_size=100")


@pytest.fixture
def found(tmp_path: Path) -> Path:
    """A file as a search leaves it: the architecture and its environment."""
    path = tmp_path / "best.json"
    path.write_text(json.dumps({"architecture": plain(TINY), "env": "NAS-Digits-v0"}))
    return path


def train(capsys: pytest.CaptureFixture[str], *arguments: Any) -> tuple[int, str, str]:
    return run(capsys, "train", *arguments)


def test_a_found_network_is_trained_shown_and_continued(
    found: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "final"
    code, out, err = train(capsys, found, "--out", folder, *QUICK)
    assert (code, err) == (0, "")
    result = read(folder, "test.json")
    assert "epoch 1/2  loss " in out and "epoch 2/2  loss " in out
    assert f"test accuracy {result['test']['accuracy']:.2%}" in out
    assert result["options"] == {"data": "digits", "train_size": 100, "valid_size": 100}
    for target in ((folder,), (found, "--out", folder, *QUICK)):
        code, again, _ = train(capsys, *target)
        assert code == 0 and "epoch" not in again and "test accuracy" in again
    code, out, _ = train(capsys, folder, "--json")
    assert code == 0 and json.loads(out) == result


def test_json_lines(found: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = train(capsys, found, "--out", tmp_path / "final", "--json", "--grid", *QUICK)
    *steps, result = map(json.loads, out.splitlines())
    assert [step["phase"] for step in steps] == ["grid"] * 8 + ["training"] * 2
    assert steps[-1]["outcome"] == result["curve"][-1]


def test_a_runs_best_child_is_trained_on_the_data_of_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = {"train_size": 100, "valid_size": 90, "epochs": 1, "layers": 1, "workers": 0}
    run = Run(tmp_path / "run", Plan("NAS-Digits-v0", "random", 2, num_envs=2, env_options=options))
    run.search()
    best = run.archive().best()
    assert best is not None
    assert run.write_best(run.archive()) is not None
    for number, target in enumerate((tmp_path / "run", tmp_path / "run" / "best.json")):
        folder = tmp_path / f"final-{number}"
        assert train(capsys, target, "--out", folder, *QUICK[:4])[0] == 0
        result = read(folder, "test.json")
        assert result["architecture"] == best.architecture
        assert result["options"] == {"data": "digits", "train_size": 100, "valid_size": 90}


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_says_how_to_continue(
    signum: signal.Signals,
    found: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupted(self: ImageTraining) -> None:
        signal.raise_signal(signum)

    with monkeypatch.context() as patched:
        patched.setattr(ImageTraining, "advance", interrupted)
        code, out, _ = train(capsys, found, "--out", tmp_path / "final", *QUICK)
    assert code == 128 + signum and out.endswith(f"nasgym train {tmp_path / 'final'}\n")
    assert train(capsys, tmp_path / "final")[0] == 0


MISTAKES = {
    "no target": (("lstmm",), "did you mean 'lstm'"),
    "no data": (("nas-v1",), "name the data to train on: --set data=..."),
    "no run": ((".",), "neither the folder of a run nor of a training"),
    "no option": (("nas-v1", "--set", "data=digits", "train=3"), "did you mean 'train_size'"),
    "kind of value": (
        ("nas-v1", "--set", "data=digits", "train_size=all"),
        "train_size must be a whole number",
    ),
    "no recipe": (("nas-v1", "--set", "data=digits", "--recipe", "long"), "recipe 'long'"),
    "no epochs": (("nas-v1", "--set", "data=digits", "--epochs", "0"), "epochs must be"),
    "no threads": (("nas-v1", "--set", "data=digits", "--threads", "0"), "threads must be"),
    "missing data": (("nas-v1", "--set", "data=cifar10"), "nasgym data cifar10"),
}


@pytest.mark.parametrize(("arguments", "message"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_get_one_line_and_leave_nothing(
    arguments: tuple[str, ...],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NASGYM_DATA", str(tmp_path))
    assert_mistake(train(capsys, *arguments), message)
    assert not list(tmp_path.iterdir())


# Text -------------------------------------------------------------------------------------------


def test_a_cell_is_trained_and_tested_on_text(tmp_path: Path) -> None:
    result = FinalRun(tmp_path, TEXT).run()
    assert result["score"] == "perplexity" and result["curve"][-1] == result["validation"]
    tokens = load_test_text("documentation", vocabulary_size=200)
    assert result["test"]["tokens"] == len(tokens)
    layers = TEXT_RECIPES["short"].layers
    model: Any = build(LSTMArchitecture(), 200, _hidden(tmp_path), layers=layers)
    model.load_state_dict(weights(tmp_path))
    text = torch.from_numpy(tokens).long()[:, None]
    with torch.no_grad():
        logits, _ = model.eval()(text[:-1])
    perplexity = np.exp(F.cross_entropy(logits[:, 0], text[1:, 0]).item())
    close = 1e-3 if machine.precision("cpu") == "float32" else 0.03
    assert result["test"]["perplexity"] == pytest.approx(perplexity, rel=close)


def _hidden(folder: Path) -> int:
    return weights(folder)["embedding.weight"].shape[1]


def test_a_cells_training_stopped_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    plan = replace(TEXT, grid=True, grid_epochs=1)
    FinalRun(tmp_path / "whole", plan).run()
    for epochs in (1, 2):
        with pytest.raises(Stopped):
            FinalRun(tmp_path / "stopped", plan).run(stop_after(epochs))
    FinalRun(tmp_path / "stopped").run()
    assert_same(tmp_path / "whole", tmp_path / "stopped")
    points = read(tmp_path / "whole", "grid.json")["points"]
    best = min(points, key=lambda point: point["evaluation"]["metrics"]["perplexity"])
    assert len(points) == 8
    assert read(tmp_path / "whole", "test.json")["grid"] == best["changes"]
