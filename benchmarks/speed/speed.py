"""Speed: every hot path against the naive way, on this machine, in one run of a few minutes.

python -m nasgym.benchmarks.speed [--json] [--only P12 P13]

Ours and the naive way take turns on one thread; the least CPU time of at least five turns counts.
In one run of 4:23 minutes on two cores of an AMD EPYC with AVX2 and without bfloat16 instructions,
otherwise idle (Python 3.11, torch 2.13, numpy 2.4, Gymnasium 1.4): children train 1.4 to 1.7 times
as fast as the naive way and cost 47 ms for a process each; input 29, environment steps 15, sampling
and updates of the controller 6 times as fast; a search with a free reward finishes 922
architectures a second.
"""

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

import torch
import tyro
from rich.box import MARKDOWN
from rich.console import Console
from rich.live import Live
from rich.table import Table

from nasgym.benchmarks.clock import Effort
from nasgym.benchmarks.measurement import Measurement, machine
from nasgym.benchmarks.scale import driver
from nasgym.benchmarks.speed import language as language_speed
from nasgym.benchmarks.speed import scheduling as scheduling_speed
from nasgym.benchmarks.speed import search as search_speed
from nasgym.benchmarks.speed import training as training_speed
from nasgym.execution.json_process import ONE_THREAD

MEASUREMENTS: Mapping[str, Callable[[Effort], Measurement]] = {
    "P1": training_speed.large_child,
    "P2": training_speed.small_child,
    "P4": training_speed.input_pipeline,
    "P5": training_speed.validation,
    "P6": training_speed.two_processes,
    "P7": training_speed.digits,
    "P8": training_speed.isolation,
    "P9": scheduling_speed.utilisation,
    "P10": scheduling_speed.ray_against_pool,
    "P11": language_speed.language_model,
    "P12": search_speed.stepping,
    "P13": search_speed.sampling,
    "P14": search_speed.policy_gradient,
    "feeding": scheduling_speed.feeding,
    "workers": driver.keeping_busy,
    "proposal": search_speed.proposing,
    "loop": search_speed.whole_search,
    "import": search_speed.importing,
}
"""What is measured, by its name in the JSON."""


PAGE = 120
"""Columns of the table where there is no terminal."""

FULL = Effort()

NO_BFLOAT16 = """\
This processor has no bfloat16 instructions: children are trained in float32, and P1, P2 and P5
cannot be expected to reach what is wanted of processors that have them."""


@dataclass(frozen=True)
class Speed:
    """Measure every hot path of nasgym against the naive way, in a few minutes."""

    only: tuple[str, ...] = ()
    """Names of what to measure: P1, P2, ...; everything if there is none."""
    json: bool = False
    """Write one JSON object; the table then goes to standard error."""

    def __post_init__(self) -> None:
        for name in self.only:
            if name not in MEASUREMENTS:
                raise ValueError(f"{name!r} is not measured, only {', '.join(MEASUREMENTS)}")

    def main(self, effort: Effort = FULL) -> None:
        """Measure, and show each result as it comes."""
        console, about = Console(stderr=self.json), machine()
        if not console.is_terminal:
            console.width = PAGE
        console.print(", ".join(f"{name} {value}" for name, value in about.items()))
        if not about["bfloat16"]:
            console.print(NO_BFLOAT16)
        results = measure(self.only or able(console), effort, console)
        console.print()
        for name, result in results.items():
            if result.note:
                console.print(f"{name}: {result.note}.")
        if self.json:
            plain = {name: result.to_plain() for name, result in results.items()}
            print(json.dumps({"machine": about, **plain}, indent=2))


def able(console: Console) -> tuple[str, ...]:
    """Return the names of what can be measured here, and say what cannot."""
    if find_spec("ray") is not None:
        return tuple(MEASUREMENTS)
    console.print(f"{', '.join(scheduling_speed.ON_RAY)} need Ray: pip install 'nasgym[ray]'")
    return tuple(name for name in MEASUREMENTS if name not in scheduling_speed.ON_RAY)


def measure(names: Sequence[str], effort: Effort, console: Console) -> dict[str, Measurement]:
    """Measure what `names` says, one after the other; the table grows meanwhile."""
    results: dict[str, Measurement] = {}
    with Live(console=console, auto_refresh=False) as live:
        for count, name in enumerate(names, start=1):
            progress = f"measuring {name}, {count} of {len(names)} ..."
            live.update(table(results, progress), refresh=True)
            if not console.is_terminal:  # the table is shown at the end only
                console.print(progress)
            results[name] = MEASUREMENTS[name](effort)
        live.update(table(results), refresh=True)
    return results


def table(results: Mapping[str, Measurement], caption: str | None = None) -> Table:
    """Return the results so far; what has not reached its target is in another colour."""
    shown = Table("", "what", box=MARKDOWN, caption=caption)
    for heading in ("ours", "naive", "ratio", "wanted"):
        shown.add_column(heading, justify="right")
    shown.add_column("unit")
    for name, result in results.items():
        numbers = map(number, (result.ours, result.baseline, result.ratio, result.target))
        ours, naive, ratio, target = numbers
        wanted = f"{target}x" if result.aim == "ratio" else target
        colour = None if result.reached else "yellow"
        row = (name, result.what, ours, naive, f"{ratio}x", wanted, result.unit)
        shown.add_row(*row, style=colour)
    return shown


def number(value: float) -> str:
    """Return `value` with three digits or, if it has more, all before the point."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what the command line asks for."""
    command = tyro.cli(Speed, args=arguments)
    if any(os.environ.get(name) != value for name, value in ONE_THREAD.items()):
        # numpy asks for the number of threads when it is imported, which has happened.
        command_line = [sys.executable, "-m", "nasgym.benchmarks.speed", *sys.argv[1:]]
        os.execve(sys.executable, command_line, os.environ | ONE_THREAD)
    torch.set_num_threads(1)
    command.main()


if __name__ == "__main__":
    main()
