"""Control experiments, with an equal budget for all networks.

python -m nasgym.benchmarks.experiments.ablations cells --corpus ptb --seeds 3
python -m nasgym.benchmarks.experiments.ablations skips runs/cifar --seeds 3

"cells" trains an LSTM, the published cells and random cells in the same language model, with equal
parameters and equal text. "skips" trains a network as found, without skip connections, and with all
of them (Zoph & Le 2017, section 4.1: 5.50, 7.97 and 5.56 % test error).
"""

import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro
from rich.box import MARKDOWN
from rich.console import Console
from rich.progress import track
from rich.table import Table

from nasgym.environments.options import ImageOptions
from nasgym.errors import InvalidInput
from nasgym.evaluation.evaluation import Evaluation
from nasgym.networks import zoo
from nasgym.options import parse_options
from nasgym.search.run import Run
from nasgym.spaces import ConvArchitecture, RecurrentSpace, read
from nasgym.training.evaluator import TrainingEvaluator
from nasgym.training.image.evaluator import ImageEvaluator
from nasgym.training.text.evaluator import TextEvaluator

Evaluations = Mapping[str, Sequence[Evaluation]]
"""Evaluations of each network, one per seed, by the network's name."""


@dataclass(frozen=True)
class Cells:
    """Train an LSTM, the published cells and random cells with equal budgets."""

    corpus: str = "documentation"
    """Text: "documentation", "ptb" or the path of your own."""
    seeds: int = 3
    """Seeds 0, 1, ... of each cell."""
    random: int = 3
    """Number of random cells of base 8."""
    workers: int | None = None
    """Children trained at the same time. [one per core]"""
    set: Annotated[tuple[tuple[str, ...], ...], tyro.conf.UseAppendAction] = ()
    """Training options, such as train_size=100000 parameters=1000000."""

    def main(self) -> None:
        """Train all networks and print the table."""
        space, rng = RecurrentSpace(), np.random.default_rng(0)
        cells: dict[str, Any] = {
            "LSTM": zoo.LSTM,
            "NASCell": zoo.NAS_CELL,
            "max/sin cell": zoo.NAS_CELL_MAX_SIN,
        }
        for number in range(self.random):
            cells[f"random cell {number}"] = space.decode(space.sample(rng))
        options = parse_options(self.set)

        def children(seed: int) -> TextEvaluator:
            return TextEvaluator(self.corpus, seed=seed, workers=self.workers, **options)

        _report(_trained(cells, [children(seed) for seed in range(self.seeds)]), "perplexity")


@dataclass(frozen=True)
class Skips:
    """Train the best network of a run: as found, without and with all skip connections."""

    run: Annotated[Path, tyro.conf.Positional]
    """Folder of the run; the training has the same options."""
    seeds: int = 3
    """Seeds 0, 1, ... of each network; they also decide which images are for validation."""
    workers: int | None = None
    """Children trained at the same time. [one per core]"""
    set: Annotated[tuple[tuple[str, ...], ...], tyro.conf.UseAppendAction] = ()
    """Training options that differ from the run's, such as epochs=20."""

    def main(self) -> None:
        """Train all networks and print the table."""
        run = Run(self.run)
        with closing(run.archive()) as archive:
            best = archive.best()
        found = None if best is None else read(best.architecture)
        if not isinstance(found, ConvArchitecture):
            raise InvalidInput(f"{self.run} has no trained convolutional network")
        networks = {
            "as found": found,
            "all skips removed": zoo.chain(found),
            "all skips present": zoo.dense(found),
        }
        given = {**run.plan.options, **parse_options(self.set), "workers": self.workers}
        problem = ImageOptions.of(given)

        def children(seed: int) -> ImageEvaluator:
            return replace(problem, seed=seed).evaluator()

        _report(_trained(networks, [children(seed) for seed in range(self.seeds)]), "accuracy")


def _trained(networks: Mapping[str, Any], evaluators: Sequence[TrainingEvaluator]) -> Evaluations:
    """Train every network with every evaluator; the evaluators differ in their seeds."""
    results: dict[str, list[Evaluation]] = {name: [] for name in networks}
    for seed, evaluator in enumerate(evaluators):
        with closing(evaluator):
            names = dict(zip(evaluator.submit(list(networks.values())), networks, strict=True))
            finished = (one for _ in names for one in evaluator.finished())
            console = Console(stderr=True)
            for ticket, evaluation in track(
                finished, f"seed {seed}", len(networks), console=console
            ):
                results[names[ticket]].append(evaluation)
    return results


def _report(results: Evaluations, measure: str) -> None:
    """Print the mean and all values of each network, as a table and as JSON."""
    table = Table("network", "parameters", measure, "each seed", "failed", "seconds", box=MARKDOWN)
    for name, evaluations in results.items():
        good = [one for one in evaluations if one.status == "ok"]
        values = [one.metrics.get(measure, one.accuracy) for one in good]
        table.add_row(
            name,
            f"{good[0].metrics['parameters']:,}" if good else "",
            f"{np.mean(values):.4g}" if good else "",
            " ".join(f"{value:.4g}" for value in values),
            str(len(evaluations) - len(good)),
            f"{np.mean([one.seconds for one in evaluations]):.0f}",
        )
    Console(width=120).print(table)
    print(json.dumps({name: [one.to_plain() for one in each] for name, each in results.items()}))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the experiment that the command line names."""
    tyro.extras.subcommand_cli_from_dict({"cells": Cells, "skips": Skips}, args=arguments).main()


if __name__ == "__main__":
    main()
