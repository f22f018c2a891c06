"""The loop that trains an image classifier: 1.4 to 1.55 times as fast as plain PyTorch.

Measured on one core of an AMD EPYC (AVX2) in float32, for networks of 105 and 8 million operations;
the least CPU time of at least five interleaved turns (docs/measurements.md, P1 and P2).

A child trains on one thread: two children on two cores train 1.3 to 1.65 times as fast as one child
on both, and the advantage grows on a busy machine (P6). Fixed rules choose memory layout and
precision; a choice by timing could differ from run to run and change the bits of the result. The
layout is always channels_last (1.2 times as fast as contiguous, the median of 28 children on the
same machine). The precision is bfloat16 where the hardware has instructions for it.
"""

from collections.abc import Mapping
from itertools import islice
from math import isfinite, nan
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nasgym.crash_points import crash_point
from nasgym.evaluation.evaluation import Evaluation
from nasgym.networks import build
from nasgym.training.base import Training
from nasgym.training.image.batches import ImageBatches
from nasgym.training.image.recipe import ImageRecipe

WATCH_INTERVAL = 50
"""Steps between two checks of the loss on a GPU, where each check waits for all queued work."""

VALID_BATCH_SIZE = 250
"""Images in a validation batch; larger batches no longer fit the processor's cache."""


class ImageTraining(Training):
    """The training of a network that classifies images."""

    def __init__(
        self, network: nn.Module, batches: ImageBatches, recipe: ImageRecipe, seed: int
    ) -> None:
        """Prepare to train `network`; `seed` decides the order, crops and mirroring of images."""
        super().__init__(network, _optimizer(network, recipe), recipe, batches.samples)
        self.batches = batches
        self.rng = np.random.default_rng(seed)

    def advance(self) -> None:
        """Train for one epoch; validate if it is one of the judged epochs."""
        epoch = len(self.curve) + 1
        point = {"epoch": epoch, "loss": self._train_epoch(epoch)}
        if epoch > self.recipe.epochs - self.recipe.judged_epochs:
            point |= validate(self.network, self.batches)
        if not all(map(isfinite, point.values())):
            self.diverged = f"the loss was not finite in epoch {epoch}"
        self.curve.append(point)

    def _train_epoch(self, epoch: int) -> float:
        """Return the mean training loss, or NaN as soon as a loss is not finite."""
        self.network.train()
        device, steps = self.batches.device, self.batches.steps
        rates = islice(self.recipe.rates(steps), (epoch - 1) * steps, None)
        interval = 1 if device.type == "cpu" else WATCH_INTERVAL
        total = torch.zeros((), device=device)
        for step, (images, labels) in enumerate(self.batches.training(self.rng), start=1):
            self.optimizer.param_groups[0]["lr"] = next(rates)
            total += self.step(images, labels)
            crash_point("mid_epoch")
            if step % interval == 0 and not isfinite(total.item()):
                return nan
        return total.item() / steps

    def step(self, images: Tensor, labels: Tensor) -> Tensor:
        """Take one optimizer step and return the loss before it."""
        loss = F.cross_entropy(forward(self.network, images), labels)
        torch.autograd.backward(loss)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss.detach()

    @staticmethod
    def rank(validation: Mapping[str, float]) -> float:
        """Return the accuracy."""
        return validation["accuracy"]

    def state(self) -> dict[str, Any]:
        """Return everything that `restore` needs, as tensors and plain data."""
        return super().state() | {"rng": self.rng.bit_generator.state}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go back to a `state`; training continues from there with the same bits."""
        super().restore(state)
        self.rng.bit_generator.state = state["rng"]


def train(network: nn.Module, batches: ImageBatches, recipe: ImageRecipe, seed: int) -> Evaluation:
    """Train `network` in place and return how well it classifies the validation images.

    `seed` decides the order, crops and mirroring of the images. For the metrics and the statuses
    see `Training.run` and `validate`. A loss that is not finite stops the training.
    """
    return ImageTraining(network, batches, recipe, seed).run()


@torch.inference_mode()
def validate(network: nn.Module, batches: ImageBatches) -> dict[str, float]:
    """Return the "accuracy" and "nll" of `network` on the validation images.

    "accuracy" is a fraction of 1, "nll" the mean negative log likelihood in nats.
    """
    network.eval()
    parts = torch.split(batches.valid_images, VALID_BATCH_SIZE)
    logits = torch.cat([forward(network, images) for images in parts])
    hits = (logits.argmax(1) == batches.valid_labels).sum().item()
    return {
        "accuracy": hits / len(logits),
        "nll": F.cross_entropy(logits, batches.valid_labels).item(),
    }


def forward(network: nn.Module, images: Tensor) -> Tensor:
    """Return the logits in single precision, computed in the precision of the images."""
    reduced = images.dtype != torch.float32
    with torch.autocast(images.device.type, images.dtype if reduced else None, enabled=reduced):
        logits: Tensor = network(images)
    return logits.float()


def initial_network(
    architecture: Any,
    shape: tuple[int, int, int],
    classes: int,
    seed: int,
    norm_epsilon: float | None = None,
) -> nn.Module:
    """Return the network of `architecture` in channels_last, with weights drawn by `seed`.

    `shape` is (channels, height, width) of the images; for `norm_epsilon` see `ImageRecipe`.
    Raises ValueError or TypeError, in one line, for an architecture that cannot be built.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        network = build(architecture, shape, classes)
    if norm_epsilon is not None:
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps = norm_epsilon
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def _optimizer(network: nn.Module, recipe: ImageRecipe) -> torch.optim.Optimizer:
    return torch.optim.SGD(
        network.parameters(),
        lr=recipe.learning_rate,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
        nesterov=True,
        fused=True,
    )
