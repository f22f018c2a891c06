"""Child training: the loop that trains a network to classify images, and the job around it.

It runs on one thread, because two children on two cores train faster than one on both (1.3 to 1.6
times, and far more on a busy machine). Layout and precision are fixed rules, not the outcome of a
timing, because a timing can come out differently tomorrow, and with it the bits of the result:
channels_last always (1.2 times as fast as contiguous in the median of 28 timings of children, AMD
EPYC with AVX2), bfloat16 where the hardware has instructions for it.
"""

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from math import isfinite, nan
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nasgym.architecture import digest
from nasgym.data import load
from nasgym.evaluation import Evaluation
from nasgym.networks import build, flops, parameters
from nasgym.spaces import ConvArchitecture, ConvLayer, read
from nasgym.training.batches import Batches, prepare
from nasgym.training.recipe import Recipe

STEPS_UNWATCHED = 50
"""Steps between two looks at the loss on a GPU, where each look waits for all that is queued."""

VALIDATED_AT_ONCE = 250
"""Images in a batch of validation: more of them no longer fit the processor's cache."""

WARM_UP = ConvArchitecture((ConvLayer(3, 3, 8), ConvLayer(3, 3, 8, inputs=(1,))))
"""A small network that shows a process what training is like."""


def train(network: nn.Module, batches: Batches, recipe: Recipe, seed: int) -> Evaluation:
    """Train `network` in place and return how well it classifies the validation images.

    `seed` decides the order of the images, their crops and mirroring. The metrics are "nll", the
    mean negative log likelihood of the validation images in nats; "curve", for each epoch its
    training "loss" and, if it was validated, "accuracy" and "nll"; "samples", the images trained
    on. A loss that is not finite ends the training at once with status "nan".
    """
    started = time.monotonic()
    rng = np.random.default_rng(seed)
    optimizer = _optimizer(network, recipe)
    rates = recipe.rates(batches.steps)
    curve: list[dict[str, float]] = []
    for epoch in range(1, recipe.epochs + 1):
        curve.append(
            {"epoch": epoch, "loss": _train_epoch(network, batches, optimizer, rates, rng)}
        )
        if epoch > recipe.epochs - recipe.judged_epochs:
            curve[-1] |= validate(network, batches)
        if not all(map(isfinite, curve[-1].values())):
            seconds = time.monotonic() - started
            return Evaluation(
                status="nan", error=f"the loss was not finite in epoch {epoch}", seconds=seconds
            )
    best = max(curve[-recipe.judged_epochs :], key=lambda point: point["accuracy"])
    metrics = {
        "nll": best["nll"],
        "curve": curve,
        "samples": recipe.epochs * batches.steps * batches.batch_size,
    }
    return Evaluation(best["accuracy"], seconds=time.monotonic() - started, metrics=metrics)


def _train_epoch(
    network: nn.Module,
    batches: Batches,
    optimizer: torch.optim.Optimizer,
    rates: Iterator[float],
    rng: np.random.Generator,
) -> float:
    """Return the mean training loss, NaN as soon as one was not finite."""
    network.train()
    watch = 1 if batches.device.type == "cpu" else STEPS_UNWATCHED
    total = torch.zeros((), device=batches.device)
    for step, (images, labels) in enumerate(batches.training(rng), start=1):
        optimizer.param_groups[0]["lr"] = next(rates)
        total += _step(network, optimizer, images, labels)
        if step % watch == 0 and not isfinite(total.item()):
            return nan
    return total.item() / batches.steps


def _optimizer(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    return torch.optim.SGD(
        network.parameters(),
        lr=recipe.learning_rate,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
        nesterov=True,
        fused=True,
    )


def _step(
    network: nn.Module, optimizer: torch.optim.Optimizer, images: Tensor, labels: Tensor
) -> Tensor:
    """Take one step and return the loss before it."""
    loss = F.cross_entropy(_logits(network, images), labels)
    torch.autograd.backward(loss)
    optimizer.step()
    optimizer.zero_grad()
    return loss.detach()


@torch.inference_mode()
def validate(network: nn.Module, batches: Batches) -> dict[str, float]:
    """Return the validation accuracy and the mean negative log likelihood in nats."""
    network.eval()
    parts = torch.split(batches.valid_images, VALIDATED_AT_ONCE)
    logits = torch.cat([_logits(network, images) for images in parts])
    hits = (logits.argmax(1) == batches.valid_labels).sum().item()
    return {
        "accuracy": hits / len(logits),
        "nll": F.cross_entropy(logits, batches.valid_labels).item(),
    }


def _logits(network: nn.Module, images: Tensor) -> Tensor:
    """Return the logits in single precision, computed in that of the images."""
    reduced = images.dtype != torch.float32
    with torch.autocast(images.device.type, images.dtype if reduced else None, enabled=reduced):
        logits: Tensor = network(images)
    return logits.float()


def job(settings: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """Load data and warm up once; return what trains the child of one task.

    `settings` are "data" and "data_options" for `nasgym.data.load`, "recipe" (the fields of a
    `Recipe`), "seed", "device" ("cpu" or "cuda") and "precision" (the name of a torch dtype). A
    task is {"architecture": its plain form, "slot": which of the devices}; its outcome is the
    plain form of an `Evaluation`. No thread is started and no GPU touched before the first task,
    so the process may fork in between.
    """
    _settle()
    data = load(settings["data"], **settings["data_options"])
    recipe = Recipe(**settings["recipe"])
    shape, classes = data.input_shape, data.classes
    batches = prepare(data, recipe, getattr(torch, settings["precision"]))
    _warm_up(initialised(WARM_UP, shape, classes, seed=0), batches, recipe)

    def run(task: Mapping[str, Any]) -> dict[str, Any]:
        seed = child_seed(settings["seed"], task["architecture"])
        try:
            architecture = read(task["architecture"])
            network = initialised(architecture, shape, classes, seed)
        except (ValueError, TypeError) as error:
            return Evaluation(status="invalid", error=str(error)).to_plain()
        device = _device(settings["device"], task.get("slot", 0))
        evaluation = train(network.to(device), batches.to(device), recipe, seed)
        size = {
            "parameters": parameters(architecture, shape, classes),
            "flops": flops(architecture, shape, classes),
        }
        return replace(evaluation, metrics={**evaluation.metrics, **size}).to_plain()

    return run


def child_seed(seed: int, architecture: Any) -> int:
    """Return the seed of a child: it depends on the run's seed and what the child is, no more."""
    text = f"{seed}:{digest(architecture)}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) >> 1


def initialised(
    architecture: Any, shape: tuple[int, int, int], classes: int, seed: int
) -> nn.Module:
    """Return the network of `architecture` in channels_last, its weights drawn by `seed`."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        network = build(architecture, shape, classes)
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def _settle() -> None:
    """Bring this process into the state that children are trained in."""
    torch.set_num_threads(1)
    with suppress(RuntimeError):  # a process that has used its threads keeps them
        torch.set_num_interop_threads(1)
    torch.backends.cudnn.deterministic = True
    os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")


def _warm_up(network: nn.Module, batches: Batches, recipe: Recipe) -> None:
    """Train one step, so that no child pays for what a process does only once.

    The first optimizer alone imports torch._dynamo for 0.8 s. Where there is a GPU, autograd would
    start threads for it, which no fork survives, so only the optimizer is made.
    """
    optimizer = _optimizer(network, recipe)
    if torch.cuda.is_available():
        return
    images, labels = next(batches.training(np.random.default_rng(0)))
    _step(network, optimizer, images[:2], labels[:2])


def _device(name: str, slot: int) -> torch.device:
    if name == "cuda":
        name = f"cuda:{slot % torch.cuda.device_count()}"
    return torch.device(name)
