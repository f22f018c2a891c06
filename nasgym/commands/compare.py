"""`nasgym compare`: the best children of one agent against those of another."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich.table import Table

from nasgym.analysis.comparison import TOPS, AgentComparison, Improvement, compare
from nasgym.commands.console import OUT, say


@dataclass(frozen=True)
class Compare:
    """Compare the agents of runs in the same environment by the mean of their best children."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Folders of runs. Runs that differ only in their seed form one group; each agent is compared
    with the agent of the last folder."""
    every: int = 400
    """Number of children between two points."""
    out: Path = Path("compare.png")
    """File of the figure, .png, .svg or .pdf."""
    json: bool = False
    """Print JSON instead of text."""

    def main(self) -> None:
        """Compare, draw and print."""
        from nasgym.report.figures import improvements
        from nasgym.report.plotting import write

        comparison = compare(self.runs, self.every)
        write(improvements(comparison), self.out)
        if self.json:
            print(json.dumps({**comparison.to_plain(), "picture": str(self.out)}))
            return
        for improvement in comparison.improvements:
            _print(improvement, comparison)
        say(f"figure: {self.out}")


def _print(improvement: Improvement, comparison: AgentComparison) -> None:
    """Print a table of the mean differences at every point."""
    say(
        f"{comparison.env}: {improvement.agent} (n = {improvement.seeds}) over "
        f"{comparison.baseline} (n = {comparison.seeds}), in {comparison.unit}"
    )
    table = Table("children", *(f"top {top}" for top in TOPS), box=None)
    means = improvement.differences.mean(axis=0)
    for children, row in zip(comparison.children, means, strict=True):
        cells = ("too few" if value != value else f"{value:+.3g}" for value in row)
        table.add_row(f"{children:,}", *cells)
    OUT.print(table)
