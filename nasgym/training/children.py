"""Children, really trained: the evaluator that puts data, a recipe and worker processes together."""

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from nasgym.architecture import plain
from nasgym.data import load
from nasgym.evaluation import Evaluation
from nasgym.networks import flops
from nasgym.training import machine
from nasgym.training.recipe import RECIPES
from nasgym.workers import Pool

JOB = "nasgym.training.classify:job"


class ChildTraining:
    """An evaluator that trains each child on images and validates it.

    Every child is trained in a process of its own, on one thread, `workers` at a time, the largest
    first. Its evaluation depends on the architecture and on `context`, and on nothing else: not on
    the number of workers, the order, or what was trained before.
    """

    def __init__(
        self,
        data: str = "digits",
        *,
        recipe: str = "short",
        epochs: int | None = None,
        train_size: int | None = None,
        valid_size: int | None = None,
        image_size: int | None = None,
        seed: int = 0,
        device: str = "auto",
        workers: int | None = None,
        time_limit: float | None = None,
        memory_limit: float | None = None,
    ) -> None:
        """Read the data and prepare the pool; no process is started before the first child.

        `data`, `train_size`, `valid_size` and `image_size` are those of `nasgym.data.load`;
        `recipe` is a name in RECIPES and `epochs` replaces its number of epochs. `seed` decides
        the split of the data and, with its architecture, each child's weights and batches.
        `device` is "cpu", "cuda" or "auto". `workers` is by default the number of cores; 0 trains
        in this process, without limits, for debugging. `time_limit` is in seconds a child and
        `memory_limit` in GiB a child.

        Raises ValueError or FileNotFoundError, in one line, for what cannot be.
        """
        if recipe not in RECIPES:
            raise ValueError(f"recipe {recipe!r} is none of {', '.join(RECIPES)}")
        chosen = RECIPES[recipe] if epochs is None else replace(RECIPES[recipe], epochs=epochs)
        if workers is None:
            workers = len(os.sched_getaffinity(0))
        options = {
            "seed": seed,
            "train_size": train_size,
            "valid_size": valid_size,
            "image_size": image_size,
        }
        images = load(data, **options)
        device = machine.resolve(device)
        self.input_shape = images.input_shape
        """(channels, height, width) of the images."""
        self.outputs = images.classes
        """Number of classes."""
        self._settings = {
            "data": data,
            "data_options": options,
            "recipe": asdict(chosen),
            "seed": seed,
            "device": device,
            "precision": machine.precision(device),
        }
        self.context = json.dumps(
            {
                "recipe": asdict(chosen),
                "data": images.digest,
                "seed": seed,
                "threads": 1,
                "device": device,
                "precision": self._settings["precision"],
                **machine.description(device),
            },
            sort_keys=True,
        )
        """All that decides an evaluation besides the architecture: equal contexts and equal
        architectures give equal bits."""
        self._pool: Pool | None = None
        ...
