"""What a final training shows while it runs: a live panel in a terminal, plain lines elsewhere."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from nasgym.commands.live import Panel, write_line

if TYPE_CHECKING:
    from nasgym.training.final.run import Step

PHASES = {"grid": "grid point", "training": "epoch"}
"""What a step of each phase is."""


class StepDisplay(Panel):
    """Shows each step of a final training."""

    def __init__(self, console: Console, *, as_json: bool = False) -> None:
        """Show nothing yet; see `Panel`."""
        super().__init__(console, as_json=as_json)
        self._last: dict[str, Step] = {}
        self._seconds: list[float] = []

    def show(self, step: "Step") -> None:
        """Take in a step."""
        if step.phase not in self._last:
            self._seconds = []
        self._last[step.phase] = step
        if step.seconds:
            self._seconds.append(step.seconds)
        if self.as_json:
            write_line(self.console.file, json.dumps(asdict(step)))
        elif self._live is None:
            left = f"  {self._left(step)} left" if step.done < step.total else ""
            write_line(
                self.console.file,
                f"{PHASES[step.phase]} {step.done}/{step.total}  {_outcome(step)}{left}",
            )

    def _left(self, step: "Step") -> str:
        """Return the time left in the phase at its mean pace, as h:mm:ss."""
        if not self._seconds:
            return "?"
        pace = sum(self._seconds) / len(self._seconds)
        seconds = round(pace * (step.total - step.done))
        return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"

    def __rich__(self) -> Table:
        """Return the panel as it is now."""
        table = Table.grid(padding=(0, 3))
        for step in self._last.values():
            full = round(30 * step.done / step.total)
            bar = "[green]" + "━" * full + "[dim]" + "━" * (30 - full) + "[/dim][/green]"
            table.add_row(bar, f"{PHASES[step.phase]} {step.done} of {step.total}")
            table.add_row("the last", _outcome(step))
            if step.done < step.total:
                table.add_row("time left", self._left(step))
        return table


def _outcome(step: "Step") -> str:
    """Return what a step brought, in words."""
    if step.phase == "training":
        return _numbers(step.outcome, "loss", "perplexity", "accuracy")
    evaluation = step.outcome["evaluation"]
    brought = {**evaluation["metrics"], "accuracy": evaluation["accuracy"]}
    numbers = _numbers(brought, "perplexity", "accuracy")
    return numbers if evaluation["status"] == "ok" else evaluation["error"]


def _numbers(values: Mapping[str, Any], *names: str) -> str:
    return "  ".join(f"{name} {values[name]:.4g}" for name in names if name in values)
