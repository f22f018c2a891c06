"""The plan of a final training: the content of `train.json`, and the problem it describes."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nasgym.errors import InvalidInput
from nasgym.files import read_json
from nasgym.options import check_options, from_options
from nasgym.spaces import ConvArchitecture, read
from nasgym.training.determinism import child_seed
from nasgym.training.image.problem import ImageProblem
from nasgym.training.problem import Problem
from nasgym.training.recipes import check_whole_numbers
from nasgym.training.text.problem import TextProblem


class FinalError(InvalidInput):
    """A final training that cannot begin or continue; the message is one line for the user."""


@dataclass(frozen=True)
class FinalPlan:
    """Everything that is needed to repeat a final training."""

    architecture: Any
    """The architecture as plain data."""
    options: Mapping[str, Any]
    """Options of the data: see the OPTIONS of the problem."""
    recipe: str = "paper"
    """Name of the recipe."""
    epochs: int | None = None
    """Replaces the epochs of the recipe."""
    seed: int = 0
    """Decides, together with the architecture, the weights and the batches."""
    grid: bool = False
    """Whether to search a grid of recipes first."""
    grid_epochs: int | None = None
    """Epochs of each grid point; None: a fifth of the epochs."""
    threads: int = 1
    """Number of torch's threads; the bits depend on it."""
    device: str = "auto"
    """"cpu", "cuda" or "auto"."""

    def __post_init__(self) -> None:
        try:
            check_whole_numbers(
                1, epochs=self.epochs, grid_epochs=self.grid_epochs, threads=self.threads
            )
            check_whole_numbers(0, seed=self.seed)
        except ValueError as error:
            raise FinalError(str(error)) from None

    def problem(self, device: str) -> Problem[Any]:
        """Return the problem of the plan, with its data on `device`, "cpu" or "cuda".

        Raises ValueError or FileNotFoundError, in one line, for options that are wrong.
        """
        architecture = read(self.architecture)
        kind = problem_class(architecture)
        return kind(
            architecture,
            check_options(self.options, kind.OPTIONS),
            recipe=self.recipe,
            epochs=self.epochs,
            seed=child_seed(self.seed, architecture),
            device=device,
        )

    def check_same(self, other: "FinalPlan", folder: Path) -> None:
        """Raise FinalError if `other` differs from this plan, which `folder` holds."""
        wanted = asdict(other)
        for name, value in asdict(self).items():
            if wanted[name] != value:
                difference = f"{name} {value!r}, not {wanted[name]!r}"
                if name == "architecture":
                    difference = "another architecture"
                raise FinalError(
                    f"{folder} holds a training with {difference}: continue that one with "
                    f"nasgym train {folder}, or choose another --out"
                )


def problem_class(architecture: Any) -> type[ImageProblem] | type[TextProblem]:
    """Return the class of problem that `architecture` is for."""
    return ImageProblem if isinstance(architecture, ConvArchitecture) else TextProblem


def read_plan(folder: Path) -> FinalPlan | None:
    """Return the plan of the final training in `folder`, or None if there is none."""
    path = folder / "train.json"
    if not path.exists():
        return None
    plan = read_own_json(path, "delete the folder to begin again")
    try:
        return from_options(FinalPlan, plan)
    except ValueError as error:
        raise FinalError(f"{path} is damaged: {error}") from None


def read_own_json(path: Path, remedy: str) -> Any:
    """Return the data in a JSON file; raise FinalError with `remedy` if it is damaged."""
    try:
        return read_json(path)
    except ValueError as error:
        raise FinalError(f"{path} is damaged ({error}): {remedy}") from None
