"""The job of a worker that trains image classifiers: load the data once, then train children."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from nasgym.data import load
from nasgym.data.packed import unpack_images
from nasgym.evaluation.evaluation import Evaluation
from nasgym.networks import flops, parameters
from nasgym.spaces import ConvArchitecture, ConvLayer, read
from nasgym.training.determinism import child_seed, configure_process, worker_device
from nasgym.training.image.batches import ImageBatches, prepare
from nasgym.training.image.loop import ImageTraining, forward, initial_network, train
from nasgym.training.image.recipe import ImageRecipe
from nasgym.training.latency import measure_latency

WARM_UP = ConvArchitecture((ConvLayer(3, 3, 8), ConvLayer(3, 3, 8, inputs=(1,))))
"""A small network to warm a process up with."""


def job(settings: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """Load the images, warm up, and return the function that trains the child of one task.

    `settings` has "data" and "data_options" for `nasgym.data.load`, or "packed", the path of a file
    made by `nasgym.data.packed.pack`; "recipe", the fields of an `ImageRecipe`; "seed"; "device",
    "cpu" or "cuda"; "precision", the name of a torch dtype; and optionally "latency", whether to
    measure the seconds of one forward pass of a trained network on one image.

    A task has "architecture", in plain form; optionally "slot", the number of the worker, which
    picks the GPU; and optionally "probe", the number of steps after which to end. Its outcome is
    the plain form of an `Evaluation`. The process may fork after this call: no thread has started
    and no GPU is initialised before the first task.
    """
    configure_process()
    if "packed" in settings:
        data = unpack_images(settings["packed"])
    else:
        data = load(settings["data"], **settings["data_options"])
    recipe = ImageRecipe(**settings["recipe"])
    shape, classes = data.input_shape, data.classes
    batches = prepare(data, recipe, getattr(torch, settings["precision"]))
    _warm_up(batches, recipe, shape, classes)

    def run(task: Mapping[str, Any]) -> dict[str, Any]:
        seed = child_seed(settings["seed"], task["architecture"])
        try:
            architecture = read(task["architecture"])
            network = initial_network(architecture, shape, classes, seed, recipe.norm_epsilon)
        except (ValueError, TypeError) as error:
            return Evaluation(status="invalid", error=str(error)).to_plain()
        device = worker_device(settings["device"], task.get("slot", 0))
        own_recipe, own_batches = recipe.adapted_to(architecture), batches
        if steps := task.get("probe"):
            own_batches = batches.first(steps)
            own_recipe = own_recipe.for_steps(steps, own_batches.steps)
        evaluation = train(network.to(device), own_batches.to(device), own_recipe, seed)
        costs: dict[str, float] = {
            "parameters": parameters(architecture, shape, classes),
            "flops": flops(architecture, shape, classes),
        }
        if settings.get("latency", False) and evaluation.status == "ok":
            image = batches.valid_images[:1].to(device)
            costs["latency"] = measure_latency(lambda: forward(network, image), device)
        return replace(evaluation, metrics={**evaluation.metrics, **costs}).to_plain()

    return run


def _warm_up(
    batches: ImageBatches, recipe: ImageRecipe, shape: tuple[int, int, int], classes: int
) -> None:
    """Take one training step, so that no child pays for what a process does only once.

    The first optimizer alone imports torch._dynamo, which takes 0.8 s. Where there is a GPU, only
    the optimizer is made: autograd would start threads for the GPU, which no fork survives.
    """
    training = ImageTraining(initial_network(WARM_UP, shape, classes, seed=0), batches, recipe, 0)
    if not torch.cuda.is_available():
        images, labels = next(batches.training(np.random.default_rng(0)))
        training.step(images[:2], labels[:2])
