"""The figures of a run: the best network, the rewards over time, and how the policy settles.

And of runs side by side: how much better one agent's best children are than another's.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from nasgym import drawing
from nasgym.archive import Archive, Trial
from nasgym.comparison import TOPS, Comparison
from nasgym.evaluation import score
from nasgym.faults import crash_point
from nasgym.files import replacing
from nasgym.spaces import ARCHITECTURES, read

WINDOW = 50
"""Children over which rewards and duplicates are averaged."""

BLUE, ORANGE, GREEN, GREY = "#2b6cb0", "#dd6b20", "#2f855a", "#a0aec0"

Entropy = Sequence[tuple[int, float]]


def write_figures(folder: Path, archive: Archive, entropy: Entropy = ()) -> list[Path]:
    """Write `best.png`, `rewards.png` and `policy.png` into `folder` and return their paths.

    `entropy` is the controller's, as (children finished, nats a decision), where there is one.
    """
    trials = list(archive)
    best = archive.best()
    if not trials or best is None:
        return []
    figures = {
        "best.png": best_network(best),
        "rewards.png": rewards(trials),
        "policy.png": policy(trials, entropy),
    }
    return [_save(figure, folder / name) for name, figure in figures.items()]


def best_network(best: Trial) -> Figure:
    """Draw the best child."""
    title = f"child {best.number}: {score(best)}"
    return drawing.figure(drawable(best.architecture), title=title)


def drawable(data: Any) -> Any:
    """Return the architecture whose plain form is `data`, or `data` itself if of no known kind."""
    known = isinstance(data, dict) and data.get("kind") in ARCHITECTURES
    return read(data) if known else data


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
        axes[0].scatter(numbers[~trained], values[~trained], s=22, color="#c53030", marker="x")
    axes[0].plot(numbers, moving_mean(values), color=BLUE, label=f"mean of the last {WINDOW}")
    axes[0].plot(numbers, np.maximum.accumulate(values), color=ORANGE, label="best so far")
    axes[0].set_ylim(*_limits(values))
    axes[0].legend(frameon=False, loc="lower right")
    return figure


def policy(trials: Sequence[Trial], entropy: Entropy) -> Figure:
    """Draw the share of children proposed before and, where there is one, the policy's entropy."""
    figure, axes = _axes(2 if entropy else 1, "share of repeats")
    repeats = np.array([trial.cached for trial in trials], float)
    axes[0].plot(np.arange(1, len(trials) + 1), moving_mean(repeats), color=BLUE)
    axes[0].set_ylim(-0.02, 1.02)
    axes[0].set_title(f"children proposed before, among the last {WINDOW}", fontsize=10, loc="left")
    if entropy:
        children, nats = zip(*entropy, strict=True)
        axes[1].plot(children, nats, color=ORANGE)
        axes[1].set_ylim(bottom=0)
        axes[1].set_ylabel("nats a decision")
        axes[1].set_title("entropy of the controller", fontsize=10, loc="left")
    return figure


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
            f"{one.agent} (n = {one.seeds}) over {comparison.against} (n = {comparison.seeds})",
            fontsize=10,
            loc="left",
        )
        axis.legend(frameon=False)
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


def _limits(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return limits that show where most children lie, whatever the worst few did."""
    low, high = float(np.quantile(values, 0.05)), float(values.max())
    margin = max(0.02, 0.1 * (high - low))
    return low - margin, high + margin


def _axes(rows: int, label: str) -> tuple[Figure, list[Any]]:
    figure = Figure(figsize=(8, 1.2 + 2.8 * rows), dpi=120, layout="constrained")
    axes = list(figure.subplots(rows, 1, sharex=True, squeeze=False)[:, 0])
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.25)
    axes[0].set_ylabel(label)
    axes[-1].set_xlabel("children")
    return figure, axes


def _save(figure: Figure, path: Path) -> Path:
    with replacing(path) as part:
        figure.savefig(part)
        crash_point("mid_render")
    return path
