"""Parts of drawings: the figure, text and arrows."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Point = tuple[float, float]

MARGIN = 0.3
"""Margin around a drawing, in inches."""

ROWS, COLUMNS = 120, 120
"""Maximum lines per page and characters per line; more take minutes to draw."""

INK, GREY = "#1f2933", "#7b8794"
COLOURS = ("#2a7f9e", "#d98410", "#5b8c3a", "#7d5ba6", "#8a5a2b", "#159484", "#bd4f8a", "#c8434f")
"""Colours of numbered parts, in turn."""


def sheet(x: Point, y: Point, title: str | None) -> "tuple[Figure, Axes]":
    """Return a white figure for the ranges `x` and `y`, in inches, and its axes."""
    from matplotlib.figure import Figure

    top = y[1] + 0.4 * bool(title)
    right = max(x[1], x[0] + 0.12 * len(title or ""))
    size = (right - x[0] + 2 * MARGIN, top - y[0] + 2 * MARGIN)
    figure = Figure(size, dpi=100, facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(x[0] - MARGIN, right + MARGIN), ylim=(y[0] - MARGIN, top + MARGIN))
    axes.set_axis_off()
    write(axes, x[0], top, title or "", size=12, weight="bold", va="top")
    return figure, axes


def write(axes: "Axes", x: float, y: float, words: str, **style: Any) -> None:
    """Write `words` at (x, y); `style` overrides the default text style."""
    defaults = {"size": 9, "color": INK, "va": "center_baseline", "parse_math": False}
    axes.text(x, y, words, **{**defaults, **style})


def arrow(axes: "Axes", points: Sequence[Point], colour: str, name: str) -> None:
    """Draw an arrow along a straight line (two points) or a Bezier curve (four points).

    `name`, its two ends with a hyphen between them, becomes its id in an SVG.
    """
    from matplotlib.patches import FancyArrowPatch
    from matplotlib.path import Path

    step = Path.LINETO if len(points) == 2 else Path.CURVE4
    axes.add_patch(
        FancyArrowPatch(
            path=Path(points, [Path.MOVETO] + [step] * (len(points) - 1)),
            arrowstyle="-|>,head_length=3,head_width=1.6",
            mutation_scale=1,
            linewidth=1.1,
            color=colour,
            gid=name,
        )
    )


def page(words: str, title: str | None) -> "Figure":
    """Return a figure of plain text, cut to ROWS and COLUMNS."""
    rows = [cut(row, COLUMNS) for row in words.splitlines()[:ROWS]]
    figure, axes = sheet((0, 0.076 * max(map(len, rows))), (-0.16 * len(rows), 0), title)
    text = "\n".join(rows)
    write(axes, 0, 0, text, family="monospace", va="top", linespacing=1.28)
    return figure


def cut(words: str, longest: int) -> str:
    """Return `words`, cut to `longest` characters."""
    return words if len(words) <= longest else f"{words[: longest - 1]}…"
