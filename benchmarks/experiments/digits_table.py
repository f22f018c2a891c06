"""Makes NAS-Digits-Table: trains every network of a small space.

python -m nasgym.benchmarks.experiments.digits_table --seeds 3 --workers 2 --out runs/digits-table

It trains each network of the space "digits-table" on the digits with the recipe "short", once per
seed, and tests it. The seed decides the weights, the batches and the validation images. 4,320
networks and 3 seeds take 40 core-minutes. Results are stored as they finish, so a second start
resumes. The last step writes `digits.npz`, the file in the package.
"""

import json
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from numpy.typing import NDArray

from nasgym.archive import Archive
from nasgym.evaluation.cache import EvaluationCache
from nasgym.evaluation.evaluation import Evaluation
from nasgym.execution import machine
from nasgym.execution.machine import cores
from nasgym.execution.placement import Placement
from nasgym.files import replacing
from nasgym.spaces import PRESETS
from nasgym.spaces.base import SearchSpace
from nasgym.training.evaluator import TrainingEvaluator
from nasgym.training.image.recipe import IMAGE_RECIPES

SPACE = "digits-table"
RECIPE = "short"
JOB = "nasgym.benchmarks.experiments.digits_table:job"
AT_ONCE = 100
"""Networks trained between two updates of the progress bar."""


class ExhaustiveEvaluator(TrainingEvaluator):
    """Trains each child once per seed and tests it."""

    def __init__(self, seeds: int, workers: int | None) -> None:
        """Train with the seeds from 0 to `seeds` - 1."""
        super().__init__(
            JOB,
            IMAGE_RECIPES[RECIPE],
            {"seeds": seeds},
            f"digits, {seeds} seeds, tested",
            seed=0,
            epochs=IMAGE_RECIPES[RECIPE].epochs,
            samples=0,
            latency=False,
            placement=Placement(workers, device="cpu"),
            packed=bytes,
        )

    def work(self, architecture: Any) -> float:
        """Return the same for all, because the order does not matter."""
        return 0.0


def job(settings: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """Load the digits once for each of `settings["seeds"]`; return a job that trains one network.

    The metrics of its evaluation are lists with one value per seed, "valid" and "test" (images
    classified correctly) and "seconds", and the network's "parameters" and "flops".
    """
    import torch

    from nasgym.data import load
    from nasgym.data.final import load_test
    from nasgym.networks import flops, parameters
    from nasgym.spaces import read
    from nasgym.training.determinism import child_seed, configure_process
    from nasgym.training.image.batches import prepare
    from nasgym.training.image.job import WARM_UP
    from nasgym.training.image.loop import initial_network, train, validate
    from nasgym.training.image.recipe import ImageRecipe

    configure_process()
    recipe = ImageRecipe(**settings["recipe"])
    dtype = getattr(torch, settings["precision"])
    images, labels = load_test("digits")
    data = [load("digits", seed=seed) for seed in range(settings["seeds"])]
    training = [prepare(one, recipe, dtype) for one in data]
    tests = [
        prepare(replace(one, valid_images=images, valid_labels=labels), recipe, dtype)
        for one in data
    ]
    shape, classes = data[0].input_shape, data[0].classes
    # Warm up, so that no child's seconds include one-time work such as an import of 2 s.
    train(
        initial_network(WARM_UP, shape, classes, seed=0), training[0], replace(recipe, epochs=1), 0
    )

    def run(task: Mapping[str, Any]) -> dict[str, Any]:
        architecture = read(task["architecture"])
        metrics: dict[str, Any] = {"valid": [], "test": [], "seconds": []}
        for seed, (batches, tested) in enumerate(zip(training, tests, strict=True)):
            own = child_seed(seed, task["architecture"])
            network = initial_network(architecture, shape, classes, own)
            evaluation = train(network, batches, recipe, own)
            metrics["valid"].append(round(evaluation.accuracy * len(batches.valid_labels)))
            metrics["test"].append(round(validate(network, tested)["accuracy"] * len(labels)))
            metrics["seconds"].append(round(evaluation.seconds, 4))
        metrics["parameters"] = parameters(architecture, shape, classes)
        metrics["flops"] = flops(architecture, shape, classes)
        return Evaluation(metrics=metrics).to_plain()

    return run


@dataclass(frozen=True)
class DigitsTable:
    """Train every network of the space and write the table."""

    seeds: int = 3
    """Trainings of each network."""
    workers: int | None = None
    """Networks trained at the same time. [one per core]"""
    out: Path = Path("runs/digits-table")
    """Folder of the stored results and of `digits.npz`."""

    def main(self) -> None:
        """Train the missing networks and write `digits.npz`."""
        space = PRESETS[SPACE]
        strings, networks = different(space)
        self.out.mkdir(parents=True, exist_ok=True)
        children = ExhaustiveEvaluator(self.seeds, self.workers or cores())
        with closing(Archive(self.out / "networks.db")) as archive, closing(children):
            evaluations = list(_trained(EvaluationCache(children, archive), networks))
        columns = {
            name: np.array([evaluation.metrics[name] for evaluation in evaluations])
            for name in ("valid", "test", "seconds", "parameters", "flops")
        }
        with replacing(self.out / "digits.npz") as part, part.open("wb") as file:
            np.savez_compressed(
                file,
                network=strings.astype(np.uint16),
                valid=columns["valid"].astype(np.uint16),
                test=columns["test"].astype(np.uint16),
                seconds=columns["seconds"].astype(np.float32),
                parameters=columns["parameters"].astype(np.uint32),
                flops=columns["flops"].astype(np.uint32),
                made=np.array(json.dumps(self._made())),
            )
        print(self.out / "digits.npz")

    def _made(self) -> dict[str, Any]:
        """Return the command, date, versions and machine that made the table."""
        import torch

        return {
            "command": f"python -m nasgym.benchmarks.experiments.digits_table --seeds {self.seeds}",
            "date": date.today().isoformat(),
            "python": platform.python_version(),
            "torch": torch.__version__,
            "machine": machine.description("cpu"),
        }


def different(space: SearchSpace) -> tuple[NDArray[np.int64], list[Any]]:
    """Return the index of each string's network, (strings,), and the different networks."""
    numbers: dict[Any, int] = {}
    strings = [
        numbers.setdefault(space.canonical(space.decode(tokens)), len(numbers)) for tokens in space
    ]
    return np.array(strings), list(numbers)


def _trained(cache: EvaluationCache, networks: Sequence[Any]) -> Iterator[Evaluation]:
    """Yield the evaluation of each network in order, and show the progress."""
    from rich.progress import track

    starts = range(0, len(networks), AT_ONCE)
    for start in track(starts, "networks, a hundred at a time"):
        for evaluation in cache.evaluate(networks[start : start + AT_ONCE]):
            if evaluation.status != "ok":
                raise RuntimeError(f"a network of the table failed: {evaluation.error}")
            yield evaluation


if __name__ == "__main__":
    tyro.cli(DigitsTable).main()
