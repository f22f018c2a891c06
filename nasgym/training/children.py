"""Children, really trained: the evaluator that puts data, recipe and workers together."""

import json
import os
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pkgutil import resolve_name
from typing import Any

from nasgym.architecture import plain
from nasgym.data import load
from nasgym.evaluation import Evaluation
from nasgym.networks import flops
from nasgym.nursery import lacks_memory
from nasgym.training import machine
from nasgym.training.recipe import RECIPES, Recipe
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
        in this process, with torch on one thread and without limits, for debugging. `time_limit`
        is in seconds a child and `memory_limit` in GiB a child.

        Raises ValueError or FileNotFoundError, in one line, for what cannot be.
        """
        _check_whole(0, seed=seed, workers=workers)
        _check_whole(1, train_size=train_size, valid_size=valid_size, image_size=image_size)
        chosen = _recipe(recipe, epochs)
        options: dict[str, Any] = {
            "seed": seed,
            "train_size": train_size,
            "valid_size": valid_size,
            "image_size": image_size,
        }
        images = load(data, **options)
        device = machine.resolve(device)
        how = {
            "recipe": asdict(chosen),
            "seed": seed,
            "device": device,
            "precision": machine.precision(device),
        }
        known = {"data": images.digest, "threads": 1, "machine": machine.description(device)}
        self.input_shape = images.input_shape
        """(channels, height, width) of the images."""
        self.outputs = images.classes
        """Number of classes."""
        self.context = json.dumps(how | known, sort_keys=True)
        """All that decides an evaluation besides the architecture: where both are equal, the
        evaluations are, bit by bit."""
        self._settings = how | {"data": data, "data_options": options}
        self._run: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None
        if workers is None:
            workers = cores()
        limits: dict[str, Any] = {"time_limit": time_limit, "memory_limit": memory_limit}
        self._pool = Pool(JOB, self._settings, workers=workers, **limits) if workers else None

    def evaluate(self, architectures: Sequence[Any]) -> list[Evaluation]:
        """Return one evaluation for each of `architectures`, in order."""
        evaluations = dict(self.stream(architectures))
        return [evaluations[index] for index in range(len(architectures))]

    def stream(self, architectures: Sequence[Any]) -> Iterator[tuple[int, Evaluation]]:
        """Yield (index, evaluation) in the order of finishing."""
        tasks = [{"architecture": plain(architecture)} for architecture in architectures]
        if self._pool is None:
            yield from ((index, self._train_here(task)) for index, task in enumerate(tasks))
        else:
            yield from self._pool.run(tasks, [self._cost(child) for child in architectures])

    def close(self) -> None:
        """End the worker processes; a closed evaluator trains nothing more."""
        if self._pool is not None:
            self._pool.close()

    def _cost(self, architecture: Any) -> float:
        """Return what training `architecture` costs, in no particular unit."""
        try:
            return float(flops(architecture, self.input_shape, self.outputs))
        except (AttributeError, TypeError, ValueError):  # the child will say what is wrong
            return 0.0

    def _train_here(self, task: Mapping[str, Any]) -> Evaluation:
        if self._run is None:
            self._run = resolve_name(JOB)(self._settings)
        try:
            return Evaluation.from_plain(self._run(task))
        except Exception:
            status = "oom" if lacks_memory(traceback.format_exc()) else "exception"
            return Evaluation(status=status, error=traceback.format_exc())


def _recipe(name: str, epochs: int | None) -> Recipe:
    if name not in RECIPES:
        raise ValueError(f"recipe {name!r} is none of {', '.join(RECIPES)}")
    _check_whole(1, epochs=epochs)
    return RECIPES[name] if epochs is None else replace(RECIPES[name], epochs=epochs)


def _check_whole(least: int, **values: int | None) -> None:
    for name, value in values.items():
        if value is not None and (not isinstance(value, int) or value < least):
            raise ValueError(f"{name} must be a whole number from {least}, not {value!r}")


def cores() -> int:
    """Return the number of processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
