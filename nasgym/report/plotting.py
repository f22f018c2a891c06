"""The style of all charts and figures, and how they are saved: to a file or into a page."""

import io
import re
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator
from numpy.typing import NDArray

from nasgym.crash_points import crash_point
from nasgym.files import replacing
from nasgym.report.markup import Markup

FORMATS = ("pdf", "svg", "png")
"""Formats that figures are written in."""

Chart = Callable[[Axes], None]
"""Draws one chart on axes: a title, the data with labels for a legend, and the axis labels."""

styled = rc_context(
    {
        "font.size": 9,
        "font.sans-serif": ["DejaVu Sans"],
        "axes.titlesize": 9,
        "axes.titlelocation": "left",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.spines.left": False,
        "ytick.major.size": 0,
        "axes.grid": True,
        "axes.grid.axis": "y",
        "axes.axisbelow": True,
        "axes.formatter.useoffset": False,
        "grid.alpha": 0.25,
        "grid.linewidth": 0.6,
        "lines.linewidth": 1.6,
        "legend.frameon": False,
        "figure.dpi": 150,
        "pdf.fonttype": 42,  # TrueType: journals refuse type 3
        "ps.fonttype": 42,
        "svg.hashsalt": "nasgym",  # the same figure gives the same file
        "text.parse_math": False,  # names may contain dollar signs
    }
)
"""The style of every figure: decorate the functions that make or save one."""

INK = "#1f2934"
"""Colour of text and axes in a chart for a page; the page replaces it by its text colour."""

on_page = rc_context(
    {
        "svg.fonttype": "none",  # text stays text, which keeps the page small
        "figure.facecolor": "none",
        "axes.facecolor": "none",
        "text.color": INK,
        "axes.labelcolor": INK,
        "axes.edgecolor": INK,
        "xtick.color": INK,
        "ytick.color": INK,
        "grid.color": INK,
    }
)
"""Additions to `styled` for charts on a page."""


# Saving -----------------------------------------------------------------------------------------


def write(figure: Figure, path: Path) -> Path:
    """Write `figure` to `path` atomically, in the format of its suffix."""
    with replacing(path) as part:
        save(figure, part, path.suffix.removeprefix("."))
        crash_point("mid_render")
    return path


@styled
def save(figure: Figure, target: Path | IO[bytes], suffix: str) -> None:
    """Save `figure` in the format `suffix`; the same figure gives the same bytes."""
    undated = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}.get(suffix)
    figure.savefig(target, format=suffix, metadata=undated)


def inline_svg(figure: Figure, words: str) -> Markup:
    """Return `figure`, drawn in the style `on_page`, as an SVG element.

    Text and axes take the text colour of the page. An artist whose gid begins with "child" shows
    the gid as its tooltip. `words` describe the figure to people who cannot see it.
    """
    buffer = io.StringIO()
    absent = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    canvas: Any = FigureCanvasSVG(figure)
    canvas.print_svg(buffer, metadata=absent)  # savefig would draw twice
    svg = buffer.getvalue().replace(INK, "currentColor")
    svg = re.sub(r"<style.*?</style>", "", svg, flags=re.DOTALL)  # it would style the whole page
    svg = re.sub(r'<g id="(child [^"]*)">', r"<g><title>\1</title>", svg)
    svg = re.sub(r'<g id="[^"]*">', "<g>", svg)  # ids that would be repeated on the page
    label = f'<svg role="img" aria-label="{escape(words)}" '
    return Markup(label + svg[svg.index("<svg ") + len("<svg ") :])


# Axes -------------------------------------------------------------------------------------------


def short(value: float, _: float = 0) -> str:
    """Return a number in a few characters: 0.25, 120, 45k, 1.2M."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size * 0.9999 and abs(value) >= 1e4:
            return f"{value / size:.3g}{letter}"
    return f"{value:.4g}"


def percent(value: float, _: float = 0) -> str:
    """Return a share in per cent."""
    return f"{100 * value:.3g}%"


def logarithmic(axes: Axes, which: Literal["x", "y"]) -> None:
    """Give an axis that has its data a logarithmic scale with plain numbers: 10, 200, 1M."""
    axes.set(**{f"{which}scale": "log"})
    axis = axes.xaxis if which == "x" else axes.yaxis
    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 200 * low else (1,)))
    axis.set_major_formatter(short)
    axis.set_minor_locator(NullLocator())


def banded(
    axes: Axes,
    children: NDArray[np.int_],
    values: NDArray[np.float64],
    label: str,
    colour: str,
    marker: str = "",
) -> None:
    """Draw the mean of `values`, (runs, points), and a band from their minimum to their maximum."""
    axes.plot(children, values.mean(axis=0), color=colour, label=label, marker=marker, ms=3)
    if len(values) > 1:
        low, high = values.min(axis=0), values.max(axis=0)
        axes.fill_between(children, low, high, color=colour, alpha=0.15, linewidth=0)
