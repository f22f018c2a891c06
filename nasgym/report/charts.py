"""Charts: each function draws one aspect of a run, or of several runs, on matplotlib axes.

The page and the figures for print share them. A chart sets its title, and labels its data for a
legend that its caller makes.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from nasgym.analysis.choices import ChoiceHistory, DecisionHistory
from nasgym.analysis.pareto import front
from nasgym.archive import Trial
from nasgym.drawing.palette import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, colours_of, series
from nasgym.evaluation.evaluation import score
from nasgym.report.plotting import logarithmic, percent, short

WINDOW = 50
"""Children over which rewards and repeats are averaged."""

MAX_VECTOR_POINTS = 1000
"""More points than this are drawn as one image, which bounds the size of a file."""

MAX_LINE_POINTS = 600
"""Points of a curve over children; more cannot be told apart."""

MAX_BINS = 50
"""Bins of a histogram."""

Entropy = Sequence[tuple[int, float]]
"""(children finished, entropy of the agent's policy in nats per decision)."""

Named = Sequence[tuple[str, Sequence[Trial]]]
"""(name, trials) of each run; runs with the same name share a colour."""


# One run ----------------------------------------------------------------------------------------


def rewards(axes: Axes, trials: Sequence[Trial]) -> None:
    """Draw the reward of each child, the moving mean, and the best reward so far."""
    values = _rewards(trials)
    _draw_children(axes, trials, values, GREY)
    _draw_curve(axes, moving_mean(values), BLUE, f"mean of the last {WINDOW}")
    records = _records(trials)
    if records:
        best = np.array([(trial.number + 1, trial.reward) for trial in records])
        held = np.vstack([best, [len(trials), best[-1, 1]]])
        axes.step(*held.T, where="post", color=ORANGE, label="best so far")
        _draw_marks(axes, best, records, ORANGE)
    axes.set(title="Reward", ylim=_limits(values))
    _count_children(axes, len(trials))


def repeats(axes: Axes, trials: Sequence[Trial]) -> None:
    """Draw the moving share of children that had been proposed before."""
    share = moving_mean(np.array([trial.cached for trial in trials], float))
    _draw_curve(axes, share, BLUE)
    axes.set(title=f"Repeats among the last {WINDOW} children", ylim=(-0.02, 1.02))
    axes.yaxis.set_major_formatter(percent)
    _count_children(axes, len(trials))


def entropy(axes: Axes, policy: Entropy, choices: ChoiceHistory | None = None) -> None:
    """Draw the entropy of the agent's policy, where known, and of the strings it proposed."""
    points = np.array(policy, float).reshape(-1, 2)
    if policy:
        axes.plot(*points.T, color=PURPLE, label="agent's policy")
    if choices is not None:
        counts, nats, most = choices.children, choices.entropy(), choices.uniform()
        axes.plot(counts, nats, color=GREEN, label=f"last {choices.width} strings")
        axes.plot(counts, most, color=GREY, ls="--", label="all options equally likely")
        points = np.vstack([points, *(np.column_stack([counts, each]) for each in (nats, most))])
    last, highest = np.nanmax(points, axis=0)
    axes.set(title="Entropy, nats per decision", ylim=(0, 1.06 * highest or 1.0))
    _count_children(axes, last)


def pareto(axes: Axes, trials: Sequence[Trial]) -> None:
    """Draw quality against parameters, and the Pareto front; each trial has both."""
    points = np.array([_sized(trial) for trial in trials])
    _draw_points(axes, points, GREY, "a child")
    _draw_front(axes, trials, ORANGE, "Pareto front")
    _set_sized_axes(axes, trials)


def seconds(axes: Axes, trials: Sequence[Trial], count: int) -> None:
    """Draw the training time of each of `trials`, which are not repeats, among `count` children."""
    _draw_children(axes, trials, np.array([trial.seconds for trial in trials]), BLUE)
    _count_children(axes, count)
    axes.set(title="Training time, seconds")
    logarithmic(axes, "y")


def staleness_of_children(axes: Axes, ages: Mapping[int, int]) -> None:
    """Draw a histogram of how many trials finished between a child's proposal and its end."""
    _draw_shares(axes, ages, BLUE)
    axes.set(title="Staleness of a child", xlabel="trials finished since its proposal")


def staleness_of_updates(axes: Axes, lags: Mapping[int, int]) -> None:
    """Draw a histogram of how many versions old the parameters of an update were."""
    _draw_shares(axes, lags, PURPLE)
    axes.set(title="Staleness of an update", xlabel="versions since its parameters were read")


def shares(axes: Axes, decision: DecisionHistory, children: NDArray[np.int64]) -> None:
    """Draw the share of each option of a decision over time, with no labels."""
    colours = colours_of(decision.options)
    ends, stacked = [0, *children], [decision.shares[0], *decision.shares]
    axes.stackplot(ends, np.transpose(stacked), colors=colours, linewidth=0, step="pre")
    axes.set(xlim=(0, children[-1]), ylim=(0, 1))


# Several runs -----------------------------------------------------------------------------------


def mean_rewards(axes: Axes, runs: Named) -> None:
    """Draw the moving mean of each run's rewards."""
    curves = [(name, moving_mean(_rewards(trials))) for name, trials in runs]
    _draw_curves(axes, curves)
    axes.set(title=f"Mean reward of the last {WINDOW} children")


def best_rewards(axes: Axes, runs: Named) -> None:
    """Draw the best reward so far of each run."""
    _draw_curves(axes, [(name, np.maximum.accumulate(_rewards(trials))) for name, trials in runs])
    axes.set(title="Best reward so far")


def fronts(axes: Axes, runs: Named) -> None:
    """Draw the Pareto front of each run; trials without a number of parameters are left out."""
    colours = colours_by_name(runs)
    for name, trials in runs:
        if trials:
            _draw_front(axes, trials, colours[name], name)
    _set_sized_axes(axes, [trial for _, trials in runs for trial in trials])


def colours_by_name(runs: Iterable[tuple[str, object]]) -> dict[str, str]:
    """Return a colour for each name."""
    names = list(dict.fromkeys(name for name, _ in runs))
    return dict(zip(names, series(len(names)), strict=True))


def _draw_curves(axes: Axes, curves: Sequence[tuple[str, NDArray[np.float64]]]) -> None:
    """Draw a curve over children for each run; the y axis leaves out their noisy beginnings."""
    colours = colours_by_name(curves)
    for name, values in curves:
        known = name in axes.get_legend_handles_labels()[1]
        label = None if known else name
        _draw_curve(axes, values, colours[name], label)
    settled = np.concatenate([values[len(values) // 20 :] for _, values in curves])
    axes.set_ylim(*_padded(settled.min(), settled.max()))
    _count_children(axes, max(len(values) for _, values in curves))


# Numbers ----------------------------------------------------------------------------------------


def moving_mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean of the last WINDOW values at each position, of fewer at the beginning."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    last = np.arange(1, len(values) + 1)
    first = np.maximum(0, last - WINDOW)
    mean: NDArray[np.float64] = (total[last] - total[first]) / (last - first)
    return mean


def _rewards(trials: Sequence[Trial]) -> NDArray[np.float64]:
    return np.array([trial.reward for trial in trials])


def _records(trials: Iterable[Trial]) -> list[Trial]:
    """Return the children that were better than all before them."""
    kept: list[Trial] = []
    for trial in trials:
        if trial.status == "ok" and (not kept or trial.reward > kept[-1].reward):
            kept.append(trial)
    return kept


def _limits(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return limits that show most children and hide the worst few."""
    return _padded(np.quantile(values, 0.05), values.max())


def _padded(low: float, high: float) -> tuple[float, float]:
    margin = 0.1 * (high - low) or 0.05 * abs(high) or 1.0
    return float(low - margin), float(high + margin)


def _sized(trial: Trial) -> tuple[float, float]:
    """Return a child's parameters and its perplexity, else its accuracy."""
    return trial.metrics["parameters"], trial.metrics.get("perplexity", trial.accuracy)


# Parts of charts --------------------------------------------------------------------------------


def _draw_children(
    axes: Axes, trials: Sequence[Trial], values: NDArray[np.float64], colour: str
) -> None:
    """Draw a value of each child: a dot, or a cross if it failed."""
    points = np.column_stack([[trial.number + 1 for trial in trials], values])
    ok = np.array([trial.status == "ok" for trial in trials])
    _draw_points(axes, points[ok], colour, "a child")
    if not ok.all():
        _draw_points(axes, points[~ok], RED, "failed", marker="x", ms=4, mew=1)


def _draw_curve(
    axes: Axes, values: NDArray[np.float64], colour: str, label: str | None = None
) -> None:
    """Draw a value after each child, for at most MAX_LINE_POINTS of them."""
    count = min(len(values), MAX_LINE_POINTS)
    shown = np.linspace(0, len(values) - 1, count).round().astype(int)
    axes.plot(shown + 1, values[shown], color=colour, label=label)


def _draw_points(
    axes: Axes, points: NDArray[np.float64], colour: str, label: str, **style: Any
) -> None:
    many = len(points) > MAX_VECTOR_POINTS
    style = {"marker": "o", "ms": 1.4 if many else 2.4, "mew": 0, **style}
    axes.plot(*points.T, ls="", color=colour, label=label, rasterized=many, **style)


def _draw_shares(axes: Axes, counts: Mapping[int, int], colour: str) -> None:
    """Draw a histogram of whole numbers; `counts` says how often each occurs."""
    width = max(counts) // MAX_BINS + 1
    edges = np.arange(-0.5, max(counts) + width, width)
    weights = np.array(list(counts.values())) / sum(counts.values())
    axes.hist(list(counts), bins=edges.tolist(), weights=weights, color=colour, rwidth=0.92)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.yaxis.set_major_formatter(percent)


def _draw_front(axes: Axes, trials: Sequence[Trial], colour: str, label: str) -> None:
    best = front(trials)
    points = np.array([_sized(trial) for trial in best])
    axes.step(*points.T, where="post", color=colour, label=label)
    _draw_marks(axes, points, best, colour)


def _draw_marks(
    axes: Axes, points: NDArray[np.float64], trials: Sequence[Trial], colour: str
) -> None:
    """Draw a dot for each of a few children, with a tooltip on a page."""
    for (x, y), trial in zip(points, trials, strict=True):
        parameters = trial.metrics.get("parameters")
        size = f", {parameters:,} parameters" if isinstance(parameters, int) else ""
        words = f"child {trial.number}: reward {trial.reward:.4g}, {score(trial)}{size}"
        axes.plot(x, y, "o", color=colour, ms=4.5, gid=words)


def _set_sized_axes(axes: Axes, trials: Sequence[Trial]) -> None:
    language = any("perplexity" in trial.metrics for trial in trials)
    quality = "perplexity" if language else "accuracy"
    axes.set(title=f"Validation {quality} against parameters", xlabel="parameters")
    logarithmic(axes, "x")
    if language:
        logarithmic(axes, "y")
    else:
        axes.yaxis.set_major_formatter(percent)


def _count_children(axes: Axes, count: float) -> None:
    """Have the x axis count `count` children."""
    axes.set(xlim=(1, max(count, 2)), xlabel="children")
    axes.xaxis.set_major_formatter(short)
