"""The final training in its folder: a grid search, a training to convergence, and one test.

`train.json` holds the plan, `grid.json` the results of the grid, `checkpoint.pt` the training after
its last whole epoch. At the end come `weights.pt`, `curve.png` and last `test.json`, the result and
how it was obtained. A training that was stopped anywhere continues to the same bits.
"""

import json
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import torch

from nasgym.crash_points import crash_point
from nasgym.execution import machine
from nasgym.files import LockHeldError, ProcessLock, write_atomically
from nasgym.spaces.plain import digest, plain
from nasgym.training.base import Training
from nasgym.training.determinism import configure_process
from nasgym.training.final import checkpoint
from nasgym.training.final.grid import Grid
from nasgym.training.final.plan import FinalError, FinalPlan, read_own_json, read_plan
from nasgym.training.problem import Problem
from nasgym.training.recipes import Recipe

GRID_SHARE = 1 / 5
"""Epochs of a grid point as a share of the epochs of the training, unless the plan says."""


@dataclass(frozen=True)
class Step:
    """One step of progress: a grid point, or an epoch of the training."""

    phase: Literal["grid", "training"]
    """The phase that the step belongs to."""
    done: int
    """Steps of the phase that are done."""
    total: int
    """Steps of the phase in all."""
    seconds: float
    """Duration of this step; 0 if an earlier process took it."""
    outcome: Mapping[str, Any]
    """The point of the curve of an epoch; the "changes" and "evaluation" of a grid point."""


class FinalRun:
    """A final training and its folder."""

    def __init__(self, folder: str | Path, plan: FinalPlan | None = None) -> None:
        """Open the training in `folder`, or prepare a new one there with `plan`.

        Raises FinalError if `plan` differs from the plan in the folder, or if there is neither.
        """
        self.folder = Path(folder)
        known = read_plan(self.folder)
        if known is not None and plan is not None:
            known.check_same(plan, self.folder)
        chosen = plan or known
        if chosen is None:
            raise FinalError(f"there is no training in {self.folder}")
        self.plan = chosen

    @property
    def command(self) -> str:
        """Return the command that continues this training."""
        return f"nasgym train {self.folder}"

    def run(self, show: Callable[[Step], None] = lambda _: None, command: str = "") -> Any:
        """Do the steps that are left and return the content of `test.json`.

        `show` is called with every step and, when a training continues, first with the last epoch
        done; `command` is noted in `test.json`. The test data are read once, after the training.
        Raises FinalError if another process is training in the folder, if a file of the folder is
        damaged, or if the training diverges; ValueError and FileNotFoundError for a wrong plan.
        """
        if (known := read_result(self.folder)) is not None:
            return known
        configure_process()
        torch.set_num_threads(self.plan.threads)
        problem = self.plan.problem(self._device)
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._locked():
            write_atomically(self._path("train.json"), json.dumps(asdict(self.plan), indent=2))
            changes = self._search_grid(problem, show) if self.plan.grid else {}
            recipe = replace(problem.recipe, **changes)
            recipe = replace(recipe, judged_epochs=recipe.epochs)
            seconds, training = self._train(problem, recipe, show)
            origin = {"grid": changes, "seconds": seconds, "command": command}
            return self._test(problem, recipe, training, origin)

    def _search_grid(self, problem: Problem[Any], show: Callable[[Step], None]) -> dict[str, Any]:
        """Return the changes that the best grid point makes to the recipe."""
        epochs = self.plan.grid_epochs or max(1, round(GRID_SHARE * problem.recipe.epochs))
        identity = self._identity(problem, problem.shortened(problem.recipe, epochs))
        grid = Grid(problem, epochs, self._path("grid.json"), identity)
        for point in grid.remaining():
            done, total = len(grid.points), len(grid.all_changes)
            show(Step("grid", done, total, point["evaluation"]["seconds"], point))
        return grid.choose()

    def _train(
        self, problem: Problem[Any], recipe: Recipe, show: Callable[[Step], None]
    ) -> tuple[float, Training]:
        """Train to the end, with a checkpoint after each epoch; return (seconds, training)."""
        path, identity = self._path("checkpoint.pt"), self._identity(problem, recipe)
        training, seconds = problem.training(recipe), 0.0
        if path.exists():
            known = checkpoint.load(path, identity)
            training.restore(known["training"])
            seconds = known["seconds"]
            show(Step("training", len(training.curve), recipe.epochs, 0.0, training.curve[-1]))
        while not training.finished:
            began = time.monotonic()
            training.advance()
            taken = time.monotonic() - began
            seconds += taken
            state = {"training": training.state(), "seconds": seconds}
            checkpoint.save(path, state, identity)
            show(Step("training", len(training.curve), recipe.epochs, taken, training.curve[-1]))
        if training.diverged:
            raise FinalError(
                f"{training.diverged}: there is nothing to test. Choose another --out and let "
                f"--grid find a learning rate, or another --recipe"
            )
        return seconds, training

    def _test(
        self,
        problem: Problem[Any],
        recipe: Recipe,
        training: Training,
        origin: Mapping[str, Any],
    ) -> dict[str, Any]:
        """Save the weights and the curve, test, and write `test.json`, which includes `origin`."""
        # Loads matplotlib, which a training that fails does not need.
        from nasgym.training.final.curve import save_curve

        crash_point("before_test")
        weights = {name: value.cpu() for name, value in training.state()["network"].items()}
        sha256 = checkpoint.save_weights(self._path("weights.pt"), weights)
        save_curve(training.curve, problem.SCORE, self._path("curve.png"))
        result = {
            "test": problem.test(recipe, weights),
            "validation": training.curve[-1],
            "score": problem.SCORE,
            "parameters": sum(value.numel() for value in problem.network(recipe).parameters()),
            **asdict(self.plan),
            "recipe": plain(recipe),
            "digest": problem.digest,
            "weights_sha256": sha256,
            **origin,
            "curve": training.curve,
            "versions": {name: version(name) for name in ("nasgym", "numpy", "torch")}
            | {"python": platform.python_version()},
            "machine": machine.description(self._device),
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        write_atomically(self._path("test.json"), json.dumps(result, indent=2))
        return result

    @property
    def _device(self) -> str:
        return machine.resolve(self.plan.device)

    def _path(self, name: str) -> Path:
        return self.folder / name

    def _identity(self, problem: Problem[Any], recipe: Recipe) -> str:
        """Return the digest of everything that decides the bits of a training with `recipe`."""
        decisive = {
            "architecture": self.plan.architecture,
            "recipe": plain(recipe),
            "data": problem.digest,
            "seed": self.plan.seed,
            "threads": self.plan.threads,
            "device": self._device,
            "precision": machine.precision(self._device),
        }
        return digest(decisive)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the lock of the folder; the kernel releases it however the process ends."""
        try:
            lock = ProcessLock(self._path("train.lock"), self._path("train.pid"))
        except LockHeldError as held:
            raise FinalError(
                f"process {held.owner} is training in {self.folder}: wait for it or stop it"
            ) from None
        with lock:
            yield


def read_result(folder: Path) -> dict[str, Any] | None:
    """Return the content of `test.json` in `folder`, or None if the training is not finished."""
    path = folder / "test.json"
    if not path.exists():
        return None
    result: dict[str, Any] = read_own_json(path, "delete it to test again")
    return result
