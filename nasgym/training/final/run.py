"""The final training: a grid search, a training to convergence, and one test, in a folder.

`train.json` is the plan, `grid.json` the results of the grid, `checkpoint.pt` the training after
its last whole epoch. `weights.pt` and `curve.png` come at its end, and last `test.json`, the test
and how it was obtained. Wherever it was stopped it goes on to the same bits.
"""

import json
import os
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
from filelock import FileLock, Timeout

from nasgym.crash_points import crash_point
from nasgym.execution import machine
from nasgym.files import read_json, write_atomically
from nasgym.spaces import ConvArchitecture, read
from nasgym.spaces.plain import digest, plain
from nasgym.training import Training
from nasgym.training.determinism import child_seed, settle
from nasgym.training.final import checkpoint
from nasgym.training.final.grid import Grid
from nasgym.training.image.problem import ImageProblem
from nasgym.training.problem import Problem
from nasgym.training.text.problem import TextProblem

GRID_SHARE = 1 / 5
"""The share of the epochs that a point of the grid is trained for, if nothing else is said."""


def kind_of(architecture: Any) -> type[ImageProblem] | type[TextProblem]:
    """Return the kind of problem that `architecture` is for."""
    return ImageProblem if isinstance(architecture, ConvArchitecture) else TextProblem


class FinalError(ValueError):
    """A final training that cannot begin or go on; the message is one line for the user."""


@dataclass(frozen=True)
class FinalPlan:
    """All that is needed to train again: the contents of `train.json`."""

    architecture: Any
    """The architecture as plain data."""
    options: Mapping[str, Any]
    """Which data: see the OPTIONS of the problem."""
    recipe: str = "paper"
    """Name of the recipe."""
    epochs: int | None = None
    """Replaces the epochs of the recipe."""
    seed: int = 0
    """Decides, with the architecture, the weights and the batches."""
    grid: bool = False
    """Whether a grid search over the recipe comes first."""
    grid_epochs: int | None = None
    """Epochs of a point of the grid; None: GRID_SHARE of the epochs."""
    threads: int = 1
    """Threads that torch computes with; the bits depend on them."""
    device: str = "auto"
    """"cpu", "cuda" or "auto"."""

    def __post_init__(self) -> None:
        for name in ("epochs", "grid_epochs", "threads"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise FinalError(f"{name} must be a whole number from 1, not {value}")
        if self.seed < 0:
            raise FinalError(f"seed must be a whole number from 0, not {self.seed}")


@dataclass(frozen=True)
class Step:
    """One step of the way: a point of the grid, or an epoch of the training."""

    phase: Literal["grid", "training"]
    """Which of the two."""
    done: int
    """Steps of the phase that are done."""
    total: int
    """Steps of the phase."""
    seconds: float
    """How long this one took; 0 if it was done before."""
    outcome: Mapping[str, Any]
    """An epoch's point of the curve, or what a point of the grid changes and what it brought."""


class Final:
    """A final training and its folder."""

    def __init__(self, folder: str | Path, plan: FinalPlan | None = None) -> None:
        """Open the training in `folder`, or prepare one there with `plan`.

        Raises FinalError if `plan` says something else than the folder's, or if there is neither.
        """
        self.folder = Path(folder)
        known = read_plan(self.folder)
        if plan is None and known is None:
            raise FinalError(f"there is no training in {self.folder}")
        if plan is not None and known is not None:
            _check_same(known, plan, self.folder)
        chosen = plan or known
        assert chosen is not None
        self.plan = chosen

    @property
    def command(self) -> str:
        """Return the command that goes on with this training."""
        return f"nasgym train {self.folder}"

    def run(self, show: Callable[[Step], None] = lambda _: None, command: str = "") -> Any:
        """Do what is left to do, and return what `test.json` says.

        `show` is called with every step and, where the training goes on, the last one before;
        `command` is noted in `test.json`. The test data are read once, after the training.
        Raises FinalError if another process is at it, if a file of the folder is damaged, or if
        the training diverged; ValueError and FileNotFoundError for a plan that cannot be.
        """
        if (known := read_result(self.folder)) is not None:
            return known
        problem = self._problem()
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._locked():
            write_atomically(self._path("train.json"), json.dumps(asdict(self.plan), indent=2))
            chosen = self._search_grid(problem, show) if self.plan.grid else {}
            recipe = replace(problem.recipe, **chosen)
            recipe = replace(recipe, judged_epochs=recipe.epochs)
            seconds, training = self._train(problem, recipe, show)
            return self._test(
                problem, recipe, training, {"grid": chosen, "seconds": seconds, "command": command}
            )

    def _problem(self) -> Problem:
        """Return the problem with its data, this process ready to train as the plan says."""
        settle()
        torch.set_num_threads(self.plan.threads)
        architecture = read(self.plan.architecture)
        try:
            return kind_of(architecture)(
                architecture,
                self.plan.options,
                recipe=self.plan.recipe,
                epochs=self.plan.epochs,
                seed=child_seed(self.plan.seed, architecture),
                device=self._device,
            )
        except TypeError as error:
            given = ", ".join(f"{name}={value!r}" for name, value in self.plan.options.items())
            raise FinalError(
                f"an option has a value of the wrong kind ({error}): {given}"
            ) from None

    @property
    def _device(self) -> str:
        return machine.resolve(self.plan.device)

    def _path(self, name: str) -> Path:
        return self.folder / name

    def _identity(self, problem: Problem, recipe: Any) -> str:
        """Return what stands for all that decides a training with `recipe`."""
        decides = {
            "architecture": self.plan.architecture,
            "recipe": plain(recipe),
            "data": problem.digest,
            "seed": self.plan.seed,
            "threads": self.plan.threads,
            "device": self._device,
            "precision": machine.precision(self._device),
        }
        return digest(decides)

    def _search_grid(self, problem: Problem, show: Callable[[Step], None]) -> dict[str, Any]:
        """Return what the best point of the grid changes in the recipe."""
        epochs = self.plan.grid_epochs or max(1, round(GRID_SHARE * problem.recipe.epochs))
        identity = self._identity(problem, problem.shortened(problem.recipe, epochs))
        grid = Grid(problem, epochs, self._path("grid.json"), identity)
        for point in grid.remaining():
            done, total = len(grid.points), len(grid.all_changes)
            show(Step("grid", done, total, point["evaluation"]["seconds"], point))
        return grid.choose()

    # The training -----------------------------------------------------------------------------

    def _train(
        self, problem: Problem, recipe: Any, show: Callable[[Step], None]
    ) -> tuple[float, Training]:
        """Train to the end, with a checkpoint after each epoch; return the seconds it took."""
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

    # The test ---------------------------------------------------------------------------------

    def _test(
        self, problem: Problem, recipe: Any, training: Training, known: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Keep weights and curve, test, and write all that is known about the test."""
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
            **known,
            "curve": training.curve,
            "versions": {name: version(name) for name in ("nasgym", "numpy", "torch")}
            | {"python": platform.python_version()},
            "machine": machine.description(self._device),
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        write_atomically(self._path("test.json"), json.dumps(result, indent=2))
        return result

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the folder's lock; the kernel frees it however the process ends."""
        owner = self._path("train.pid")
        try:
            with FileLock(self._path("train.lock"), timeout=0):
                owner.write_text(str(os.getpid()))
                yield
        except Timeout:
            raise FinalError(
                f"process {owner.read_text()} is training in {self.folder}: wait for it or stop it"
            ) from None


def read_plan(folder: Path) -> FinalPlan | None:
    """Return the plan of the training in `folder`, None if there is none."""
    path = folder / "train.json"
    if not path.exists():
        return None
    known = _read_json(path, "delete the folder to begin again")
    try:
        return FinalPlan(**known)
    except (TypeError, ValueError) as error:
        raise FinalError(f"{path} is damaged: {error}") from None


def read_result(folder: Path) -> dict[str, Any] | None:
    """Return what `test.json` in `folder` says, None if the training there is not finished."""
    path = folder / "test.json"
    if not path.exists():
        return None
    known: dict[str, Any] = _read_json(path, "delete it to test again")
    return known


def _read_json(path: Path, remedy: str) -> Any:
    try:
        return read_json(path)
    except ValueError as error:
        raise FinalError(f"{path} is damaged ({error}): {remedy}") from None


def _check_same(known: FinalPlan, plan: FinalPlan, folder: Path) -> None:
    """Raise FinalError if `plan` is not the `known` plan of the folder."""
    wanted = asdict(plan)
    for name, value in asdict(known).items():
        if wanted[name] != value:
            other = f"{name} {value!r}, not {wanted[name]!r}"
            raise FinalError(
                f"{folder} holds a training with "
                f"{'another architecture' if name == 'architecture' else other}: go on with it by "
                f"nasgym train {folder}, or choose another --out"
            )
