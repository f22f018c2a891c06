"""The evaluator that trains children: data, recipe and placement put together."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nasgym.evaluation.evaluation import Evaluation
from nasgym.execution.placement import Placement
from nasgym.execution.scheduler import SchedulerEvaluator
from nasgym.spaces.plain import plain
from nasgym.training.recipes import Recipe


class TrainingEvaluator(SchedulerEvaluator):
    """Trains each child in a process of its own, on one thread, and validates it.

    The evaluation depends on the architecture and on `context` only: not on the number of workers,
    the order of the children, or what was trained before. The exception is the metric "latency".
    """

    knows_costs = True

    def __init__(
        self,
        job: str,
        recipe: Recipe,
        data: Mapping[str, Any],
        data_digest: str,
        *,
        seed: int,
        epochs: int,
        samples: int,
        latency: bool,
        placement: Placement,
        packed: Callable[[], bytes],
    ) -> None:
        """Prepare the workers; no process is started before the first child.

        `job` names the function that trains, `data` tells it which data, and `data_digest` stands
        for the data in `context`. A child trains for `epochs` epochs on `samples` images or tokens.
        With `latency` each trained child is also timed: its metric
        "latency" is the seconds of one forward pass. `packed` returns the data for other machines.
        """
        how: dict[str, Any] = {
            "recipe": plain(recipe),
            "seed": seed,
            "device": placement.device,
            "precision": placement.precision,
        }
        if latency:
            how["latency"] = True
        known = {"data": data_digest, "threads": 1, "machine": placement.machine}
        self.context = json.dumps(how | known, sort_keys=True)
        self.resource_limits = placement.resource_limits
        self.device = placement.device
        """ "cpu" or "cuda"."""
        self.epochs = epochs
        """Passes of a child over the training data."""
        self.samples = samples
        """Images or tokens in the training data."""
        self.scheduler = placement.scheduler(job, how | dict(data), packed)

    def probe(self, architectures: Sequence[Any], steps: int) -> list[Evaluation]:
        """Train children for `steps` steps only, to see how long that takes."""
        tasks = [{"architecture": plain(one), "probe": steps} for one in architectures]
        evaluations = dict(self.scheduler.run(tasks))
        return [evaluations[index] for index in range(len(architectures))]
