"""`nasgym compare`: one agent's best children against another's."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.table import Table

from nasgym.analysis.comparison import TOPS, Comparison, Improvement, compare
from nasgym.commands.terminal import OUT, say


@dataclass(frozen=True)
class Compare:
    """Compare runs on the same environment: the mean of each agent's best children so far."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Folders of runs; those that differ in nothing but their seed go together, and each agent is
    compared to the one named last."""
    every: int = 400
    """Children from one point to the next."""
    out: Path = Path("compare.png")
    """Where to draw the comparison, as .png, .svg or .pdf."""
    json: bool = False
    """Print JSON instead of text."""

    def main(self) -> None:
        """Compare, draw and print."""
        comparison = compare(self.runs, self.every)
        from nasgym.report.figures import improvements, write

        write(improvements(comparison), self.out)
        if self.json:
            print(json.dumps({**comparison.to_plain(), "picture": str(self.out)}))
            return
        for improvement in comparison.improvements:
            _print(improvement, comparison)
        say(f"its picture  {self.out}")


def _print(improvement: Improvement, comparison: Comparison) -> None:
    """Print a table of the mean differences at every point."""
    say(
        f"{comparison.env}: {improvement.agent} (n = {improvement.seeds}) over "
        f"{comparison.against} (n = {comparison.seeds}), in {comparison.unit}"
    )
    table = Table("children", *(f"top {top}" for top in TOPS), box=None)
    means = improvement.differences.mean(axis=0)
    for children, row in zip(comparison.children, means, strict=True):
        cells = ("too few" if value != value else f"{value:+.3g}" for value in row)
        table.add_row(f"{children:,}", *cells)
    OUT.print(table)
