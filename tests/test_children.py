"""The evaluator that really trains: what it refuses, what it promises, and the machine it is on."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nasgym.evaluation.evaluation import Evaluation
from nasgym.evaluation.evaluator import Evaluator
from nasgym.execution import machine
from nasgym.spaces import ConvArchitecture, ConvLayer
from nasgym.training.image.evaluator import ImageEvaluator

SMALL: dict[str, Any] = {"epochs": 1, "train_size": 64, "valid_size": 100, "device": "cpu"}

GOOD = [ConvArchitecture((ConvLayer(3, 3, filters),)) for filters in (8, 16, 24)]
BAD = ConvArchitecture((ConvLayer(3, 3, 8, inputs=(4,)),))


@pytest.fixture(scope="module")
def evaluator() -> Iterator[ImageEvaluator]:
    evaluator = ImageEvaluator(workers=2, **SMALL)
    yield evaluator
    evaluator.close()


def bits(evaluation: Evaluation) -> tuple[Any, ...]:
    return evaluation.accuracy, evaluation.status, json.dumps(evaluation.metrics)


def test_children_are_trained_in_order_and_a_bad_one_is_data(evaluator: ImageEvaluator) -> None:
    evaluations = evaluator.evaluate([GOOD[2], BAD, GOOD[0]])
    assert [evaluation.status for evaluation in evaluations] == ["ok", "invalid", "ok"]
    assert "layer 1" in evaluations[1].error
    assert evaluations[0].metrics["parameters"] > evaluations[2].metrics["parameters"]
    assert evaluations[0].metrics["nll"] > 0


def test_the_bits_do_not_depend_on_where_and_with_whom_a_child_is_trained(
    evaluator: ImageEvaluator,
) -> None:
    together = evaluator.evaluate(GOOD)
    here = ImageEvaluator(workers=0, **SMALL)
    assert here.context == evaluator.context
    alone = [here.evaluate([architecture])[0] for architecture in reversed(GOOD)]
    assert [bits(together[index]) for index in (2, 1, 0)] == list(map(bits, alone))
    assert len(set(map(bits, alone))) == 3


def test_it_is_an_evaluator_that_knows_its_images(evaluator: ImageEvaluator) -> None:
    assert isinstance(evaluator, Evaluator)
    assert evaluator.input_shape == (1, 8, 8)
    assert evaluator.outputs == 10
    assert ImageEvaluator(workers=0, image_size=4, **SMALL).input_shape == (1, 4, 4)


def test_a_child_that_takes_too_long_is_data() -> None:
    evaluator = ImageEvaluator(workers=1, epochs=500, time_limit=0.5, device="cpu")
    evaluation = evaluator.evaluate(GOOD[:1])[0]
    evaluator.close()
    assert evaluation.status == "timeout"
    assert evaluation.accuracy == 0.0


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux limits memory")
def test_a_child_that_needs_too_much_memory_is_data() -> None:
    large = ConvArchitecture((ConvLayer(7, 7, 512), ConvLayer(7, 7, 512, inputs=(1,))))
    evaluator = ImageEvaluator(workers=1, memory_limit=0.02, **SMALL)
    evaluations = evaluator.evaluate([large, GOOD[0]])
    evaluator.close()
    assert [evaluation.status for evaluation in evaluations] == ["oom", "ok"]


def test_a_failure_in_this_process_is_data_too(monkeypatch: pytest.MonkeyPatch) -> None:
    evaluator = ImageEvaluator(workers=0, **SMALL)
    for error, status in ((MemoryError(), "oom"), (KeyError("x"), "exception")):

        def fail(*_: Any, error: Exception = error) -> None:
            raise error

        monkeypatch.setattr("nasgym.training.image.job.train", fail)
        evaluation = evaluator.evaluate(GOOD[:1])[0]
        assert evaluation.status == status
        assert type(error).__name__ in evaluation.error


def test_the_context_names_what_decides_the_outcome_and_nothing_else() -> None:
    def context(**options: Any) -> str:
        return ImageEvaluator(**SMALL | options).context

    assert context(workers=0) == context(workers=2, time_limit=9.0, memory_limit=2.0)
    changes: list[dict[str, Any]] = [
        {},
        {"seed": 1},
        {"epochs": 2},
        {"recipe": "paper"},
        {"train_size": 63},
        {"valid_size": 99},
        {"image_size": 4},
    ]
    assert len({context(**change) for change in changes}) == len(changes)
    told = json.loads(context())
    assert told["threads"] == 1
    assert told["recipe"]["epochs"] == 1
    assert told["machine"]["torch"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"recipe": "long"}, "short, paper"),
        ({"epochs": 0}, "epochs"),
        ({"epochs": 2.5}, "epochs"),
        ({"workers": -1}, "workers"),
        ({"seed": -1}, "seed"),
        ({"train_size": "500"}, "train_size"),
        ({"time_limit": 0}, "time_limit"),
        ({"memory_limit": -1}, "memory_limit"),
        ({"device": "tpu"}, "'auto', 'cpu' or 'cuda'"),
        ({"train_size": 10_000}, "train_size"),
        ({"image_size": 0}, "image_size"),
    ],
)
def test_what_cannot_be_is_refused_at_once(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words) as error:
        ImageEvaluator(**options)
    assert "\n" not in str(error.value)


def test_missing_data_are_missed_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NASGYM_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="nasgym data cifar10"):
        ImageEvaluator("cifar10")


def test_torch_is_not_imported_before_a_child_is_trained() -> None:
    code = (
        "import sys; from nasgym.training.image.evaluator import ImageEvaluator; ImageEvaluator()\n"
        "print('torch' in sys.modules)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert answer.stdout.strip() == "False"


# The machine ------------------------------------------------------------------------------------


@pytest.fixture
def forget() -> Iterator[None]:
    """Have the machine looked at again, before the test and after it."""
    looks = (machine.gpus, machine.processor, machine.torch_build)
    for look in looks:
        look.cache_clear()
    yield
    for look in looks:
        look.cache_clear()


def pretend_gpus(folder: Path, monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    (folder / "nvidia-smi").write_text(f"#!/bin/sh\n{answer}\n")
    (folder / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/bin:/usr/bin")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(machine, "torch_build", lambda: {"cuda": "12.8", "__version__": "2.0"})


@pytest.mark.usefixtures("forget")
@pytest.mark.parametrize(
    ("capability", "precision"), [("7.5", "float32"), ("8.0", "bfloat16"), ("10.0", "bfloat16")]
)
def test_a_gpu_is_used_if_there_is_one(
    capability: str, precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend_gpus(tmp_path, monkeypatch, f"echo 'NVIDIA A, {capability}'")
    assert machine.resolve("auto") == "cuda"
    assert machine.resolve("cpu") == "cpu"
    assert machine.precision("cuda") == precision
    assert machine.description("cuda")["gpus"] == (f"NVIDIA A, {capability}",)
    assert not machine.description("cpu")["gpus"]


@pytest.mark.usefixtures("forget")
@pytest.mark.parametrize("why", ["driver", "hidden", "torch"])
def test_a_gpu_that_cannot_be_used_is_not(
    why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend_gpus(tmp_path, monkeypatch, "exit 9" if why == "driver" else "echo 'NVIDIA A, 9.0'")
    if why == "hidden":
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    if why == "torch":
        monkeypatch.setattr(machine, "torch_build", lambda: {"cuda": None})
    assert machine.resolve("auto") == "cpu"
    with pytest.raises(ValueError, match="nvidia-smi"):
        machine.resolve("cuda")


@pytest.mark.parametrize(
    ("flags", "precision"),
    [(("avx2", "fma"), "float32"), (("avx2", "avx512_bf16"), "bfloat16")],
)
def test_a_processor_computes_in_bfloat16_if_it_has_instructions_for_it(
    flags: tuple[str, ...], precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "processor", lambda: ("A processor", flags))
    assert machine.precision("cpu") == precision
    assert machine.description("cpu")["flags"] == list(flags)


@pytest.mark.usefixtures("forget")
def test_the_description_is_that_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    told = machine.description("cpu")
    assert told["torch"] == torch.__version__
    capability = torch.backends.cpu.get_cpu_capability()
    if capability in ("AVX2", "AVX512"):
        assert any(flag.startswith(capability.lower()) for flag in told["flags"])
    monkeypatch.setenv("ATEN_CPU_CAPABILITY", "default")
    assert machine.description("cpu") != told
