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
    priced = [trial for trial in trials if trial.status == "ok" and cost in trial.metrics]
    priced.sort(key=lambda trial: (trial.metrics[cost], -quality(trial), trial.number))
    best, kept = float("-inf"), []
    for trial in priced:
        if quality(trial) > best:
            best = quality(trial)
            kept.append(trial)
    return kept


def quality(trial: Trial) -> float:
    """Return how good a child is, higher is better: its accuracy, or less its perplexity."""
    if "perplexity" in trial.metrics:
        return -float(trial.metrics["perplexity"])
    return trial.accuracy
