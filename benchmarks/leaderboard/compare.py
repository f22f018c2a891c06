"""Compare agents on one environment at equal budgets: a table, and all curves in one picture.

python -m nasgym.benchmarks.leaderboard.compare NAS-Digits-v0 --agents random reinforce:preset=short \
    --seeds 3 --children 300 --out runs/compare

Runs what is missing and goes on where it was stopped. An agent may carry options after a colon.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from matplotlib.figure import Figure
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from nasgym.archive import Trial
from nasgym.benchmarks.leaderboard.naming import file_name, parse_name
from nasgym.commands.live import Display, Progress
from nasgym.drawing.palette import series
from nasgym.environments.study import Task
from nasgym.files import replacing
from nasgym.options import parse_options
from nasgym.report.charts import WINDOW, moving_mean
from nasgym.report.plotting import banded, styled, write
from nasgym.search.plan import Plan
from nasgym.search.run import Run


@dataclass(frozen=True)
class Comparison:
    """Which agents to compare, on what, for how long."""

    env: Annotated[str, tyro.conf.Positional]
    """Id of the environment."""
    agents: tuple[str, ...] = ("random", "reinforce:preset=short")
    """Agents, each perhaps with options: "name:option=value,option=value"."""
    seeds: int = 3
    """Seeds 0, 1, ... of each agent."""
    children: int = 300
    """Budget of each run."""
    last: int = 50
    """Children at the end of a run whose rewards are averaged."""
    out: Path = Path("runs/compare")
    """Folder of all runs, `compare.json` and `compare.png`."""
    set: tuple[str, ...] = ()
    """Options of the environment."""

    def main(self) -> None:
        """Run what is missing, print the table and draw the curves."""
        rewards = {agent: self._rewards(agent) for agent in self.agents}
        Console().print(self._table(rewards))
        rows = {agent: values.tolist() for agent, values in rewards.items()}
        with replacing(self.out / "compare.json") as part:
            part.write_text(json.dumps({"env": self.env, "set": self.set, "rewards": rows}))
        print(write(curves(rewards, self.env), self.out / "compare.png"))

    def _rewards(self, agent: str) -> NDArray[np.float64]:
        """Return the rewards of an agent's runs, (seeds, children)."""
        return np.array([self._run(agent, seed) for seed in range(self.seeds)])

    def _run(self, agent: str, seed: int) -> list[float]:
        name, options = parse_name(agent)
        plan = Plan(
            self.env,
            name,
            self.children,
            seed=seed,
            env_options=parse_options(self.set),
            agent_options=options,
        )
        run = Run(self.out / f"{file_name(agent)}-{seed}", plan)
        console = Console(stderr=True)
        console.print(f"{agent}, seed {seed}")

        def listeners(task: Task) -> list[Callable[[Trial], None]]:
            progress = Progress(len(task.archive), self.children, task.archive.best())
            return [Display(progress, console).show]

        run.search(listeners)
        return [trial.reward for trial in run.archive()][: self.children]

    def _table(self, rewards: dict[str, NDArray[np.float64]]) -> Table:
        table = Table(title=f"{self.env}: {self.seeds} seeds x {self.children} children")
        for heading in ("agent", f"mean of the last {self.last}", "best", "above the first agent"):
            table.add_column(heading)
        first = next(iter(rewards.values()))[:, -self.last :]
        for agent, values in rewards.items():
            final = values[:, -self.last :]
            table.add_row(
                agent,
                f"{final.mean():.4f} ± {standard_error(final):.4f}",
                f"{values.max(axis=1).mean():.4f}",
                f"{(final.mean() - first.mean()) / difference_error(final, first):+.1f} s.e.",
            )
        return table


def standard_error(rewards: NDArray[np.float64]) -> float:
    """Return the standard error of the mean of (seeds, children) rewards, over all children."""
    return float(rewards.std(ddof=1) / np.sqrt(rewards.size))


def difference_error(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Return the standard error of the difference of two means."""
    return float(np.hypot(standard_error(one), standard_error(other)))


@styled
def curves(rewards: dict[str, NDArray[np.float64]], title: str) -> Figure:
    """Draw each agent's moving mean reward and its best so far, averaged over the seeds."""
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    mean, best = figure.subplots(1, 2)
    for colour, (agent, values) in zip(series(len(rewards)), rewards.items(), strict=True):
        children = np.arange(1, values.shape[1] + 1)
        banded(mean, children, np.array([moving_mean(row) for row in values]), agent, colour)
        banded(best, children, np.maximum.accumulate(values, axis=1), agent, colour)
    mean.set_title(f"Mean reward of the last {WINDOW} children")
    best.set_title("Best reward so far")
    lowest = min(float(np.quantile(values, 0.25)) for values in rewards.values())
    best.set_ylim(bottom=lowest)
    for axes in (mean, best):
        axes.set_xlabel("children")
    mean.legend()
    figure.suptitle(title)
    return figure


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the comparison the command line asks for."""
    tyro.cli(Comparison, args=arguments).main()


if __name__ == "__main__":
    main()
