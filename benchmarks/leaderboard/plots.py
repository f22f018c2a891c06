"""The figures of the leaderboard: regret over children, performance profiles, improvement."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, NullFormatter

from nasgym.benchmarks.leaderboard.naming import file_name
from nasgym.benchmarks.leaderboard.scores import Floats, estimate, performance_profile
from nasgym.benchmarks.leaderboard.standings import (
    OPPONENTS,
    OverallStanding,
    TaskStanding,
    ranked_at,
)
from nasgym.drawing.palette import GREY, SERIES
from nasgym.report.plotting import styled, write

DASHES = ("solid", (0, (4, 1.5)), (0, (1, 1.2)))
"""Line styles of agents that share a colour: the first six, the next six, and the rest."""

RESAMPLES = 400
"""Bootstrap samples for each point of a curve; a band needs no more precision."""

LEAST_REGRET = 0.01
"""Regret in percentage points that is drawn as zero, because the axis is logarithmic."""

POINTS = 40
"""Points of a curve."""

LineStyles = Mapping[str, Mapping[str, Any]]
"""Colour and dashes of each agent's line."""


def line_styles(agents: Iterable[str]) -> LineStyles:
    """Return a line style for each agent, the same in all figures."""
    return {
        agent: {
            "color": SERIES[number % len(SERIES)],
            "linestyle": DASHES[number // len(SERIES) % len(DASHES)],
        }
        for number, agent in enumerate(agents)
    }


@styled
def draw(
    standings: Sequence[TaskStanding], rows: Sequence[OverallStanding], agents: Sequence[str]
) -> dict[str, Figure]:
    """Return the figures by name; without `rows`, those over all tables are left out.

    The order of `agents` decides their colours.
    """
    styles = line_styles(agents)
    figures = {regret_of(standing.task): _regret(standing, styles) for standing in standings}
    if rows:
        figures["profile"] = _profile(standings, rows, styles)
        if any(row.better_than for row in rows):
            figures["improvement"] = _improvement(rows, styles)
    return figures


def save(figures: Mapping[str, Figure], folder: Path) -> list[Path]:
    """Write each figure to `folder` as `.svg` and return the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    with rc_context({"svg.fonttype": "none"}):  # text instead of outlines: smaller files
        return [write(figure, folder / f"{name}.svg") for name, figure in figures.items()]


def regret_of(task: str) -> str:
    """Return the name of the figure of the regret on `task`."""
    return f"regret-{file_name(task)}"


def _regret(standing: TaskStanding, styles: LineStyles) -> Figure:
    """Draw each agent's interquartile mean regret and its interval over children."""
    figure = Figure(figsize=(6.4, 4.6), layout="constrained")
    axes = figure.subplots()
    counts = np.unique(np.geomspace(1, standing.children, POINTS).round().astype(int))
    for one in standing.agents:
        curve = estimate([one.regrets[:, counts - 1]], RESAMPLES)
        value, low, high = np.maximum(curve, LEAST_REGRET)
        style = styles[one.agent]
        axes.plot(counts, value, **style)
        axes.fill_between(counts, low, high, color=style["color"], alpha=0.13, linewidth=0)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(1, standing.children)
    axes.set_ylim(bottom=LEAST_REGRET)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_major_formatter(
        FuncFormatter(lambda value, _: "0" if value <= LEAST_REGRET else f"{value:g}")
    )
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("children")
    axes.set_ylabel("regret (percentage points)")
    _legend(figure, {one.agent: styles[one.agent] for one in standing.agents})
    return figure


def _profile(
    standings: Sequence[TaskStanding], rows: Sequence[OverallStanding], styles: LineStyles
) -> Figure:
    """Draw the share of each agent's runs within each distance of the best, over all tables."""
    tables = [standing for standing in standings if standing.tabular]
    children = ranked_at(min(standing.children for standing in tables))
    gaps = np.geomspace(0.3, 0.0003, 200)
    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    axes = figure.subplots()
    for row in rows:
        profile = performance_profile(_scores(row.agent, tables, children), 1 - gaps)
        axes.plot(gaps, profile, **styles[row.agent])
    axes.set_xscale("log")
    axes.set_xlim(gaps[0], gaps[-1])
    axes.set_ylim(0, 1.02)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlabel(f"normalised regret after {children} children")
    axes.set_ylabel("share of runs at least this close")
    _legend(figure, {row.agent: styles[row.agent] for row in rows})
    return figure


def _scores(agent: str, tables: Sequence[TaskStanding], children: int) -> Floats:
    everywhere = (one for standing in tables if (one := standing.of(agent)) is not None)
    return np.concatenate([one.normalised(children) for one in everywhere])


def _improvement(rows: Sequence[OverallStanding], styles: LineStyles) -> Figure:
    """Draw the probability that a run of each agent beats one of each opponent."""
    opponents = [one for one in OPPONENTS if any(one in row.better_than for row in rows)]
    figure = Figure(
        figsize=(0.6 + 3.6 * len(opponents), 1.1 + 0.28 * len(rows)), layout="constrained"
    )
    panels = figure.subplots(1, len(opponents), sharey=True, squeeze=False)[0]
    for axes, opponent in zip(panels, opponents, strict=True):
        axes.axvline(0.5, color=GREY, linewidth=1)
        for y, row in enumerate(reversed(rows)):
            if opponent in row.better_than:
                value, low, high = row.better_than[opponent]
                colour = styles[row.agent]["color"]
                axes.plot([low, high], [y, y], color=colour, linewidth=5, alpha=0.35)
                axes.plot([value], [y], "o", color=colour, markersize=5)
        axes.set_yticks(range(len(rows)), [row.agent for row in reversed(rows)])
        axes.set_xlim(-0.02, 1.02)
        axes.set_title(f"better than {opponent}", loc="left")
        axes.set_xlabel("probability")
    return figure


def _legend(figure: Figure, styles: LineStyles) -> None:
    lines = [Line2D([], [], linewidth=1.8, **style) for style in styles.values()]
    figure.legend(lines, list(styles), loc="outside lower center", ncols=2, fontsize=8)
