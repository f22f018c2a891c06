"""Children, really trained: the evaluators that put data, recipe and workers together."""

import json
import os
import traceback
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pkgutil import resolve_name
from typing import Any, TypeVar

from nasgym.architecture import plain
from nasgym.data import load, load_text
from nasgym.data.packed import pack
from nasgym.evaluation import Evaluation
from nasgym.networks import flops, parameters
from nasgym.networks.language_size import check_target, hidden_for
from nasgym.networks.language_size import parameters as language_parameters
from nasgym.nursery import lacks_memory
from nasgym.scheduler import Scheduled, Scheduler, Task
from nasgym.training import machine
from nasgym.training.language_recipe import LANGUAGE_RECIPES, LanguageRecipe
from nasgym.training.recipe import RECIPES, Recipe
from nasgym.workers import Pool

IMAGE_JOB = "nasgym.training.classify:job"
TEXT_JOB = "nasgym.training.language:job"

AnyRecipe = TypeVar("AnyRecipe", Recipe, LanguageRecipe)


class Children(Scheduled):
    """An evaluator that trains each child and validates it.

    Every child is trained in a process of its own, on one thread, `workers` at a time, the largest
    first. Its evaluation depends on the architecture and on `context`, and on nothing else: not on
    the number of workers, the order, or what was trained before.
    """

    def __init__(
        self,
        job: str,
        recipe: Recipe | LanguageRecipe,
        data: Mapping[str, Any],
        data_digest: str,
        *,
        seed: int,
        device: str,
        workers: int | str | None,
        time_limit: float | None,
        memory_limit: float | None,
        cpus: float = 1.0,
        gpus: float = 0.0,
        latency: bool = False,
        packed: Callable[[], bytes] | None = None,
    ) -> None:
        """Prepare the pool; no process is started before the first child.

        `job` names the function that trains, `data` tells it what on, and `data_digest` stands for
        that in `context`. `device` is "cpu", "cuda" or "auto". `workers` is by default the number
        of cores; 0 trains in this process, with torch on one thread and without limits, for
        debugging; "ray", "auto" or "ray://host:port" trains on the nodes of that
        `nasgym.cluster.Cluster`, where each child takes `cpus` and `gpus` and the data are what
        `packed` returns. `time_limit` is in seconds a child and `memory_limit` in GiB a child. With
        `latency` each trained child is timed as well: its metric "latency", the seconds of one
        pass, is all that comes out differently when a child is trained again.
        """
        cluster = None
        if isinstance(workers, str):
            from nasgym.cluster import Cluster
            from nasgym.hosts import RayBackend

            cluster, workers = Cluster(workers, cpus=cpus, gpus=gpus), None
        _check_whole(0, seed=seed, workers=workers)
        kind = (cluster or machine).survey(device)
        how: dict[str, Any] = {
            "recipe": plain(recipe),
            "seed": seed,
            "device": kind["device"],
            "precision": kind["precision"],
        }
        if latency:
            how["latency"] = True
        known = {"data": data_digest, "threads": 1, "machine": kind["machine"]}
        self.context = json.dumps(how | known, sort_keys=True)
        """All that decides an evaluation besides the architecture: where both are equal, the
        evaluations are, bit by bit."""
        settings = how | dict(data)
        limits: dict[str, Any] = {"time_limit": time_limit, "memory_limit": memory_limit}
        self.allowance = json.dumps(limits)
        """What a child may take: with more, one that failed for want of it is trained again."""
        if cluster:
            files = {"packed": packed()} if packed else {}
            backend = RayBackend(cluster, job, settings, kind=kind, files=files, **limits)
            self._scheduler = Scheduler(backend)
        elif workers == 0:
            self._scheduler = Scheduler(ThisProcess(job, settings))
        else:
            self._scheduler = Pool(job, settings, workers=workers or cores(), **limits)


class ThisProcess:
    """A backend that trains in this process, one child after the other, without limits."""

    workers = 1

    def __init__(self, job: str, settings: Mapping[str, Any]) -> None:
        """Have `job` set up with `settings` when the first child is trained."""
        self._set_up = partial(resolve_name(job), settings)
        self._run: Callable[[Task], Mapping[str, Any]] | None = None
        self._begun: list[tuple[int, Task]] = []

    def begin(self, ticket: int, task: Task) -> None:
        """Take in a task."""
        self._begun.append((ticket, task))

    def ended(self) -> list[tuple[int, Evaluation]]:
        """Train the child that was begun."""
        begun, self._begun = self._begun, []
        return [(ticket, self._trained(task)) for ticket, task in begun]

    def stop(self) -> None:
        """Forget what was begun."""
        self._begun = []

    def _trained(self, task: Task) -> Evaluation:
        self._run = self._run or self._set_up()
        try:
            return Evaluation.from_plain(self._run(task))
        except Exception:
            status = "oom" if lacks_memory(traceback.format_exc()) else "exception"
            return Evaluation(status=status, error=traceback.format_exc())


class ImageChildren(Children):
    """Children that classify images."""

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
        workers: int | str | None = None,
        cpus: float = 1.0,
        gpus: float = 0.0,
        time_limit: float | None = None,
        memory_limit: float | None = None,
        latency: bool = False,
    ) -> None:
        """Read the images; see `Children` for `device`, `workers` and all after them.

        `data`, `train_size`, `valid_size` and `image_size` are those of `nasgym.data.load`;
        `recipe` is a name in RECIPES and `epochs` replaces its number of epochs. `seed` decides
        the split of the data and, with its architecture, each child's weights and batches.

        Raises ValueError or FileNotFoundError, in one line, for what cannot be.
        """
        _check_whole(0, seed=seed)
        _check_whole(1, train_size=train_size, valid_size=valid_size, image_size=image_size)
        options: dict[str, Any] = {
            "seed": seed,
            "train_size": train_size,
            "valid_size": valid_size,
            "image_size": image_size,
        }
        chosen = recipe_named(recipe, RECIPES, epochs=epochs)
        images = load(data, **options)
        self.input_shape = images.input_shape
        """(channels, height, width) of the images."""
        self.outputs = images.classes
        """Number of classes."""
        super().__init__(
            IMAGE_JOB,
            chosen,
            {"data": data, "data_options": options},
            images.digest,
            seed=seed,
            device=device,
            workers=workers,
            cpus=cpus,
            gpus=gpus,
            time_limit=time_limit,
            memory_limit=memory_limit,
            latency=latency,
            packed=partial(pack, images),
        )

    def costs(self, architecture: Any) -> Mapping[str, float]:
        """Return "parameters", and "flops" of one forward pass; nothing for what has none."""
        sizes = self.input_shape, self.outputs
        try:
            return {
                "parameters": parameters(architecture, *sizes),
                "flops": flops(architecture, *sizes),
            }
        except (AttributeError, TypeError, ValueError):  # the child will say what is wrong
            return {}

    def _cost(self, architecture: Any) -> float:
        """Return the operations of one forward pass."""
        return float(self.costs(architecture).get("flops", 0.0))


class TextChildren(Children):
    """Children that are language models."""

    def __init__(
        self,
        corpus: str = "documentation",
        *,
        unit: str = "words",
        vocabulary_size: int = 10_000,
        recipe: str = "short",
        epochs: int | None = None,
        parameters: int | None = None,
        shared_embeddings: bool | None = None,
        train_size: int | None = None,
        valid_size: int | None = None,
        seed: int = 0,
        device: str = "auto",
        workers: int | str | None = None,
        cpus: float = 1.0,
        gpus: float = 0.0,
        time_limit: float | None = None,
        memory_limit: float | None = None,
        latency: bool = False,
    ) -> None:
        """Read the text; see `Children` for `device`, `workers` and all after them.

        `corpus`, `unit`, `vocabulary_size`, `train_size` and `valid_size` are those of
        `nasgym.data.load_text`; `recipe` is a name in LANGUAGE_RECIPES, in which `epochs`,
        `parameters` and `shared_embeddings` replace what it has. `seed` decides, with its
        architecture, each child's weights and dropout.

        Raises ValueError or FileNotFoundError, in one line, for what cannot be.
        """
        _check_whole(1, train_size=train_size, valid_size=valid_size, parameters=parameters)
        options: dict[str, Any] = {
            "unit": unit,
            "vocabulary_size": vocabulary_size,
            "train_size": train_size,
            "valid_size": valid_size,
        }
        chosen = recipe_named(
            recipe,
            LANGUAGE_RECIPES,
            epochs=epochs,
            parameters=parameters,
            shared_embeddings=shared_embeddings,
        )
        text = load_text(corpus, **options)
        check_target(chosen.parameters, len(text.vocabulary), chosen.shared_embeddings)
        self._recipe, self._vocabulary = chosen, len(text.vocabulary)
        super().__init__(
            TEXT_JOB,
            chosen,
            {"corpus": corpus, "corpus_options": options},
            text.digest,
            seed=seed,
            device=device,
            workers=workers,
            cpus=cpus,
            gpus=gpus,
            time_limit=time_limit,
            memory_limit=memory_limit,
            latency=latency,
            packed=partial(pack, text),
        )

    def costs(self, architecture: Any) -> Mapping[str, float]:
        """Return "parameters", or nothing for what has none."""
        recipe, vocabulary = self._recipe, self._vocabulary
        sizes: dict[str, Any] = {
            "layers": recipe.layers,
            "shared_embeddings": recipe.shared_embeddings,
        }
        try:
            hidden = hidden_for(recipe.parameters, architecture, vocabulary, **sizes)
            return {"parameters": language_parameters(architecture, vocabulary, hidden, **sizes)}
        except (AttributeError, TypeError, ValueError):  # the child will say what is wrong
            return {}

    def _cost(self, architecture: Any) -> float:
        """Return the same for all: cells of one base cost nearly the same."""
        return 0.0


def recipe_named(name: str, recipes: Mapping[str, AnyRecipe], **changes: Any) -> AnyRecipe:
    """Return the recipe of that name with all `changes` that are not None.

    Raises ValueError, in one line, for a name there is not or a value that cannot be.
    """
    if name not in recipes:
        raise ValueError(f"recipe {name!r} is none of {', '.join(recipes)}")
    _check_whole(1, epochs=changes.get("epochs"))
    wanted = {field: value for field, value in changes.items() if value is not None}
    return replace(recipes[name], **wanted)


def _check_whole(least: int, **values: int | None) -> None:
    for name, value in values.items():
        if value is not None and (not isinstance(value, int) or value < least):
            raise ValueError(f"{name} must be a whole number from {least}, not {value!r}")


def cores() -> int:
    """Return the number of processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
