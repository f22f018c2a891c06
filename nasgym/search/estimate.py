"""What a search costs on this machine, estimated from children that are trained for a moment."""

import json
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from math import ceil
from typing import Any

import gymnasium as gym
import numpy as np

from nasgym.agents import make
from nasgym.data import load, load_text
from nasgym.data.text import FEWEST_TRAIN, FEWEST_VALID
from nasgym.environments.registry import ENVIRONMENTS
from nasgym.environments.study import Task
from nasgym.evaluation.evaluation import Evaluation
from nasgym.networks import flops
from nasgym.options import did_you_mean
from nasgym.search.plan import Plan, SearchError
from nasgym.spaces.base import SearchSpace
from nasgym.training.image.evaluator import ImageChildren
from nasgym.training.image.recipe import IMAGE_RECIPES
from nasgym.training.recipes import recipe_named
from nasgym.training.text.recipe import TEXT_RECIPES

PROBE_STEPS = 2
"""Steps in an epoch of the probe."""

PROBE_SECONDS = 2.0
"""How much longer the second training of the probe is to take than the first, if it can."""

PROBE_EPOCHS = (3, 100)
"""The fewest and the most epochs it has more."""

DRAWN = 50
"""Random strings whose mean work stands for that of all under one ceiling."""

DATA_OPTIONS = ("unit", "vocabulary_size", "train_size", "image_size")
"""Options of environments that decide how much training data there is."""

LENGTHS = {"years": 365.25 * 86400, "days": 86400.0, "hours": 3600.0, "minutes": 60.0}


@dataclass(frozen=True)
class Cost:
    """What a search costs: the training of all its children, none of them proposed twice.

    Left out are validation, starting processes, and workers that wait for the last child of a wave.
    """

    children: int
    """The budget."""
    epochs: int
    """Passes of each child over the training data."""
    samples: int
    """Images or tokens in the training data."""
    seconds_a_sample: float
    """Of training, in the mean over the children."""
    workers: int
    """Children trained at the same time, never more than the agent proposes at a time."""
    device: str
    """What they are trained on: "cpu" or "cuda"."""

    @property
    def hours(self) -> float:
        """Return the hours of training, those of all workers together."""
        return self.children * self.epochs * self.samples * self.seconds_a_sample / 3600

    @property
    def seconds(self) -> float:
        """Return how long the search takes."""
        return 3600 * self.hours / self.workers

    def to_plain(self) -> dict[str, Any]:
        """Return all of it as JSON-able data."""
        return {**asdict(self), "hours": self.hours, "seconds": self.seconds}

    def text(self) -> str:
        """Return it as two lines for a reader."""
        hours = "CPU-hours" if self.device == "cpu" else "hours of training"
        return (
            f"{duration(self.seconds)}, {self.workers:,} children at a time: "
            f"{number(self.hours)} {hours}\n"
            f"({self.children:,} children x {self.epochs:,} epochs x {self.samples:,} "
            f"training samples x {number(self.seconds_a_sample)} s, validation not counted)"
        )


def estimate(plan: Plan) -> Cost:
    """Return what `plan` costs on this machine, after training a few children for a few steps.

    The probe goes through the environment's own evaluator, as many random children at a time as
    the search would train, and writes nothing. An image's cost grows with the operations of its
    child, in the mean over random strings under each ceiling; a token costs the same in all cells.

    Raises what a search with `plan` would raise before its first child, SearchError if no child
    of the probe could be trained.
    """
    if plan.env not in ENVIRONMENTS:
        known = did_you_mean(plan.env, list(ENVIRONMENTS))
        raise SearchError(f"the cost of {plan.env} cannot be estimated{known}")
    agent = make(plan.agent, plan.seed, **plan.agent_options)
    wave = getattr(agent, "batch", None) or plan.num_envs
    if plan.asynchronous or not agent.in_waves:
        wave = sys.maxsize
    options = {**plan.options, "archive": None}
    if plan.workers is not None:
        options["workers"] = plan.workers
    rng = np.random.default_rng(plan.seed)
    with closing(_task(plan.env, options)) as task:
        workers = task.evaluator.workers
        work = _work_in(task)
        mean = mean_work(task, plan.children, work, rng)
        children = draw(task.space, rng, max(2, min(workers, wave)))
        device = json.loads(task.evaluator.context)["device"]
    fidelity = fidelity_of(options)
    rate = probe(plan.env, {**options, **fidelity.shortened}, children, work)
    return Cost(
        children=plan.children,
        epochs=fidelity.epochs,
        samples=fidelity.samples,
        seconds_a_sample=mean * rate,
        workers=min(workers, wave),
        device=device,
    )


def mean_work(
    task: Task, children: int, work: Callable[[Any], float], rng: np.random.Generator
) -> float:
    """Return the work of a child in the mean over a search for so many.

    Under each ceiling there may be, weighted by the number of children under it, random strings
    stand for those the agent will propose.
    """
    ceilings: Counter[SearchSpace] = Counter()
    for begun in range(0, children, task.grow_every):
        task.resume(begun)
        ceilings[task.space] += min(task.grow_every, children - begun)
    task.resume(0)
    total = 0.0
    for space, count in ceilings.items():
        total += count * sum(map(work, draw(space, rng, DRAWN))) / DRAWN
    return total / children


def draw(space: SearchSpace, rng: np.random.Generator, count: int) -> list[Any]:
    """Return `count` random children of `space`."""
    return [space.canonical(space.decode(space.sample(rng))) for _ in range(count)]


@dataclass(frozen=True)
class Fidelity:
    """How much a child of a search trains on, and how little is enough for a probe."""

    epochs: int
    """Passes over the training data."""
    samples: int
    """Images or tokens in them."""
    shortened: Mapping[str, Any]
    """Options of the environment that leave a few steps and next to no validation."""


def fidelity_of(options: Mapping[str, Any]) -> Fidelity:
    """Return the fidelity of the children of an environment with all these `options`."""
    chosen = {name: value for name, value in options.items() if name in DATA_OPTIONS}
    name, epochs = options.get("recipe", "short"), options.get("epochs")
    if "corpus" in options:
        text = recipe_named(name, TEXT_RECIPES, epochs=epochs)
        samples = len(load_text(options["corpus"], **chosen).train)
        enough = max(FEWEST_TRAIN, (PROBE_STEPS * text.unroll + 1) * text.batch_size)
        shortened = {"train_size": min(enough, samples), "valid_size": FEWEST_VALID}
        return Fidelity(text.epochs, samples, shortened)
    recipe = recipe_named(name, IMAGE_RECIPES, epochs=epochs)
    samples = len(load(options["data"], **chosen).train_labels)
    enough = PROBE_STEPS * recipe.batch_size
    return Fidelity(recipe.epochs, samples, {"train_size": min(enough, samples), "valid_size": 2})


def probe(
    env: str, options: Mapping[str, Any], children: Sequence[Any], work: Callable[[Any], float]
) -> float:
    """Return the seconds that one training sample takes for each unit of its child's work.

    All `children` are trained twice, for one epoch and for some more, and the difference counts:
    in it there is no start and next to no validation.
    """
    short = _train(env, {**options, "epochs": 1}, children)
    quickest = max(1e-3, min(evaluation.seconds for evaluation in short.values()))
    fewest, most = PROBE_EPOCHS
    epochs = 1 + max(fewest, min(most, ceil(PROBE_SECONDS / quickest)))
    long = _train(env, {**options, "epochs": epochs}, children)
    seconds = done = 0.0
    for index in short.keys() & long.keys():
        seconds += long[index].seconds - short[index].seconds
        samples = long[index].metrics["samples"] - short[index].metrics["samples"]
        done += samples * work(children[index])
    if seconds <= 0 or done <= 0:
        raise SearchError("the probe says nothing: a long training took no longer than a short one")
    return seconds / done


def _train(env: str, options: Mapping[str, Any], children: Sequence[Any]) -> dict[int, Evaluation]:
    """Return the evaluations of those children that could be trained, by their place."""
    with closing(_task(env, options)) as task:
        evaluations = list(task.evaluator.evaluate(children))
    trained = {place: one for place, one in enumerate(evaluations) if one.status == "ok"}
    if not trained:
        last = evaluations[-1]
        reason = (last.error.strip().splitlines() or [""])[-1]
        raise SearchError(f"no child of the probe could be trained: {last.status}, {reason}")
    return trained


def _task(env: str, options: Mapping[str, Any]) -> Any:
    return gym.make(env, **options).unwrapped


def _work_in(task: Any) -> Callable[[Any], float]:
    """Return what tells how much more one child of `task` costs than another."""
    children = task.evaluator
    if isinstance(children, ImageChildren):
        return lambda child: float(flops(child, children.input_shape, children.outputs))
    return lambda child: 1.0


# For a reader -----------------------------------------------------------------------------------


def number(value: float) -> str:
    """Return `value` to two digits: no estimate is better than that."""
    return f"{float(f'{value:.2g}'):,.0f}" if value >= 10 else f"{value:.2g}"


def duration(seconds: float) -> str:
    """Return a length of time in the largest unit of which there are two or more."""
    for unit, length in LENGTHS.items():
        if seconds >= 2 * length:
            return f"{number(seconds / length)} {unit}"
    return f"{number(seconds)} seconds"
