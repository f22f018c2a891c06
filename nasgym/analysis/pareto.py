"""The Pareto front: the children that no other child beats at the same cost or less."""

from collections.abc import Iterable

from nasgym.archive import Trial


def front(trials: Iterable[Trial], cost: str = "parameters") -> list[Trial]:
    """Return the trials that are Pareto optimal in quality and cost, the cheapest first.

    `cost` is the name of a metric: "parameters", "flops" or "latency". Failed trials and trials
    without the metric are left out. Quality is `quality`, not the reward, because a reward may
    include a cost. Only the first of several equal trials is returned.
    """
    costs = ((cost_of(trial, cost), trial) for trial in trials if trial.status == "ok")
    priced = [(value, trial) for value, trial in costs if value is not None]
    priced.sort(key=lambda pair: (pair[0], -quality(pair[1]), pair[1].number))
    best, kept = float("-inf"), []
    for _, trial in priced:
        if quality(trial) > best:
            best = quality(trial)
            kept.append(trial)
    return kept


def cost_of(trial: Trial, cost: str) -> float | None:
    """Return the metric `cost` of a child, or None if it is not a number."""
    value = trial.metrics.get(cost)
    return value if isinstance(value, int | float) else None


def quality(trial: Trial) -> float:
    """Return the accuracy of a child, or its negative perplexity; higher is better."""
    if "perplexity" in trial.metrics:
        return -float(trial.metrics["perplexity"])
    return trial.accuracy
