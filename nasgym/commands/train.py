"""`nasgym train`: train a network to convergence and test it once."""

import json
import shlex
import sys
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from nasgym.commands.console import OUT, TrainingDisplay, say
from nasgym.commands.flags import OptionPairs, default
from nasgym.environments.registry import ENVIRONMENTS
from nasgym.errors import InvalidInput
from nasgym.files import read_json
from nasgym.networks import zoo
from nasgym.options import check_options, did_you_mean, parse_options
from nasgym.search.run import Run
from nasgym.search.signals import Interrupted, signals_raise
from nasgym.spaces import read
from nasgym.spaces.plain import plain

if TYPE_CHECKING:
    from nasgym.training.final.run import FinalRun


@dataclass(frozen=True)
class Train:
    """Train a network to convergence and test it, or resume such a training."""

    target: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="TARGET")]
    """Folder of a run (its best child), JSON file of an architecture, name from the zoo such as
    nas-v1, or folder of a training to resume."""
    grid: bool = False
    """First search a small grid of recipes, judged by validation only."""
    grid_epochs: Annotated[int | None, default("a fifth of the epochs")] = None
    """Epochs of each grid point."""
    recipe: Annotated[str | None, default("paper")] = None
    """Recipe of the training: paper or short."""
    epochs: Annotated[int | None, default("those of the recipe")] = None
    """Passes over the training data."""
    seed: Annotated[int | None, default("0")] = None
    """Seed of weights and batches. The data split has its own: --set seed=..."""
    threads: Annotated[int | None, default("1")] = None
    """Number of threads; the last bits of the results depend on it."""
    device: Annotated[str | None, default("auto")] = None
    """Device of the training: cpu, cuda or auto."""
    out: Annotated[Path | None, default("runs/TARGET-final")] = None
    """Folder of the training."""
    set: OptionPairs = ()
    """Options of the data, such as data=cifar10 image_size=16; those of a run are the default."""
    json: bool = False
    """Print one JSON object per line instead of text."""

    def main(self) -> None:
        """Train, test and print the result."""
        final = self._final_run()
        try:
            display = TrainingDisplay(OUT, as_json=self.json)
            with signals_raise(), display.live():
                result = final.run(display.show, shlex.join(["nasgym", *sys.argv[1:]]))
        except Interrupted as interrupt:
            say(f"stopped by {interrupt}; finished epochs are kept. Resume with:")
            say(f"  {final.command}")
            sys.exit(128 + interrupt.signum)
        print(json.dumps(result)) if self.json else _print_result(final.folder, result)

    def _final_run(self) -> "FinalRun":
        from nasgym.training.final.plan import FinalPlan, read_plan
        from nasgym.training.final.run import FinalRun

        given = self._given_options()
        if (known := read_plan(Path(self.target))) is not None:
            if self.set:
                given["options"] = {**known.options, **parse_options(self.set)}
            return FinalRun(self.target, replace(known, **given))
        architecture, options = _read_target(self.target)
        options = _data_options(architecture, options, parse_options(self.set))
        folder = self.out or Path("runs") / f"{Path(self.target).stem}-final"
        return FinalRun(folder, FinalPlan(architecture, options, **given))

    def _given_options(self) -> dict[str, Any]:
        """Return the fields of the plan that the command line sets."""
        names = ("grid_epochs", "recipe", "epochs", "seed", "threads", "device")
        given = {name: value for name in names if (value := getattr(self, name)) is not None}
        return given | ({"grid": True} if self.grid else {})


def _read_target(target: str) -> tuple[Any, dict[str, Any]]:
    """Return the plain architecture of `target` and the options that come with it."""
    if target in zoo.ARCHITECTURES:
        return plain(zoo.by_name(target)), {}
    path = Path(target)
    if path.is_dir():
        return _best_of(path)
    if not path.exists():
        hint = did_you_mean(target, zoo.ARCHITECTURES)
        raise FileNotFoundError(f"{target!r} is not a file, a folder or a name from the zoo{hint}")
    try:
        data = read_json(path)
    except ValueError as error:
        raise InvalidInput(f"{path} is not JSON: {error}") from None
    if not isinstance(data, dict) or "architecture" not in data:
        return data, {}
    if (path.parent / "search.json").exists():
        return data["architecture"], Run(path.parent).plan.options
    return data["architecture"], dict(ENVIRONMENTS.get(data.get("env", ""), {}))


def _best_of(folder: Path) -> tuple[Any, dict[str, Any]]:
    """Return the architecture of the best child in a run, and the options of its environment."""
    if not (folder / "search.json").exists():
        raise FileNotFoundError(f"{folder} is neither the folder of a run nor of a training")
    run = Run(folder)
    with closing(run.archive()) as archive:
        best = archive.best()
    if best is None:
        raise InvalidInput(f"no child of {folder} is finished yet")
    return best.architecture, run.plan.options


def _data_options(
    architecture: Any, known: Mapping[str, Any], given: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the options of the data: those `given`, and the others that are `known` and apply."""
    from nasgym.training.final.plan import problem_class

    names = problem_class(read(architecture)).OPTIONS
    given, required = check_options(given, names), next(iter(names))
    options = {name: value for name, value in known.items() if name in names} | dict(given)
    if required not in options:
        raise InvalidInput(f"name the data to train on: --set {required}=...")
    return options


def _print_result(folder: Path, result: Mapping[str, Any]) -> None:
    score, test, validation = result["score"], result["test"], result["validation"]
    if score == "accuracy":
        error = f", test error {1 - test[score]:.2%}"
        say(f"test accuracy {test[score]:.2%}, validation accuracy {validation[score]:.2%}{error}")
    else:
        say(f"test {score} {test[score]:.2f}, validation {score} {validation[score]:.2f}")
    say(
        f"\nresult          {folder}/test.json"
        f"\nweights         {folder}/weights.pt"
        f"\nlearning curve  {folder}/curve.png"
    )
    if result["grid"]:
        say(f"grid            {folder}/grid.json")
