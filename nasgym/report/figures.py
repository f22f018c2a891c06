"""Figures for print: the charts of a run or of several runs, one file each."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from nasgym import drawing
from nasgym.analysis.choices import ChoiceHistory, DecisionHistory
from nasgym.analysis.comparison import TOPS, AgentComparison, RunHistory
from nasgym.analysis.pareto import cost_of
from nasgym.archive import Trial
from nasgym.drawing.palette import BLUE, GREEN, GREY, ORANGE
from nasgym.drawing.sheet import cut
from nasgym.evaluation.evaluation import score
from nasgym.report import charts
from nasgym.report.charts import Entropy
from nasgym.report.plotting import Chart, banded, styled, write

DRAWN = ("parameters", "perplexity")
"""Metrics that figures show."""

LONGEST_NAME = 70
"""Maximum length of an agent's name with its options, in characters."""


def write_figures(
    folder: Path,
    trials: Iterable[Trial],
    entropy: Entropy = (),
    suffix: str = "png",
    best: Trial | None = None,
) -> list[Path]:
    """Write `best`, `rewards`, `policy` and `front` into `folder` and return their paths.

    `entropy` is that of the agent's policy, if it has one. `front` needs the children's number of
    parameters. Writes nothing before a child trained. If the trials are outlines, `best` must be
    the best of them in full.
    """
    trials = list(trials)
    trained = [trial for trial in trials if trial.status == "ok"]
    if not trained:
        return []
    best = best or max(trained, key=lambda trial: trial.reward)
    policy = [partial(charts.repeats, trials=trials)]
    if entropy:
        policy.append(partial(charts.entropy, policy=entropy))
    figures = {
        "best": drawing.figure(
            drawing.drawable(best.architecture), title=f"child {best.number}: {score(best)}"
        ),
        "rewards": stacked(partial(charts.rewards, trials=trials)),
        "policy": stacked(*policy),
    }
    sized = [trial for trial in trained if cost_of(trial, "parameters") is not None]
    if sized:
        figures["front"] = pareto(sized)
    return [write(figure, folder / f"{name}.{suffix}") for name, figure in figures.items()]


@styled
def stacked(*drawn: Chart, legend: str = "lower right") -> Figure:
    """Return a figure with the charts below each other, their legends in the corner `legend`."""
    figure = Figure(figsize=(6.3, 0.4 + 2.4 * len(drawn)), layout="constrained")
    for axes, chart in zip(figure.subplots(len(drawn), squeeze=False)[:, 0], drawn, strict=True):
        chart(axes)
        handles, labels = axes.get_legend_handles_labels()
        if handles:
            axes.legend(
                handles, [cut(label, LONGEST_NAME) for label in labels], loc=legend, markerscale=2
            )
    return figure


def pareto(trials: Sequence[Trial]) -> Figure:
    """Draw quality against parameters, and the Pareto front; each trial has both."""
    language = any("perplexity" in trial.metrics for trial in trials)
    corner = "upper right" if language else "lower right"
    return stacked(partial(charts.pareto, trials=trials), legend=corner)


def staleness(ages: Mapping[int, int], lags: Mapping[int, int]) -> Figure:
    """Draw histograms of the staleness of children and, with a parameter server, of updates."""
    drawn: list[Chart] = [partial(charts.staleness_of_children, ages=ages)]
    if lags:
        drawn.append(partial(charts.staleness_of_updates, lags=lags))
    return stacked(*drawn)


def compared(runs: Sequence[RunHistory]) -> Figure:
    """Draw the moving mean of each run's rewards and its best so far, with a colour per agent."""
    named = [(run.agent, run.trials) for run in runs]
    return stacked(
        partial(charts.mean_rewards, runs=named), partial(charts.best_rewards, runs=named)
    )


@styled
def choices(history: ChoiceHistory) -> Figure:
    """Draw the shares of the options over time, for the decisions whose shares changed most."""
    shown = history.changed
    columns = min(4, len(shown)) or 1
    rows = -(-len(shown) // columns) or 1
    figure = Figure(figsize=(1.9 * columns, 0.5 + 1.25 * rows), layout="constrained")
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).ravel()
    for axes, decision in zip(grid, shown, strict=False):
        charts.shares(axes, decision, history.children)
        axes.set_title(cut(decision.decision, LONGEST_NAME), fontsize=7)
        axes.set(yticks=(0, 0.5, 1))
        axes.tick_params(labelsize=7)
        axes.grid(False)
        _name_options(axes, decision)
    for axes in grid[len(shown) :]:
        axes.set_axis_off()
    figure.supxlabel("children", fontsize=8)
    figure.supylabel("share of each option", fontsize=8)
    return figure


def _name_options(axes: Axes, decision: DecisionHistory) -> None:
    """Write the names of the options with the largest final shares at the right edge."""
    tops = np.cumsum(decision.latest)
    box = {"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 0.8}
    style: dict[str, Any] = {"fontsize": 6, "ha": "right", "va": "center", "bbox": box}
    for option, share, top in zip(decision.options, decision.latest, tops, strict=True):
        if share > 0.15:
            place = (0.97, top - share / 2)
            axes.text(*place, str(option), transform=axes.transAxes, **style)


@styled
def improvements(comparison: AgentComparison) -> Figure:
    """Draw how much better the best children of each agent are than those of the baseline.

    Lines are means over the pairs of runs; bands reach from the minimum to the maximum.
    """
    count = len(comparison.improvements)
    figure = Figure(figsize=(6.3, 0.9 + 2.3 * count), layout="constrained")
    children = np.array(comparison.children)
    marker = "o" if len(children) < 60 else ""
    rows = figure.subplots(count, sharex=True, squeeze=False)[:, 0]
    for axes, one in zip(rows, comparison.improvements, strict=True):
        axes.axhline(0, color=GREY, linewidth=1)
        for place, colour in enumerate((BLUE, ORANGE, GREEN)):
            label = f"mean of the top {TOPS[place]}"
            banded(axes, children, one.differences[:, :, place], label, colour, marker)
        axes.set_ylabel(f"improvement, {comparison.unit}")
        axes.set_title(
            f"{cut(one.agent, LONGEST_NAME)} (n = {one.seeds}) over "
            f"{cut(comparison.baseline, LONGEST_NAME)} (n = {comparison.seeds})",
        )
        axes.legend()
    rows[-1].set_xlabel("children")
    figure.suptitle(comparison.env)
    return figure
