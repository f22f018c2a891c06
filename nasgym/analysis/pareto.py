"""The Pareto front: the children that no other beats at a price as low."""

from collections.abc import Iterable

from nasgym.archive import Trial


def front(trials: Iterable[Trial], cost: str = "parameters") -> list[Trial]:
    """Return the trials that none beats in both quality and cost, the cheapest first.

    `cost` is the name of a metric, "parameters", "flops" or "latency"; trials without it, and
    those that failed, are left out. Quality is what the child itself reached, not its reward, in
    which a cost may be weighed already: see `quality`. Of equals the first stands for all, so no
    child comes twice.
    """
    costs = ((cost_of(trial, cost), trial) for trial in trials if trial.status == "ok")
    priced = [(price, trial) for price, trial in costs if price is not None]
    priced.sort(key=lambda pair: (pair[0], -quality(pair[1]), pair[1].number))
    best, kept = float("-inf"), []
    for _, trial in priced:
        if quality(trial) > best:
            best = quality(trial)
            kept.append(trial)
    return kept


def cost_of(trial: Trial, cost: str) -> float | None:
    """Return the metric `cost` of a child, None where that is no number."""
    price = trial.metrics.get(cost)
    return price if isinstance(price, int | float) else None


def quality(trial: Trial) -> float:
    """Return how good a child is, higher is better: its accuracy, or less its perplexity."""
    if "perplexity" in trial.metrics:
        return -float(trial.metrics["perplexity"])
    return trial.accuracy
