"""The job of a worker that trains language models: load the text once, then train children."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch

from nasgym.data import load_text
from nasgym.data.packed import unpack_text
from nasgym.evaluation.evaluation import Evaluation
from nasgym.networks.language import LanguageModel
from nasgym.spaces import LSTMArchitecture, read
from nasgym.training.determinism import child_seed, configure_process, worker_device
from nasgym.training.latency import measure_latency
from nasgym.training.text.batches import TextBatches, prepare
from nasgym.training.text.loop import TextTraining, forward, initial_network, train
from nasgym.training.text.recipe import TextRecipe


def job(settings: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """Load the text, warm up, and return the function that trains the child of one task.

    `settings` has "corpus" and "corpus_options" for `nasgym.data.load_text`, or "packed", the path
    of a file made by `nasgym.data.packed.pack`; "recipe", the fields of a `TextRecipe`; "seed",
    "device" and "precision"; and optionally "latency", whether to measure the seconds that a
    trained model takes for the next token. For the rest see `nasgym.training.image.job.job`.
    """
    configure_process()
    if "packed" in settings:
        data = unpack_text(settings["packed"])
    else:
        data = load_text(settings["corpus"], **settings["corpus_options"])
    recipe = TextRecipe(**settings["recipe"])
    batches = prepare(data, recipe, getattr(torch, settings["precision"]))
    _warm_up(batches, recipe)

    def run(task: Mapping[str, Any]) -> dict[str, Any]:
        seed = child_seed(settings["seed"], task["architecture"])
        try:
            network = initial_network(read(task["architecture"]), batches, recipe, seed)
        except (ValueError, TypeError, AttributeError) as error:
            return Evaluation(status="invalid", error=str(error)).to_plain()
        device = worker_device(settings["device"], task.get("slot", 0))
        own_recipe, own_batches = recipe, batches
        if steps := task.get("probe"):
            own_batches = batches.first(steps)
            own_recipe = recipe.for_steps(steps, own_batches.steps)
        evaluation = train(network.to(device), own_batches.to(device), own_recipe, seed)
        costs: dict[str, float] = {"parameters": sum(each.numel() for each in network.parameters())}
        if settings.get("latency", False) and evaluation.status == "ok":
            costs["latency"] = _latency(network, batches.to(device))
        return replace(evaluation, metrics={**evaluation.metrics, **costs}).to_plain()

    return run


def _latency(network: LanguageModel, batches: TextBatches) -> float:
    """Return the seconds that `network` takes from one token of a single text to the next."""
    token = batches.valid[:1, None]
    _, state = forward(network, token, None, batches.precision)
    return measure_latency(
        lambda: forward(network, token, state, batches.precision), batches.device
    )


def _warm_up(batches: TextBatches, recipe: TextRecipe) -> None:
    """Take one training step, so that no child pays for what a process does only once.

    The first optimizer alone imports torch._dynamo, which takes 0.8 s. Where there is a GPU, only
    the optimizer is made: autograd would start threads for the GPU, which no fork survives.
    """
    network = initial_network(LSTMArchitecture(), batches, recipe, seed=0)
    short = replace(batches, train=batches.train[: 2 * batches.unroll], valid=batches.valid[:2])
    training = TextTraining(network, short, replace(recipe, epochs=1), seed=0)
    if not torch.cuda.is_available():
        training.advance()
