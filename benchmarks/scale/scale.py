"""The scale benchmark: how many workers one driver keeps busy, and its cost of a million children.

python -m nasgym.benchmarks.scale [--only random-800 waves-800] [--out runs/scale]

Children are simulated (see `nasgym.benchmarks.scale.simulation`); agents, environment, scheduler
and archive are real. Each row runs in a separate process. Rows whose results are in `--out` are
shown and not run again.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import tyro
from matplotlib.figure import Figure
from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table

from nasgym.benchmarks.leaderboard.scores import Floats
from nasgym.benchmarks.measurement import machine
from nasgym.benchmarks.scale.driver import Scenario, SimulationResult, simulate
from nasgym.drawing.palette import BLUE, GREY, ORANGE, series
from nasgym.errors import InvalidInput
from nasgym.files import write_atomically
from nasgym.report.plotting import logarithmic, styled, write

WORKERS = (8, 80, 800, 8_000)

PAPER = 12_800
"""Children of the paper's search (Zoph & Le 2017, section 4.1)."""

MILLION = 1_000_000

WIDTH = 200
"""Width of the table in columns if the output is no terminal."""


def children(workers: int) -> int:
    """Return a budget that fills `workers` workers ten times or more."""
    return max(PAPER, 10 * workers)


def paper(agent: str, durations: str = "exponential", **options: object) -> Scenario:
    """Return the paper's search: 800 workers, 12,800 children, at most 6 layers, growing to 20."""
    return Scenario(agent, 800, PAPER, options, grows=True, durations=durations)


SERVER = "reinforce_async"
PRESET = "paper-cifar10"

SCENARIOS: Mapping[str, Scenario] = {
    **{f"random-{n}": Scenario("random", n, children(n), asynchronous=True) for n in WORKERS},
    **{f"waves-{n}": Scenario("random", n, children(n)) for n in WORKERS},
    "random-800-constant": Scenario("random", 800, PAPER, durations="constant", asynchronous=True),
    "random-800-log-normal": Scenario(
        "random", 800, PAPER, durations="log-normal", asynchronous=True
    ),
    "waves-800-log-normal": Scenario("random", 800, PAPER, durations="log-normal"),
    "random-800-1-second": Scenario("random", 800, PAPER, seconds=1.0, asynchronous=True),
    "random-800-failing": Scenario(
        "random", 800, PAPER, failures=0.02, kills=0.02, asynchronous=True
    ),
    "evolution-800": Scenario("evolution", 800, PAPER, asynchronous=True),
    "paper-waves": paper("reinforce", batch=800),
    "paper-waves-log-normal": paper("reinforce", "log-normal", batch=800),
    "paper-server": paper(SERVER, preset=PRESET),
    "paper-server-log-normal": paper(SERVER, "log-normal", preset=PRESET),
    "paper-server-300": paper(SERVER, preset=PRESET, replicas=300),
    "paper-server-300-log-normal": paper(SERVER, "log-normal", preset=PRESET, replicas=300),
    "random-800-million": Scenario("random", 800, MILLION, asynchronous=True),
}
"""The rows of the table by name."""


@dataclass(frozen=True)
class ScaleBenchmark:
    """Simulate searches with thousands of workers and show the cost for their driver."""

    only: tuple[str, ...] = ()
    """Names of rows. [all]"""
    out: Path = Path("runs/scale")
    """Folder of the results, one file per row."""
    archives: Path | None = None
    """Folder for the archives while they are written. [a temporary folder]"""
    children: int | None = None
    """Maximum children of any row, for a quick look."""
    figure: Path | None = None
    """File for a picture of the rows, such as scale.png."""

    def __post_init__(self) -> None:
        for name in self.only:
            if name not in SCENARIOS:
                raise InvalidInput(f"no row {name!r}; choose from {', '.join(SCENARIOS)}")
        if self.children is not None and self.children < 1:
            raise InvalidInput(f"children must be at least 1, not {self.children}")

    def main(self) -> None:
        """Run the missing rows, then show all of them."""
        console = Console()
        if not console.is_terminal:
            console.width = WIDTH
        rows: dict[str, tuple[Scenario, SimulationResult]] = {}
        for name in self.only or SCENARIOS:
            scenario = self._scenario(name)
            path = self.out / f"{name}-{scenario.children}.json"
            if not path.exists():
                print(f"simulating {name}, {scenario.children:,} children ...", file=sys.stderr)
                self._run(scenario, path)
            stored = json.loads(path.read_text())
            rows[name] = scenario, SimulationResult.from_plain(stored["outcome"])
        console.print(table(rows))
        if self.figure is not None:
            print(write(picture(rows), self.figure))

    def _scenario(self, name: str) -> Scenario:
        scenario = SCENARIOS[name]
        if self.children is None or scenario.children <= self.children:
            return scenario
        return replace(scenario, children=self.children)

    def _run(self, scenario: Scenario, path: Path) -> None:
        """Simulate in a new process, which has no other memory, and store the result."""
        path.parent.mkdir(parents=True, exist_ok=True)
        spawn = get_context("spawn")
        with TemporaryDirectory(dir=self.archives) as folder:
            archive = Path(folder) / "archive.db"
            with ProcessPoolExecutor(1, mp_context=spawn) as pool:
                result = pool.submit(simulate, scenario, archive).result()
        plain = {"machine": machine(), "scenario": asdict(scenario), "outcome": result.to_plain()}
        write_atomically(path, json.dumps(plain))


def table(rows: Mapping[str, tuple[Scenario, SimulationResult]]) -> Table:
    """Return a table with a row per search; ages are medians, with 95th percentiles."""
    shown = Table("search", box=MARKDOWN)
    headings = (
        *("workers", "children", "utilised", "while fed", "trials old", "versions old"),
        *("children/s", "first µs", "last µs", "ratio", "archive B", "peak MB", "grows B"),
    )
    for heading in headings:
        shown.add_column(heading, justify="right", no_wrap=True)
    for name, (scenario, result) in rows.items():
        shown.add_row(name, *_cells(scenario, result))
    return shown


def _cells(scenario: Scenario, result: SimulationResult) -> list[str]:
    first, last = result.microseconds(scenario.workers)
    count = scenario.children
    return [
        f"{scenario.workers:,}",
        f"{count:,}",
        f"{result.utilisation:.3f}",
        f"{result.utilisation_while_fed:.3f}",
        _ages(result.staleness),
        _ages(result.updates),
        f"{count / result.cpu:,.0f}",
        f"{first:,.0f}",
        f"{last:,.0f}",
        f"{last / first:.2f}",
        f"{result.stored / count:,.0f}",
        f"{result.peak / 1e6:,.0f}",
        f"{result.growth:,.0f}",
    ]


def _ages(counts: Mapping[int, int]) -> str:
    """Return the median and the 95th percentile."""
    if not counts:
        return ""
    ages = np.array(sorted(counts))
    below = np.cumsum([counts[age] for age in ages]) / sum(counts.values())
    median, most = (ages[np.searchsorted(below, share)] for share in (0.5, 0.95))
    return f"{median:,} ({most:,})"


def harmonic(count: int) -> float:
    """Return 1 + 1/2 + ... + 1/count: the mean maximum of `count` exponential durations of mean 1.

    In waves, `count` workers are therefore busy for one over this number of their time.
    """
    return float((1 / np.arange(1, count + 1)).sum())


@styled
def picture(rows: Mapping[str, tuple[Scenario, SimulationResult]]) -> Figure:
    """Draw utilisation over workers, and the driver's cost per child as the archive grows."""
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    busy, cost = figure.subplots(1, 2)
    expected = np.unique(np.geomspace(1, max(WORKERS), 60).round().astype(int))
    busy.plot(expected, [1 / harmonic(n) for n in expected], color=GREY, label="waves, expected")
    for kind, colour in (("random", BLUE), ("waves", ORANGE)):
        points = [rows[f"{kind}-{n}"] for n in WORKERS if f"{kind}-{n}" in rows]
        label = "as soon as a worker is free" if kind == "random" else "waves, simulated"
        counts = [scenario.workers for scenario, _ in points]
        shares = [result.utilisation_while_fed for _, result in points]
        busy.plot(counts, shares, "o-", color=colour, label=label)
    logarithmic(busy, "x")
    busy.set(ylim=(0, 1.03), xlabel="workers", ylabel="utilisation")
    busy.set_title("Share of busy workers, exponential durations")
    busy.legend(loc="center right")
    long = {
        name: (scenario, result)
        for name, (scenario, result) in rows.items()
        if scenario.asynchronous and scenario.children > 2 * PAPER
    }
    for (name, (scenario, result)), colour in zip(long.items(), series(len(long)), strict=True):
        label = f"{name.partition('-')[0]}, {scenario.workers:,} workers"
        cost.plot(*_cost_over_children(result, scenario.workers), color=colour, label=label)
    logarithmic(cost, "x")
    cost.set(ylim=(0, None), xlabel="children", ylabel="CPU µs per child")
    cost.set_title("The driver's CPU time")
    if cost.lines:
        cost.legend(loc="lower right")
    return figure


def _cost_over_children(result: SimulationResult, workers: int) -> tuple[Floats, Floats]:
    """Return (children, µs per child) at logarithmic steps, up to the last proposal."""
    children, cpu, _ = np.array(result.samples).T
    points = np.geomspace(max(children[0], 1_000), children[-1] - workers, 40)
    taken = np.interp(points, children, cpu)
    return np.sqrt(points[1:] * points[:-1]), 1e6 * np.diff(taken) / np.diff(points)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the rows that the command line names."""
    tyro.cli(ScaleBenchmark, args=arguments).main()
