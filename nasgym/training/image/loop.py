"""Child training: the loop that trains a network to classify images, and the job around it.

It runs on one thread, because two children on two cores train faster than one on both (1.3 to 1.6
times, and far more on a busy machine). Layout and precision are fixed rules, not the outcome of a
timing, because a timing can come out differently tomorrow, and with it the bits of the result:
channels_last always (1.2 times as fast as contiguous in the median of 28 timings of children, AMD
EPYC with AVX2), bfloat16 where the hardware has instructions for it.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import islice
from math import isfinite, nan
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nasgym.crash_points import crash_point
from nasgym.data import load
from nasgym.data.packed import unpack_images
from nasgym.evaluation.evaluation import Evaluation
from nasgym.networks import build, flops, parameters
from nasgym.spaces import ConvArchitecture, ConvLayer, read
from nasgym.training.determinism import child_seed, device_of, settle
from nasgym.training.image.batches import Batches, prepare
from nasgym.training.image.recipe import Recipe
from nasgym.training.latency import latency

STEPS_UNWATCHED = 50
"""Steps between two looks at the loss on a GPU, where each look waits for all that is queued."""

VALIDATED_AT_ONCE = 250
"""Images in a batch of validation: more of them no longer fit the processor's cache."""

WARM_UP = ConvArchitecture((ConvLayer(3, 3, 8), ConvLayer(3, 3, 8, inputs=(1,))))
"""A small network that shows a process what training is like."""


class Classification:
    """The training of a network that classifies images under way, epoch by epoch."""

    def __init__(self, network: nn.Module, batches: Batches, recipe: Recipe, seed: int) -> None:
        """Begin; `seed` decides the order of the images, their crops and mirroring."""
        self.network, self.batches, self.recipe = network, batches, recipe
        _set_norm_epsilon(network, recipe)
        self.optimizer = _optimizer(network, recipe)
        self.rng = np.random.default_rng(seed)
        self.curve: list[dict[str, float]] = []
        """For each epoch its training "loss" and, if it was validated, "accuracy" and "nll"."""
        self.diverged = ""
        """Why the training was given up; empty if it was not."""

    @property
    def finished(self) -> bool:
        """Return whether there is nothing more to train."""
        return len(self.curve) == self.recipe.epochs or bool(self.diverged)

    def advance(self) -> None:
        """Train for an epoch."""
        epoch = len(self.curve) + 1
        self.curve.append({"epoch": epoch, "loss": self._train_epoch(epoch)})
        if epoch > self.recipe.epochs - self.recipe.judged_epochs:
            self.curve[-1] |= validate(self.network, self.batches)
        if not all(map(isfinite, self.curve[-1].values())):
            self.diverged = f"the loss was not finite in epoch {epoch}"

    def _train_epoch(self, epoch: int) -> float:
        """Return the mean training loss, NaN as soon as one was not finite."""
        self.network.train()
        device, steps = self.batches.device, self.batches.steps
        rates = islice(self.recipe.rates(steps), (epoch - 1) * steps, None)
        watch = 1 if device.type == "cpu" else STEPS_UNWATCHED
        total = torch.zeros((), device=device)
        for step, (images, labels) in enumerate(self.batches.training(self.rng), start=1):
            self.optimizer.param_groups[0]["lr"] = next(rates)
            total += _step(self.network, self.optimizer, images, labels)
            crash_point("mid_epoch")
            if step % watch == 0 and not isfinite(total.item()):
                return nan
        return total.item() / steps

    def state(self) -> dict[str, Any]:
        """Return all that `restore` needs to go on."""
        return {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "rng": self.rng.bit_generator.state,
            "curve": self.curve,
            "diverged": self.diverged,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to what `state` returned."""
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.rng.bit_generator.state = state["rng"]
        self.curve = list(state["curve"])
        self.diverged = state["diverged"]


def train(network: nn.Module, batches: Batches, recipe: Recipe, seed: int) -> Evaluation:
    """Train `network` in place and return how well it classifies the validation images.

    `seed` decides the order of the images, their crops and mirroring. The metrics are "nll", the
    mean negative log likelihood of the validation images in nats; "curve", see `Classification`;
    "samples", the images trained on. A loss that is not finite ends the training at once with
    status "nan".
    """
    started = time.monotonic()
    training = Classification(network, batches, recipe, seed)
    while not training.finished:
        training.advance()
    seconds = time.monotonic() - started
    if training.diverged:
        return Evaluation(status="nan", error=training.diverged, seconds=seconds)
    best = max(training.curve[-recipe.judged_epochs :], key=lambda point: point["accuracy"])
    metrics = {
        "nll": best["nll"],
        "curve": training.curve,
        "samples": recipe.epochs * batches.steps * batches.batch_size,
    }
    return Evaluation(best["accuracy"], seconds=seconds, metrics=metrics)


def _set_norm_epsilon(network: nn.Module, recipe: Recipe) -> None:
    if recipe.norm_epsilon is not None:
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps = recipe.norm_epsilon


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

    `settings` are "data" and "data_options" for `nasgym.data.load`, or "packed", the path of a file
    that `nasgym.data.packed.pack` made; "recipe" (the fields of a `Recipe`), "seed", "device"
    ("cpu" or "cuda"), "precision" (the name of a torch dtype) and perhaps "latency" (whether to
    measure the seconds that a trained network takes for one image). A task is {"architecture": its
    plain form, "slot": which of the devices}; its outcome is the plain form of an `Evaluation`. No
    thread is started and no GPU touched before the first task, so the process may fork in between.
    """
    settle()
    if "packed" in settings:
        data = unpack_images(settings["packed"])
    else:
        data = load(settings["data"], **settings["data_options"])
    recipe = Recipe(**settings["recipe"])
    shape, classes, timed = data.input_shape, data.classes, settings.get("latency", False)
    batches = prepare(data, recipe, getattr(torch, settings["precision"]))
    _warm_up(initialised(WARM_UP, shape, classes, seed=0), batches, recipe)

    def run(task: Mapping[str, Any]) -> dict[str, Any]:
        seed = child_seed(settings["seed"], task["architecture"])
        try:
            architecture = read(task["architecture"])
            network = initialised(architecture, shape, classes, seed)
        except (ValueError, TypeError) as error:
            return Evaluation(status="invalid", error=str(error)).to_plain()
        device = device_of(settings["device"], task.get("slot", 0))
        own = adapted(recipe, architecture)
        evaluation = train(network.to(device), batches.to(device), own, seed)
        costs: dict[str, float] = {
            "parameters": parameters(architecture, shape, classes),
            "flops": flops(architecture, shape, classes),
        }
        if timed and evaluation.status == "ok":
            image = batches.valid_images[:1].to(device)
            costs["latency"] = latency(lambda: _logits(network, image), device)
        return replace(evaluation, metrics={**evaluation.metrics, **costs}).to_plain()

    return run


def adapted(recipe: Recipe, architecture: ConvArchitecture) -> Recipe:
    """Return the recipe with the learning rate of the architecture, if it has one."""
    if architecture.learning_rate is None:
        return recipe
    return replace(recipe, learning_rate=architecture.learning_rate)


def initialised(
    architecture: Any, shape: tuple[int, int, int], classes: int, seed: int
) -> nn.Module:
    """Return the network of `architecture` in channels_last, its weights drawn by `seed`."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        network = build(architecture, shape, classes)
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


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
