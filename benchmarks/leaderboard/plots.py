"""The figures of the leaderboard: regret over children, performance profiles, improvement."""

import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.lines
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from nasgym.benchmarks.leaderboard.naming import file_name
from nasgym.benchmarks.leaderboard.scores import Floats, estimate, performance_profile
from nasgym.benchmarks.leaderboard.standings import OPPONENTS, Overall, TaskStanding, ranked_at
from nasgym.drawing.palette import GREY, SERIES
from nasgym.files import write_atomically
from nasgym.report.plotting import styled

INK = "#0d1b2a"
"""Colour of text and axes; on a page it becomes that of the page's text."""

DASHES = ("solid", (0, (4, 1.5)), (0, (1, 1.2)))
"""How lines are dashed that share a colour: agents beyond the sixth, beyond the twelfth."""

RESAMPLES = 400
"""Samples of the bootstrap for each point of a curve: bands need no second digit."""

LEAST_REGRET = 0.01
"""Percentage points that are drawn as nought, so that the axis can be logarithmic."""

POINTS = 40
"""Points of a curve."""

LOOK: Any = {
    "svg.fonttype": "none",  # letters stay letters, and a page stays small
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": INK,
    "grid.alpha": 0.18,
}
"""Beyond the style of `nasgym.report.plotting`: ink."""

Looks = Mapping[str, Mapping[str, Any]]
"""Colour and dashes of each agent's line."""


def looks_of(agents: Iterable[str]) -> Looks:
    """Return a look for each agent, the same in all figures."""
    return {
        agent: {
            "color": SERIES[number % len(SERIES)],
            "linestyle": DASHES[number // len(SERIES) % len(DASHES)],
        }
        for number, agent in enumerate(agents)
    }


@styled
def draw(
    standings: Sequence[TaskStanding], rows: Sequence[Overall], agents: Sequence[str]
) -> dict[str, str]:
    """Return the figures as SVG by name; those over all tables are left out where there are none.

    `agents` says in which order they get their colours.
    """
    looks = looks_of(agents)
    with matplotlib.rc_context(LOOK):
        figures = {
            regret_of(standing.task): _svg(_regret(standing, looks)) for standing in standings
        }
        if rows:
            figures["profile"] = _svg(_profile(standings, rows, looks))
            if any(row.better_than for row in rows):
                figures["improvement"] = _svg(_improvement(rows, looks))
    return figures


def regret_of(task: str) -> str:
    """Return the name of the figure of the regret on `task`."""
    return f"regret-{file_name(task)}"


def save(figures: Mapping[str, str], folder: Path) -> None:
    """Write each figure to `folder`, as `.svg` on white."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, svg in figures.items():
        white = svg.replace("<defs>", '<rect width="100%" height="100%" fill="#ffffff"/><defs>', 1)
        write_atomically(folder / f"{name}.svg", white)


def _regret(standing: TaskStanding, looks: Looks) -> Figure:
    """Draw each agent's interquartile mean regret and its interval over children."""
    figure = Figure(figsize=(6.4, 4.6), layout="constrained")
    axes = figure.subplots()
    counts = np.unique(np.geomspace(1, standing.children, POINTS).round().astype(int))
    for one in standing.agents:
        curve = estimate([one.regrets[:, counts - 1]], RESAMPLES)
        value, low, high = np.maximum(curve, LEAST_REGRET)
        look = looks[one.agent]
        axes.plot(counts, value, **look)
        axes.fill_between(counts, low, high, color=look["color"], alpha=0.13, linewidth=0)
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
    _legend(figure, {one.agent: looks[one.agent] for one in standing.agents})
    return figure


def _profile(standings: Sequence[TaskStanding], rows: Sequence[Overall], looks: Looks) -> Figure:
    """Draw which share of an agent's runs come how close to the best, over all tables."""
    tables = [standing for standing in standings if standing.tabular]
    children = ranked_at(min(standing.children for standing in tables))
    gaps = np.geomspace(0.3, 0.0003, 200)
    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    axes = figure.subplots()
    for row in rows:
        profile = performance_profile(_scores(row.agent, tables, children), 1 - gaps)
        axes.plot(gaps, profile, **looks[row.agent])
    axes.set_xscale("log")
    axes.set_xlim(gaps[0], gaps[-1])
    axes.set_ylim(0, 1.02)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlabel(f"normalised regret after {children} children")
    axes.set_ylabel("share of runs at least that close")
    _legend(figure, {row.agent: looks[row.agent] for row in rows})
    return figure


def _scores(agent: str, tables: Sequence[TaskStanding], children: int) -> Floats:
    everywhere = (one for standing in tables if (one := standing.of(agent)) is not None)
    return np.concatenate([one.normalised(children) for one in everywhere])


def _improvement(rows: Sequence[Overall], looks: Looks) -> Figure:
    """Draw how likely a run of each agent beats one of each opponent."""
    opponents = [one for one in OPPONENTS if any(one in row.better_than for row in rows)]
    figure = Figure(
        figsize=(0.6 + 3.6 * len(opponents), 1.1 + 0.28 * len(rows)), layout="constrained"
    )
    panels = figure.subplots(1, len(opponents), sharey=True, squeeze=False)[0]
    for axes, opponent in zip(panels, opponents, strict=True):
        axes.axvline(0.5, color=GREY, linewidth=1)
        for place, row in enumerate(reversed(rows)):
            if opponent in row.better_than:
                value, low, high = row.better_than[opponent]
                colour = looks[row.agent]["color"]
                axes.plot([low, high], [place, place], color=colour, linewidth=5, alpha=0.35)
                axes.plot([value], [place], "o", color=colour, markersize=5)
        axes.set_yticks(range(len(rows)), [row.agent for row in reversed(rows)])
        axes.set_xlim(-0.02, 1.02)
        axes.set_title(f"better than {opponent}", loc="left")
        axes.set_xlabel("probability")
    return figure


def _legend(figure: Figure, looks: Looks) -> None:
    lines = [matplotlib.lines.Line2D([], [], linewidth=1.8, **look) for look in looks.values()]
    figure.legend(lines, list(looks), loc="outside lower center", ncols=2, fontsize=8)


def _svg(figure: Figure) -> str:
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]
