"""The cost of a search on this machine, estimated by training a few children for a moment."""

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import Any

import numpy as np

from nasgym.agents import make
from nasgym.environments.ceiling import Ceiling
from nasgym.environments.options import TrainingOptions
from nasgym.environments.study import Study
from nasgym.evaluation.evaluation import Evaluation
from nasgym.evaluation.evaluator import Evaluator
from nasgym.search.plan import Plan, SearchError
from nasgym.spaces.base import SearchSpace
from nasgym.training.evaluator import TrainingEvaluator

PROBE_STEPS = 2
"""Training steps of the shorter of two trainings of the probe."""

PROBE_SECONDS = 0.5
"""How much longer the second training is to take, if MOST_STEPS allows it."""

MOST_STEPS = 200
"""The largest number of steps that the second training has more."""

DRAWN = 50
"""Random strings whose mean work stands for that of all strings under one ceiling."""

DAY = 86400.0
LONG = 2 * DAY
"""Seconds of a search from which on its announcement tells how to make it cheaper."""

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
    def first(self) -> float:
        """Return the seconds until the first child ends."""
        return self.epochs * self.samples * self.seconds_a_sample

    @property
    def seconds(self) -> float:
        """Return the seconds until the search ends."""
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


def can_estimate(plan: Plan) -> bool:
    """Return whether `estimate` can tell the cost of `plan`: whether it trains children of ours."""
    return isinstance(plan.problem(), TrainingOptions)


def estimate(plan: Plan, evaluator: Evaluator | None = None) -> Cost:
    """Return the cost of `plan` on this machine, after training a few children for a few steps.

    `evaluator` is that of the plan's environment, if there is one already. The probe trains as many
    random children at a time as the search would, and records nothing. The cost of an image grows
    with the operations of its child, in the mean over random strings under each ceiling; a token
    costs the same in all cells.

    Raises what a search with `plan` would raise before its first child, SearchError if nothing can
    be estimated or no child of the probe could be trained.
    """
    problem = plan.problem()
    if not isinstance(problem, TrainingOptions):
        raise SearchError(f"the cost of {plan.env} cannot be estimated: it trains no children")
    if not isinstance(evaluator, TrainingEvaluator):
        with closing(problem.evaluator()) as made:
            return estimate(plan, made)
    agent = make(plan.agent, plan.seed, **plan.agent_options)
    wave = agent.batch or plan.num_envs
    if plan.asynchronous or not agent.in_waves:
        wave = sys.maxsize
    rng = np.random.default_rng(plan.seed)
    ceiling = Ceiling(problem.search_space(), **problem.growth)
    workers = min(evaluator.workers, wave)
    mean = mean_work(ceiling, plan.children, evaluator.work, rng)
    rate = probe(evaluator, draw(ceiling.space, rng, max(2, workers)))
    return Cost(
        children=plan.children,
        epochs=evaluator.epochs,
        samples=evaluator.samples,
        seconds_a_sample=mean * rate,
        workers=workers,
        device=evaluator.device,
    )


def mean_work(
    ceiling: Ceiling, children: int, work: Callable[[Any], float], rng: np.random.Generator
) -> float:
    """Return the mean work of the children of a search.

    Under each ceiling, weighted by the number of children under it, random strings stand for those
    that the agent will propose.
    """
    spaces: Counter[SearchSpace] = Counter()
    for begun in range(0, children, ceiling.grow_every):
        spaces[ceiling.after(begun)] += min(ceiling.grow_every, children - begun)
    total = 0.0
    for space, count in spaces.items():
        total += count * sum(map(work, draw(space, rng, DRAWN))) / DRAWN
    return total / children


def draw(space: SearchSpace, rng: np.random.Generator, count: int) -> list[Any]:
    """Return `count` random children of `space`."""
    return [space.canonical(space.decode(space.sample(rng))) for _ in range(count)]


def probe(evaluator: TrainingEvaluator, children: Sequence[Any]) -> float:
    """Return the seconds that one training sample takes for each unit of its child's work.

    All `children` are trained twice, for a few steps and for some more. The difference of the two
    leaves out the start. Raises SearchError if no child could be trained.
    """
    short = _trained(evaluator.probe(children, PROBE_STEPS))
    step = max(1e-4, min(one.seconds for one in short.values()) / PROBE_STEPS)
    more = min(MOST_STEPS, ceil(PROBE_SECONDS / step))
    long = _trained(evaluator.probe(children, PROBE_STEPS + more))
    seconds = done = 0.0
    for index in short.keys() & long.keys():
        seconds += long[index].seconds - short[index].seconds
        samples = long[index].metrics["samples"] - short[index].metrics["samples"]
        done += samples * evaluator.work(children[index])
    if seconds <= 0 or done <= 0:
        raise SearchError("the probe shows nothing: more steps took no longer")
    return seconds / done


def _trained(evaluations: Sequence[Evaluation]) -> dict[int, Evaluation]:
    """Return the evaluations of the children that trained, by their place."""
    trained = {place: one for place, one in enumerate(evaluations) if one.status == "ok"}
    if not trained:
        last = evaluations[-1]
        reason = (last.error.strip().splitlines() or [""])[-1]
        raise SearchError(f"no child of the probe could be trained: {last.status}, {reason}")
    return trained


# In words -----------------------------------------------------------------------------------------


def announcement(plan: Plan, study: Study, cost: Cost | None) -> str:
    """Return what a search is about to do, and when it is expected to end if the cost is known."""
    preset = plan.agent_options.get("preset")
    agent = f"{plan.agent} (preset {preset})" if preset else plan.agent
    start = f"{plan.env}: {plan.children:,} children by {agent}"
    if cost is None:
        return f"{start}, {study.workers:,} at a time"
    size = f"{cost.epochs:,} epochs of {cost.samples:,} samples each"
    where = f"on {cost.workers:,} workers ({cost.device})"
    when = f"first child in {duration(cost.first)}, all in about {duration(cost.seconds)}"
    if cost.seconds > LONG:
        when += "; --set epochs=... train_size=... image_size=... makes children cheaper"
    elif cost.seconds < DAY:
        when += f", at {datetime.now() + timedelta(seconds=cost.seconds):%H:%M}"
    return f"{start}, {size}, {where}: {when}"


def time_left(plan: Plan, study: Study) -> str:
    """Return the time that a resumed search still takes, at the mean of its children so far."""
    done = len(study.archive)
    trained = study.archive.counts().trained
    seconds = sum(study.archive.seconds(0, done)) / done * trained / done
    if not seconds:
        return ""
    return f", about {duration(seconds * (plan.children - done) / study.workers)} left"


def number(value: float) -> str:
    """Return `value` to two digits: no estimate is better than that."""
    return f"{float(f'{value:.2g}'):,.0f}" if value >= 10 else f"{value:.2g}"


def duration(seconds: float) -> str:
    """Return a length of time in the largest unit of which there are two or more."""
    for unit, length in LENGTHS.items():
        if seconds >= 2 * length:
            return f"{number(seconds / length)} {unit}"
    return f"{number(seconds)} seconds"
