"""The learning curve: a picture of training loss and validation score by epoch."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from nasgym.files import replacing

BLUE, ORANGE = "#2b6cb0", "#dd6b20"


def save_curve(curve: Sequence[Mapping[str, float]], score: str, path: Path) -> None:
    """Draw the training loss and the validation `score`, a key such as "accuracy", of `curve`."""
    figure = Figure(figsize=(8, 6.4), dpi=120, layout="constrained")
    loss, validation = figure.subplots(2, 1, sharex=True)
    epochs = [point["epoch"] for point in curve]
    marker = "." if len(curve) < 30 else None
    loss.plot(epochs, [point["loss"] for point in curve], color=BLUE, marker=marker)
    loss.set_ylabel("training loss (nats)")
    loss.set_ylim(0, 1.05 * max(point["loss"] for point in curve))
    validation.plot(epochs, [point[score] for point in curve], color=ORANGE, marker=marker)
    last = curve[-1][score]
    validation.set_title(f"at the end {last:.4g}", fontsize=10, loc="left")
    validation.set_ylabel(f"validation {score}")
    validation.set_xlabel("epoch")
    validation.xaxis.get_major_locator().set_params(integer=True)
    for axes in (loss, validation):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.25)
    with replacing(path) as part:
        figure.savefig(part)
