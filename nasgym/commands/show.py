"""`nasgym show`: networks as text and picture."""

import json
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.table import Table

from nasgym.archive import Archive, Trial
from nasgym.commands.terminal import OUT
from nasgym.evaluation import score
from nasgym.search import SearchError


@dataclass(frozen=True)
class Show:
    """Show the best networks of a run, or one architecture, as text and picture."""

    path: Annotated[Path, tyro.conf.Positional]
    """A run's folder, or a file with an architecture as JSON."""
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

        if self.path.is_dir():
            architecture, heading = self._run()
        else:
            architecture, heading = _read_architecture(self.path), ""
        if self.json:
            print(heading or json.dumps(architecture))
        else:
            OUT.print(heading, end="")
            print(drawing.text(drawable(architecture)))
        if self.picture is not None:
            with replacing(self.picture) as part:
                drawing.figure(drawable(architecture)).savefig(part)

    def _run(self) -> tuple[Any, Any]:
        with closing(Archive(self.path / "archive.db", read_only=True)) as archive:
            ranked = sorted(archive, key=lambda trial: -trial.reward)
            children = {json.dumps(trial.architecture): trial for trial in reversed(ranked)}
        top = sorted(children.values(), key=lambda trial: -trial.reward)[: self.top]
        if not top:
            raise SearchError(f"no child of {self.path} is finished yet")
        if self.json:
            return top[0].architecture, json.dumps([asdict(trial) for trial in top])
        table = Table("child", "reward", "validation", "parameters", "seconds", "status", box=None)
        for trial in top:
            table.add_row(*_cells(trial))
        with OUT.capture() as captured:
            OUT.print(f"{len(ranked)} children in {self.path}, the best {len(top)}:", table)
        return top[0].architecture, captured.get()


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
