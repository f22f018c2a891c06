"""`nasgym show`: networks, found and published, as text and picture."""

import json
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.table import Table

from nasgym.architecture import plain
from nasgym.archive import Archive, Trial
from nasgym.commands.terminal import OUT
from nasgym.evaluation import score
from nasgym.networks import parameters, zoo
from nasgym.registry import did_you_mean
from nasgym.search import SearchError
from nasgym.spaces import ConvArchitecture, RecurrentArchitecture


@dataclass(frozen=True)
class Show:
    """Show the best networks of a run, or one architecture, as text and picture."""

    target: Annotated[Path, tyro.conf.Positional]
    """A run's folder, a file with an architecture as JSON, or a name of the zoo such as nas-v1."""
    top: int = 5
    """How many children of a run to list."""
    picture: Path | None = None
    """Where to draw the network, as .png, .svg or .pdf. [the run's best.png]"""
    json: bool = False
    """Print JSON instead of text."""

    def main(self) -> None:
        """Show a run or an architecture."""
        from nasgym import drawing
        from nasgym.figures import drawable
        from nasgym.files import replacing

        if self.target.is_dir():
            architecture, heading = self._run()
        elif self.target.exists():
            architecture, heading = _read_architecture(self.target), ""
        else:
            architecture, heading = self._published()
        if self.json:
            print(heading or json.dumps(architecture))
        else:
            OUT.print(heading, end="")
            print(drawing.text(drawable(architecture)))
        if self.picture is not None:
            with replacing(self.picture) as part:
                drawing.figure(drawable(architecture)).savefig(part)

    def _run(self) -> tuple[Any, Any]:
        with closing(Archive(self.target / "archive.db", read_only=True)) as archive:
            ranked = sorted(archive, key=lambda trial: -trial.reward)
            children = {json.dumps(trial.architecture): trial for trial in reversed(ranked)}
        top = sorted(children.values(), key=lambda trial: -trial.reward)[: self.top]
        if not top:
            raise SearchError(f"no child of {self.target} is finished yet")
        if self.json:
            return top[0].architecture, json.dumps([asdict(trial) for trial in top])
        table = Table("child", "reward", "validation", "parameters", "seconds", "status", box=None)
        for trial in top:
            table.add_row(*_cells(trial))
        with OUT.capture() as captured:
            OUT.print(f"{len(ranked)} children in {self.target}, the best {len(top)}:", table)
        return top[0].architecture, captured.get()

    def _published(self) -> tuple[Any, str]:
        """Return the architecture of the zoo that is meant, and its size."""
        name = str(self.target)
        if name not in zoo.ARCHITECTURES:
            hint = did_you_mean(name, zoo.ARCHITECTURES)
            raise FileNotFoundError(f"{name!r} is no file, no folder and not in the zoo{hint}")
        architecture = zoo.by_name(name)
        return plain(architecture), "" if self.json else f"{_size(architecture)}\n"


def _size(architecture: Any) -> str:
    """Return in words how many parameters an architecture of the zoo has."""
    match architecture:
        case ConvArchitecture():
            return f"{parameters(architecture):,} parameters for CIFAR-10\n"
        case RecurrentArchitecture():
            return f"{architecture.base} h (x + h) parameters for x inputs and h outputs\n"
    return "4 h (x + h + 2) parameters for x inputs and h outputs\n"


def _read_architecture(path: Path) -> Any:
    """Return the plain architecture in a file: bare, or under "architecture" as in `best.json`."""
    try:
        data = json.loads(path.read_text())
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is no JSON: {error}") from None
    return data.get("architecture", data) if isinstance(data, dict) else data


def _cells(trial: Trial) -> list[str]:
    parameters = trial.metrics.get("parameters")
    return [
        str(trial.number),
        f"{trial.reward:.4g}",
        score(trial),
        "" if parameters is None else f"{parameters:,}",
        f"{trial.seconds:.1f}",
        trial.status,
    ]
