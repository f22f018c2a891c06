"""The expected duration of a search on this machine, from a short training of a few children."""

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
"""Training steps of the probe's short trainings."""

PROBE_SECONDS = 0.5
"""Duration of the additional steps of the long training, unless MOST_STEPS limits them."""

MOST_STEPS = 200
"""Maximum number of additional steps of the long training."""

DRAWN = 50
"""Random strings whose mean work estimates that of all strings under one ceiling."""

DAY = 86400.0
YEAR = 365.25 * DAY
LONG = 2 * DAY
"""The announcement of a search longer than this many seconds says how to make it cheaper."""

LENGTHS = {"years": YEAR, "days": DAY, "hours": 3600.0, "minutes": 60.0}


@dataclass(frozen=True)
class Cost:
    """The cost of a search: the training of all its children, assuming that none is repeated.

    It leaves out validation, the start of processes, and the idle time of workers that wait for the
    last child of a batch.
    """

    children: int
    """The budget."""
    epochs: int
    """Passes of each child over the training data."""
    samples: int
    """Images or tokens in the training data."""
    seconds_a_sample: float
    """Seconds of training for each sample, mean over the children."""
    workers: int
    """Children trained at the same time, at most as many as the agent proposes at a time."""
    device: str
    """Device of the training: "cpu" or "cuda"."""

    @property
    def hours(self) -> float:
        """Hours of training, summed over all workers."""
        return self.children * self.epochs * self.samples * self.seconds_a_sample / 3600

    @property
    def first(self) -> float:
        """Seconds until the first child is finished."""
        return self.epochs * self.samples * self.seconds_a_sample

    @property
    def seconds(self) -> float:
        """Seconds until the search ends."""
        return 3600 * self.hours / self.workers

    def to_plain(self) -> dict[str, Any]:
        """Return all values as JSON-able data."""
        return {**asdict(self), "hours": self.hours, "seconds": self.seconds}

    def text(self) -> str:
        """Return the cost in words, as two lines."""
        hours = "CPU-hours" if self.device == "cpu" else "hours of training"
        return (
            f"{duration(self.seconds)}, {self.workers:,} children at a time: "
            f"{number(self.hours)} {hours}\n"
            f"({self.children:,} children x {self.epochs:,} epochs x {self.samples:,} "
            f"training samples x {number(self.seconds_a_sample)} s, validation not counted)"
        )


def can_estimate(plan: Plan) -> bool:
    """Return whether `estimate` supports `plan`: whether it is a registered one that trains."""
    return isinstance(plan.problem(), TrainingOptions)


def estimate(plan: Plan, evaluator: Evaluator | None = None) -> Cost:
    """Return the cost of `plan` on this machine, after training a few children for a few steps.

    `evaluator` is the one of the plan's environment, if it exists already. The probe trains as many
    random children at a time as the search would, and records nothing. The cost of an image is
    proportional to the operations of its child, averaged over random strings under each ceiling; a
    token costs the same in all cells.

    Raises the errors that a search with `plan` would raise before its first child, and SearchError
    if `plan` trains no children or if no child of the probe could be trained.
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

    Random strings under each ceiling, weighted by the number of children under it, represent those
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
    """Return the seconds of training for each sample and unit of its child's work.

    Trains all `children` for a few steps, then for some more; the difference of the durations
    leaves out the start. The short training is repeated and its shorter duration counts: otherwise
    a delay there would hide that of the steps. Raises SearchError if no child could be trained.
    """
    short = _trained(evaluator.probe(children, PROBE_STEPS))
    again = _trained(evaluator.probe(children, PROBE_STEPS))
    step = max(1e-4, min(one.seconds for one in again.values()) / PROBE_STEPS)
    more = min(MOST_STEPS, ceil(PROBE_SECONDS / step))
    long = _trained(evaluator.probe(children, PROBE_STEPS + more))
    seconds = done = 0.0
    for index in short.keys() & again.keys() & long.keys():
        seconds += long[index].seconds - min(short[index].seconds, again[index].seconds)
        samples = long[index].metrics["samples"] - short[index].metrics["samples"]
        done += samples * evaluator.work(children[index])
    if seconds <= 0 or done <= 0:
        raise SearchError("the cost cannot be estimated: more training steps took no longer")
    return seconds / done


def _trained(evaluations: Sequence[Evaluation]) -> dict[int, Evaluation]:
    """Return the evaluations of the children that could be trained, by their index."""
    trained = {index: one for index, one in enumerate(evaluations) if one.status == "ok"}
    if not trained:
        last = evaluations[-1]
        reason = (last.error.strip().splitlines() or [""])[-1]
        raise SearchError(f"no child of the probe could be trained: {last.status}, {reason}")
    return trained


# Text ---------------------------------------------------------------------------------------------


def announcement(plan: Plan, study: Study, cost: Cost | None) -> str:
    """Return one line on what a search will do and, if its cost is known, when it should end."""
    preset = plan.agent_options.get("preset")
    agent = f"{plan.agent} (preset {preset})" if preset else plan.agent
    start = f"{plan.env}: {_count(plan.children, 'child', 'children')} by {agent}"
    if cost is None:
        return f"{start}, {study.workers:,} at a time"
    training = f"{_count(cost.epochs, 'epoch', 'epochs')} of {cost.samples:,} samples each"
    workers = f"{_count(cost.workers, 'worker', 'workers')} ({cost.device})"
    end = f"end in about {duration(cost.seconds)}"
    if cost.seconds < YEAR:
        at = datetime.now() + timedelta(seconds=cost.seconds)
        end += f" ({at:%H:%M})" if cost.seconds < DAY else f" ({at:%Y-%m-%d})"
    if cost.seconds > LONG:
        end += "; --set epochs=... train_size=... makes children cheaper"
    return f"{start}, {training}, on {workers}: first child in {duration(cost.first)}, {end}"


def time_left(plan: Plan, study: Study) -> str:
    """Return the time that a resumed search still takes, at the mean cost of its children so far.

    Returns "" if that is not known.
    """
    done = len(study.archive)
    trained = study.archive.counts().trained
    seconds = sum(study.archive.seconds(0, done)) / done * trained / done
    if not seconds:
        return ""
    return f", about {duration(seconds * (plan.children - done) / study.workers)} left"


def _count(number: int, one: str, several: str) -> str:
    return f"{number:,} {one if number == 1 else several}"


def number(value: float) -> str:
    """Return `value` to two digits; an estimate is no more precise."""
    return f"{float(f'{value:.2g}'):,.0f}" if value >= 10 else f"{value:.2g}"


def duration(seconds: float) -> str:
    """Return a duration in the largest unit in which it is at least 2."""
    for unit, length in LENGTHS.items():
        if seconds >= 2 * length:
            return f"{number(seconds / length)} {unit}"
    value = number(seconds)
    return f"{value} second{'s' * (value != '1')}"
