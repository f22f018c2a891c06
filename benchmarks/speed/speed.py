"""The speed benchmark: every hot path against a naive implementation, in a few minutes.

python -m nasgym.benchmarks.speed [--json] [--only P12 P13]

Ours and the naive implementation take turns on one thread; the least CPU time of at least five
turns counts. One run took 4:23 minutes on two otherwise idle cores of an AMD EPYC with AVX2 and
without bfloat16 instructions (Python 3.11, torch 2.13, numpy 2.4, Gymnasium 1.4). Children train
1.4 to 1.7 times as fast as the naive way, and their processes cost 47 ms each. Input is 29 times as
fast, environment steps 15 times, sampling and updates of the controller 6 times. A search with a
constant reward finishes 922 architectures per second.
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

from nasgym.benchmarks.measurement import Effort, Measurement, machine
from nasgym.benchmarks.speed import language as language_speed
from nasgym.benchmarks.speed import scheduling as scheduling_speed
from nasgym.benchmarks.speed import search as search_speed
from nasgym.benchmarks.speed import training as training_speed
from nasgym.errors import InvalidInput
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
    "workers": scheduling_speed.keeping_busy,
    "proposal": search_speed.proposing,
    "loop": search_speed.whole_search,
    "import": search_speed.importing,
}
"""The measurements by name, as on the command line and in the JSON."""

PAGE = 120
"""Width of the table in columns if the output is no terminal."""

FULL = Effort()

NO_BFLOAT16 = """\
This processor has no bfloat16 instructions. Children train in float32, so P1, P2 and P5 may miss
their targets, which are for processors that have them."""


@dataclass(frozen=True)
class SpeedBenchmark:
    """Measure every hot path of nasgym against a naive implementation, in a few minutes."""

    only: tuple[str, ...] = ()
    """Names of measurements, such as P1 P2. [all]"""
    json: bool = False
    """Print one JSON object; the table goes to standard error."""

    def __post_init__(self) -> None:
        for name in self.only:
            if name not in MEASUREMENTS:
                raise InvalidInput(
                    f"no measurement {name!r}; choose from {', '.join(MEASUREMENTS)}"
                )

    def main(self, effort: Effort = FULL) -> None:
        """Measure, and show each result as soon as it is known."""
        console, about = Console(stderr=self.json), machine()
        if not console.is_terminal:
            console.width = PAGE
        console.print(", ".join(f"{name} {value}" for name, value in about.items()))
        if not about["bfloat16"]:
            console.print(NO_BFLOAT16)
        results = measure(self.only or available(console), effort, console)
        console.print()
        for name, result in results.items():
            if result.note:
                console.print(f"{name}: {result.note}.")
        if self.json:
            plain = {name: result.to_plain() for name, result in results.items()}
            print(json.dumps({"machine": about, **plain}, indent=2))


def available(console: Console) -> tuple[str, ...]:
    """Return the names of the measurements possible here, and print which need Ray."""
    if find_spec("ray") is not None:
        return tuple(MEASUREMENTS)
    console.print(f"{', '.join(scheduling_speed.ON_RAY)} need Ray: pip install 'nasgym[ray]'")
    return tuple(name for name in MEASUREMENTS if name not in scheduling_speed.ON_RAY)


def measure(names: Sequence[str], effort: Effort, console: Console) -> dict[str, Measurement]:
    """Run the measurements `names` in order and show a growing table."""
    results: dict[str, Measurement] = {}
    with Live(console=console, auto_refresh=False) as live:
        for count, name in enumerate(names, start=1):
            progress = f"measuring {name}, {count} of {len(names)} ..."
            live.update(table(results, progress), refresh=True)
            if not console.is_terminal:  # which shows the table only at the end
                console.print(progress)
            results[name] = MEASUREMENTS[name](effort)
        live.update(table(results), refresh=True)
    return results


def table(results: Mapping[str, Measurement], caption: str | None = None) -> Table:
    """Return the results so far; rows that miss their target are yellow."""
    shown = Table("", "what", box=MARKDOWN, caption=caption)
    for heading in ("ours", "naive", "ratio", "target"):
        shown.add_column(heading, justify="right")
    shown.add_column("unit")
    for name, result in results.items():
        numbers = map(number, (result.ours, result.baseline, result.ratio, result.target))
        ours, naive, ratio, target = numbers
        target = f"{target}x" if result.aim == "ratio" else target
        colour = None if result.reached else "yellow"
        row = (name, result.what, ours, naive, f"{ratio}x", target, result.unit)
        shown.add_row(*row, style=colour)
    return shown


def number(value: float) -> str:
    """Return `value` with three digits, or all digits before the point if there are more."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the measurements that the command line names."""
    command = tyro.cli(SpeedBenchmark, args=arguments)
    if any(os.environ.get(name) != value for name, value in ONE_THREAD.items()):
        # numpy reads the number of threads when it is imported, so start again.
        command_line = [sys.executable, "-m", "nasgym.benchmarks.speed", *sys.argv[1:]]
        os.execve(sys.executable, command_line, os.environ | ONE_THREAD)
    torch.set_num_threads(1)
    command.main()
