"""The figures of a run: the best network, the rewards over time, and how the policy settles.

And of runs side by side: their curves, and how much better one agent's best children are than
another's. One style for all.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogFormatter
from numpy.typing import NDArray

from nasgym import drawing
from nasgym.analysis.choices import Preference, Preferences
from nasgym.analysis.comparison import TOPS, Comparison, Finished
from nasgym.analysis.pareto import cost_of, front
from nasgym.archive import Trial
from nasgym.crash_points import crash_point
from nasgym.drawing.palette import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, colours_of, series
from nasgym.drawing.sheet import cut
from nasgym.evaluation.evaluation import score
from nasgym.files import replacing
from nasgym.spaces import ARCHITECTURES, read

WINDOW = 50
"""Children over which rewards and duplicates are averaged."""

FORMATS = ("pdf", "svg", "png")

DRAWN = ("parameters", "perplexity")
"""Metrics that figures show."""

LONGEST_NAME = 70
"""Characters of an agent with its options in a figure."""

styled = rc_context(
    {
        "font.size": 9,
        "axes.titlesize": 9,
        "axes.titlelocation": "left",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "grid.alpha": 0.25,
        "lines.linewidth": 1.6,
        "legend.frameon": False,
        "figure.dpi": 150,
        "pdf.fonttype": 42,  # TrueType: journals refuse type 3
        "ps.fonttype": 42,
        "svg.hashsalt": "nasgym",  # the same figure, the same file
        "text.parse_math": False,  # names come from anywhere, dollars and all
    }
)
"""The style of every figure: decorates what makes or saves one."""

Entropy = Sequence[tuple[int, float]]


def write_figures(
    folder: Path,
    trials: Iterable[Trial],
    entropy: Entropy = (),
    suffix: str = "png",
    best: Trial | None = None,
) -> list[Path]:
    """Write `best`, `rewards`, `policy` and `front` into `folder` and return their paths.

    `entropy` is the controller's, as (children finished, nats a decision), where there is one.
    There is no front where the children's parameters are not known, and nothing before a child
    trained. Where the trials are outlines, `best` is the best of them in full.
    """
    trials = list(trials)
    trained = [trial for trial in trials if trial.status == "ok"]
    if not trained:
        return []
    best = best or max(trained, key=lambda trial: trial.reward)
    figures = {
        "best": best_network(best),
        "rewards": rewards(trials),
        "policy": policy(trials, entropy),
    }
    if any(cost_of(trial, "parameters") is not None for trial in trained):
        figures["front"] = pareto(trained)
    return [write(figure, folder / f"{name}.{suffix}") for name, figure in figures.items()]


def write(figure: Figure, path: Path) -> Path:
    """Write `figure` to `path`, whole or not at all, in the format its suffix names."""
    with replacing(path) as part:
        saved(figure, part, path.suffix.removeprefix("."))
        crash_point("mid_render")
    return path


@styled
def saved(figure: Figure, target: Path | IO[bytes], suffix: str) -> None:
    """Save `figure` in the format `suffix`; the same figure gives the same bytes."""
    undated = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}.get(suffix)
    figure.savefig(target, format=suffix, metadata=undated)


def best_network(best: Trial) -> Figure:
    """Draw the best child."""
    title = f"child {best.number}: {score(best)}"
    return drawing.figure(drawable(best.architecture), title=title)


def drawable(data: Any) -> Any:
    """Return the architecture whose plain form is `data`, or `data` itself if of no known kind."""
    known = isinstance(data, dict) and data.get("kind") in ARCHITECTURES
    return read(data) if known else data


@styled
def rewards(trials: Sequence[Trial]) -> Figure:
    """Draw every child's reward, their moving mean, and the best so far."""
    numbers = np.arange(1, len(trials) + 1)
    values = np.array([trial.reward for trial in trials])
    trained = np.array([trial.status == "ok" for trial in trials])
    figure, axes = _axes(1, "reward")
    axes[0].scatter(
        numbers[trained], values[trained], s=10, color=GREY, label="a child", linewidths=0
    )
    if not trained.all():
        axes[0].scatter(
            numbers[~trained], values[~trained], s=22, color=RED, marker="x", linewidths=1
        )
    axes[0].plot(numbers, moving_mean(values), color=BLUE, label=f"mean of the last {WINDOW}")
    axes[0].plot(numbers, np.maximum.accumulate(values), color=ORANGE, label="best so far")
    axes[0].set_ylim(*limits(values))
    axes[0].legend(loc="lower right")
    return figure


@styled
def policy(trials: Sequence[Trial], entropy: Entropy) -> Figure:
    """Draw the share of children proposed before and, where there is one, the policy's entropy."""
    figure, axes = _axes(2 if entropy else 1, "share of repeats")
    repeats = np.array([trial.cached for trial in trials], float)
    axes[0].plot(np.arange(1, len(trials) + 1), moving_mean(repeats), color=BLUE)
    axes[0].set_ylim(-0.02, 1.02)
    axes[0].set_title(f"Children proposed before, among the last {WINDOW}")
    if entropy:
        children, nats = zip(*entropy, strict=True)
        axes[1].plot(children, nats, color=PURPLE)
        axes[1].set_ylim(bottom=0)
        axes[1].set_ylabel("nats a decision")
        axes[1].set_title("Entropy of the controller")
    return figure


@styled
def pareto(trials: Sequence[Trial]) -> Figure:
    """Draw how good children are for their parameters, and the front of those that none beats."""
    language = any("perplexity" in trial.metrics for trial in trials)
    sized = [trial for trial in trials if cost_of(trial, "parameters") is not None]
    figure, axes = _axes(1, "validation perplexity" if language else "validation accuracy")
    points = np.array([_sized(trial) for trial in sized])
    best = np.array([_sized(trial) for trial in front(sized)])
    axes[0].scatter(*points.T, s=10, color=GREY, linewidths=0, label="a child")
    axes[0].step(
        *best.T, where="post", color=ORANGE, marker="o", ms=4, label="none is better and as small"
    )
    logarithmic(axes[0], "x")
    if language:
        logarithmic(axes[0], "y")
    axes[0].set_xlabel("parameters")
    axes[0].legend(loc="upper right" if language else "lower right")
    return figure


@styled
def staleness(ages: Mapping[int, int], lags: Mapping[int, int]) -> Figure:
    """Draw how many trials old children were when they finished, and how many versions updates.

    Both are counts by age; there are no lags without a parameter server.
    """
    panels = [(ages, "trials finished since a child was proposed", BLUE)]
    if lags:
        panels.append((lags, "versions made since the parameters of an update were read", PURPLE))
    figure = Figure(figsize=(6.3, 0.9 + 2.0 * len(panels)), layout="constrained")
    axes = figure.subplots(len(panels), 1, squeeze=False)[:, 0]
    for axis, (counts, words, colour) in zip(axes, panels, strict=True):
        width = max(counts) // 50 + 1
        edges = np.arange(-0.5, max(counts) + width, width)
        shares = [count / sum(counts.values()) for count in counts.values()]
        axis.hist(list(counts), bins=edges.tolist(), weights=shares, color=colour)
        axis.set(xlabel=words, ylabel="share")
    return figure


@styled
def settling(seen: Preferences) -> Figure:
    """Draw the shares of the options over time, for the decisions whose shares changed most."""
    shown = seen.changed
    columns = min(4, len(shown)) or 1
    rows = -(-len(shown) // columns) or 1
    figure = Figure(figsize=(1.9 * columns, 0.5 + 1.25 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for axis, one in zip(axes, shown, strict=False):
        axis.stackplot(seen.children, one.shares.T, colors=colours_of(one.options), linewidth=0)
        axis.set_title(one.decision, fontsize=7)
        axis.set(ylim=(0, 1), yticks=(0, 0.5, 1), xmargin=0)
        axis.tick_params(labelsize=7)
        axis.grid(False)
        _name_options(axis, one)
    for axis in axes[len(shown) :]:
        axis.set_axis_off()
    figure.supxlabel("children", fontsize=8)
    figure.supylabel("share of each option", fontsize=8)
    return figure


def _name_options(axes: Axes, one: Preference) -> None:
    """Write on the right which options have more than a few of the last strings."""
    tops = np.cumsum(one.latest)
    box = {"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 0.8}
    style: dict[str, Any] = {"fontsize": 6, "ha": "right", "va": "center", "bbox": box}
    for option, share, top in zip(one.options, one.latest, tops, strict=True):
        if share > 0.15:
            place = (0.97, top - share / 2)
            axes.text(*place, str(option), transform=axes.transAxes, parse_math=False, **style)


def _sized(trial: Trial) -> tuple[float, float]:
    return trial.metrics["parameters"], trial.metrics.get("perplexity", trial.accuracy)


@styled
def compared(runs: Sequence[Finished]) -> Figure:
    """Draw the moving mean of each run's rewards and its best so far, a colour an agent."""
    figure, (mean, best) = _axes(2, f"mean of the last {WINDOW}")
    agents = list(dict.fromkeys(run.agent for run in runs))
    colours = dict(zip(agents, series(len(agents)), strict=True))
    named: set[str] = set()
    for run in runs:
        values = np.array([trial.reward for trial in run.trials])
        children, colour = np.arange(1, len(values) + 1), colours[run.agent]
        mean.plot(children, moving_mean(values), color=colour)
        label = None if run.agent in named else cut(run.agent, LONGEST_NAME)
        best.plot(children, list(accumulate(values, max)), color=colour, label=label)
        named.add(run.agent)
    best.set_ylabel("best reward so far")
    best.set_ylim(bottom=min(limits(line.get_ydata())[0] for line in best.lines))
    best.legend(loc="lower right")
    return figure


@styled
def improvements(comparison: Comparison) -> Figure:
    """Draw how much better each agent's best children are than those of the agent compared to.

    Lines are means over the runs, bands reach from the least to the greatest difference.
    """
    figure, axes = _axes(len(comparison.improvements), "")
    children = np.array(comparison.children)
    for axis, one in zip(axes, comparison.improvements, strict=True):
        axis.axhline(0, color=GREY, linewidth=1)
        for top, colour in zip(TOPS, (BLUE, ORANGE, GREEN), strict=True):
            values = one.differences[:, :, TOPS.index(top)]
            banded(
                axis,
                children,
                values,
                f"mean of the top {top}",
                colour,
                marker="o" * (len(children) < 60),
            )
        axis.set_ylabel(f"better by, {comparison.unit}")
        axis.set_title(
            f"{cut(one.agent, LONGEST_NAME)} (n = {one.seeds}) over "
            f"{cut(comparison.against, LONGEST_NAME)} (n = {comparison.seeds})",
        )
        axis.legend()
    figure.suptitle(comparison.env)
    return figure


def banded(
    axes: Axes,
    children: NDArray[np.int_],
    values: NDArray[np.float64],
    label: str,
    colour: str,
    marker: str = "",
) -> None:
    """Draw the mean of `values` (runs, points), and a band from the least to the greatest."""
    axes.plot(children, values.mean(axis=0), color=colour, label=label, marker=marker, ms=3)
    if len(values) > 1:
        low, high = values.min(axis=0), values.max(axis=0)
        axes.fill_between(children, low, high, color=colour, alpha=0.15, linewidth=0)


def moving_mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the mean of the last WINDOW values at each place, of fewer at the beginning."""
    total = np.concatenate([[0.0], np.cumsum(values)])
    last = np.arange(1, len(values) + 1)
    first = np.maximum(0, last - WINDOW)
    mean: NDArray[np.float64] = (total[last] - total[first]) / (last - first)
    return mean


def limits(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return limits that show where most children lie, whatever the worst few did."""
    low, high = float(np.quantile(values, 0.05)), float(values.max())
    margin = 0.1 * (high - low) or 0.05 * abs(high) or 1.0
    return low - margin, high + margin


def logarithmic(axes: Axes, which: Literal["x", "y"]) -> None:
    """Have an axis show equal ratios as equal lengths, with plain numbers: 10, 200, 1e+06."""
    axes.set(**{f"{which}scale": "log"})
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_formatter(LogFormatter())
    axis.set_minor_formatter(LogFormatter())


def _axes(rows: int, label: str) -> tuple[Figure, list[Any]]:
    figure = Figure(figsize=(6.3, 0.9 + 2.3 * rows), layout="constrained")
    axes = list(figure.subplots(rows, 1, sharex=True, squeeze=False)[:, 0])
    axes[0].set_ylabel(label)
    axes[-1].set_xlabel("children")
    return figure, axes
