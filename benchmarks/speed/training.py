"""The speed of training: children, their input, their validation and their processes."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from statistics import median
from typing import Any

import numpy as np
import torch
from torch import nn

from nasgym.benchmarks.measurement import Effort, Measurement, least_times, time_with_children
from nasgym.benchmarks.speed import naive
from nasgym.benchmarks.workloads import (
    LARGE,
    SMALL,
    TINY,
    all_digits,
    noise,
    random_children,
)
from nasgym.data import ImageData
from nasgym.evaluation.evaluation import Evaluation
from nasgym.execution.local import Pool
from nasgym.execution.machine import precision
from nasgym.networks import build, flops
from nasgym.spaces import ConvArchitecture
from nasgym.spaces.plain import plain
from nasgym.training.image.batches import prepare
from nasgym.training.image.evaluator import JOB
from nasgym.training.image.job import job
from nasgym.training.image.loop import initial_network, train, validate
from nasgym.training.image.recipe import IMAGE_RECIPES, ImageRecipe

PRECISION = precision("cpu")
DTYPE: torch.dtype = getattr(torch, PRECISION)

AUGMENTED = ImageRecipe("benchmark", epochs=1, augment=True)
"""One epoch of random crops in batches of 64."""

SHORT = replace(IMAGE_RECIPES["short"], epochs=5)
"""Five epochs of whole images."""


def large_child(effort: Effort) -> Measurement:
    """Train a child as large as the paper's, including its input."""
    return _training(LARGE, 192, 2.0, effort)


def small_child(effort: Effort) -> Measurement:
    """Train a small child, including its input."""
    return _training(SMALL, 1024, 3.5, effort)


def _training(
    architecture: ConvArchitecture, images: int, target: float, effort: Effort
) -> Measurement:
    data = noise(train=effort.part(images, least=AUGMENTED.batch_size))
    batches, loader = prepare(data, AUGMENTED, DTYPE), naive.augmented(data, AUGMENTED.batch_size)
    fast, slow = _networks(architecture, data)
    ours, baseline = least_times(
        lambda: check([train(fast, batches, AUGMENTED, seed=0)]),
        lambda: naive.train(slow, loader, AUGMENTED.epochs),
        effort=effort,
    )
    trained = batches.steps * batches.batch_size
    return Measurement(
        f"training, {_size(architecture, data)} per child",
        trained / ours,
        trained / baseline,
        "images/s",
        target,
        note=f"in {PRECISION}",
    )


def input_pipeline(effort: Effort) -> Measurement:
    """Crop and mirror training images at random."""
    data = noise(train=effort.part(4096, least=AUGMENTED.batch_size))
    batches, loader = prepare(data, AUGMENTED, DTYPE), naive.augmented(data, AUGMENTED.batch_size)
    rng = np.random.default_rng(0)
    ours, baseline = least_times(
        lambda: list(batches.training(rng)), lambda: list(loader), effort=effort
    )
    images = batches.steps * batches.batch_size
    return Measurement(
        "input alone, random crops and mirroring",
        images / ours,
        images / baseline,
        "images/s",
        15.0,
    )


def validation(effort: Effort) -> Measurement:
    """Validate a child."""
    data = noise(valid=effort.part(512, least=2))
    batches, (_, loader) = prepare(data, SHORT, DTYPE), naive.plain(data, SHORT.batch_size)
    fast, slow = _networks(LARGE, data)
    ours, baseline = least_times(
        lambda: validate(fast, batches), lambda: naive.validate(slow, loader), effort=effort
    )
    images = len(data.valid_labels)
    return Measurement(
        f"validation, {_size(LARGE, data)} per child",
        images / ours,
        images / baseline,
        "images/s",
        3.3,
        note=f"in {PRECISION}",
    )


def two_processes(effort: Effort) -> Measurement:
    """Train tiny children in two processes of one thread, against one process of two threads."""
    images = {"train_size": effort.part(500, least=64), "valid_size": effort.part(1000, least=64)}
    children, settings = effort.part(4, least=2), _settings(replace(SHORT, epochs=2), images)
    tasks = [{"architecture": plain(TINY)}] * children
    with (
        Pool(JOB, settings, workers=2) as two,
        Pool("nasgym.benchmarks.speed.training:job_on_two_threads", settings) as one,
    ):
        for pool in (two, one):  # start their processes
            _run(pool, tasks[:1])
        ours, baseline = least_times(
            lambda: _run(two, tasks),
            lambda: _run(one, tasks),
            effort=effort,
            clock=time.perf_counter,
        )
    return Measurement(
        "two processes of one thread, against one process of two",
        60 * children / ours,
        60 * children / baseline,
        "children/min",
        1.5,
        note="wall time, so other programs on the machine show",
    )


def job_on_two_threads(settings: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], Any]:
    """Return the job that trains children, on two threads."""
    run = job(settings)

    def run_on_two_threads(task: Mapping[str, Any]) -> Any:
        torch.set_num_threads(2)
        return run(task)

    return run_on_two_threads


def digits(effort: Effort) -> Measurement:
    """Train children of 4 to 6 layers on digits, for as many epochs as the baseline."""
    data = all_digits()
    batches, loaders = prepare(data, SHORT, DTYPE), naive.plain(data, SHORT.batch_size)
    architectures = random_children(effort.part(6))
    accuracies: list[float] = []

    def ours() -> None:
        accuracies.clear()
        for architecture in architectures:
            network = initial_network(architecture, data.input_shape, data.classes, seed=0)
            evaluation = train(network, batches, SHORT, seed=0)
            check([evaluation])
            accuracies.append(evaluation.accuracy)

    def baseline() -> None:
        for architecture in architectures:
            network = build(architecture, data.input_shape, data.classes)
            naive.train(network, loaders[0], SHORT.epochs, loaders[1])

    mine, theirs = least_times(ours, baseline, effort=effort)
    children = len(architectures)
    return Measurement(
        f"children on digits, {SHORT.epochs} epochs of {len(data.train_labels):,} images",
        60 * children / mine,
        60 * children / theirs,
        "children/min",
        1.35,
        note=f"per core; median accuracy {median(accuracies):.4f} of {children}; in {PRECISION}",
    )


def isolation(effort: Effort) -> Measurement:
    """Measure the cost of a separate process per child, beyond the cost of the child itself."""
    images = {"train_size": 128, "valid_size": 128}
    children, settings = effort.part(16), _settings(replace(SHORT, epochs=1), images)
    task = {"architecture": plain(TINY)}
    run = job(settings)

    def pooled(count: int) -> None:
        with Pool(JOB, settings) as pool:
            _run(pool, [task] * count)

    here, one, many, spawned = least_times(
        lambda: check(Evaluation.from_plain(run(task)) for _ in range(children)),
        lambda: pooled(1),
        lambda: pooled(1 + children),
        lambda: subprocess.run([*SPAWN, json.dumps(settings), json.dumps(task)], check=True),
        effort=effort,
        clock=time_with_children,
    )
    return Measurement(
        "a process per child, beyond the child itself",
        1000 * (many - one - here) / children,
        1000 * (spawned - here / children),
        "ms",
        60.0,
        aim="ours",
        note="the naive way starts Python and imports torch for every child",
    )


SPAWN = (
    sys.executable,
    "-c",
    "import json, sys; from nasgym.training.image.job import job;"
    "job(json.loads(sys.argv[1]))(json.loads(sys.argv[2]))",
)


def check(evaluations: Iterable[Evaluation]) -> None:
    """Raise RuntimeError if a child failed, because its time would be too short."""
    for evaluation in evaluations:
        if evaluation.status != "ok":
            raise RuntimeError(f"a child ended with {evaluation.status}: {evaluation.error}")


def _run(pool: Pool, tasks: Sequence[Mapping[str, Any]]) -> None:
    check(evaluation for _, evaluation in pool.run(tasks))


def _networks(architecture: ConvArchitecture, data: ImageData) -> tuple[nn.Module, nn.Module]:
    """Return the network as nasgym trains it, and as PyTorch makes it by default."""
    shape, classes = data.input_shape, data.classes
    return initial_network(architecture, shape, classes, seed=0), build(
        architecture, shape, classes
    )


def _settings(recipe: ImageRecipe, data_options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of the job that trains children on digits."""
    return {
        "data": "digits",
        "data_options": data_options,
        "recipe": asdict(recipe),
        "seed": 0,
        "device": "cpu",
        "precision": PRECISION,
    }


def _size(architecture: ConvArchitecture, data: ImageData) -> str:
    return f"{flops(architecture, data.input_shape, data.classes) / 1e6:.0f} MF"
