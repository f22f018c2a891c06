"""`nasgym results`: show the tables of the paper together with our own results."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from rich import table as rich

from nasgym.analysis.paper_tables import (
    TABLES,
    OwnResult,
    shipped_results,
    to_plain,
    trained_result,
)
from nasgym.commands.console import OUT, say
from nasgym.commands.flags import default
from nasgym.errors import InvalidInput


@dataclass(frozen=True)
class Results:
    """Show the paper's tables with the results of networks trained here, marked as such."""

    folders: Annotated[tuple[Path, ...], tyro.conf.Positional] = ()
    """Folders of `nasgym train` whose results to add to the tables."""
    table: Annotated[str | None, default("all, or those of the folders")] = None
    """Show one table: cifar10, ptb or ptb-characters."""
    json: bool = False
    """Print JSON instead of text."""

    def main(self) -> None:
        """Print the tables."""
        mine = [trained_result(folder) for folder in self.folders]
        names = self._names(mine)
        rows = shipped_results() + mine
        if self.json:
            print(json.dumps([to_plain(name, rows) for name in names]))
            return
        for name in names:
            _print(name, [row for row in rows if row.table == name])

    def _names(self, mine: Sequence[OwnResult]) -> list[str]:
        if self.table is None:
            return list(dict.fromkeys(row.table for row in mine)) or list(TABLES)
        if self.table not in TABLES:
            raise InvalidInput(f"table {self.table!r} is none of {', '.join(TABLES)}")
        return [self.table]


def _print(name: str, mine: Sequence[OwnResult]) -> None:
    """Print one table with our own rows last; below it their budgets and commands."""
    table = TABLES[name]
    shown = rich.Table(title=table.title, title_justify="left", box=None)
    layered = any(row.depth for row in table.rows)
    shown.add_column("model")
    for heading in (*["layers"] * layered, "parameters", table.measure):
        shown.add_column(heading, justify="right")

    def add(model: str, depth: int | None, parameters: str, value: float) -> None:
        layers = [str(depth or "")] * layered
        shown.add_row(model, *layers, parameters, f"{value:.{table.decimals}f}")

    for row in table.rows:
        parameters = "" if row.parameters is None else _millions(row.parameters)
        add(row.model, row.depth, "about " * row.estimated + parameters, row.value)
    for number, own in enumerate(mine, start=1):
        add(f"trained here ({number}): {own.model}", None, _millions(own.parameters), own.value)
    OUT.print(shown)
    for number, own in enumerate(mine, start=1):
        say(f"({number}) {own.budget}: {own.command}")
    say("")


def _millions(parameters: int) -> str:
    return f"{parameters / 1e6:.4g}M" if parameters >= 100_000 else f"{parameters:,}"
