"""`nasgym show`: show found and published networks as text and picture."""

import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.markup import escape
from rich.table import Table

from nasgym.analysis.pareto import cost_of, front
from nasgym.archive import Archive, Trial
from nasgym.commands.console import OUT
from nasgym.errors import InvalidInput
from nasgym.evaluation.evaluation import score
from nasgym.evaluation.rewards import COSTS
from nasgym.files import read_json
from nasgym.networks import parameters, zoo
from nasgym.options import did_you_mean
from nasgym.search.plan import SearchError
from nasgym.search.run import archive_of
from nasgym.spaces import ConvArchitecture, RecurrentArchitecture
from nasgym.spaces.plain import plain


@dataclass(frozen=True)
class Show:
    """Show the best children of a run, or one architecture, as text and picture."""

    target: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="TARGET")]
    """Folder of a run, JSON file of an architecture, or name from the zoo such as nas-v1."""
    top: int = 5
    """Number of best children of a run to list."""
    pareto: str | None = None
    """List the Pareto front over this cost instead: parameters, flops or latency."""
    picture: Path | None = None
    """Also draw the network to this file: .png, .svg or .pdf."""
    json: bool = False
    """Print JSON instead of text."""

    def main(self) -> None:
        """Show a run or an architecture."""
        from nasgym import drawing
        from nasgym.report.plotting import write

        if self.target.is_dir():
            architecture, heading = self._run()
        elif self.target.exists():
            architecture, heading = _read_architecture(self.target), ""
        else:
            architecture, heading = self._published()
        if self.json:
            print(heading or json.dumps(architecture))
        else:
            OUT.print(heading, end="", markup=False)
            print(drawing.text(drawing.drawable(architecture)))
        if self.picture is not None:
            write(drawing.figure(drawing.drawable(architecture)), self.picture)

    def _run(self) -> tuple[Any, Any]:
        with closing(archive_of(self.target)) as archive:
            count = len(archive)
            if not count:
                raise SearchError(f"no child of {self.target} is finished yet")
            if self.pareto is None:
                listed, which, best = list(islice(archive.ranked(), self.top)), "the best", 0
            else:
                listed, which, best = self._front(archive), f"on the front over {self.pareto}", -1
        if self.json:
            return listed[best].architecture, json.dumps([asdict(trial) for trial in listed])
        costs = list(dict.fromkeys(["parameters", self.pareto or "parameters"]))
        table = Table("child", "reward", "validation", *costs, "seconds", "status", box=None)
        for trial in listed:
            table.add_row(*_cells(trial, costs))
        with OUT.capture() as captured:
            where = escape(str(self.target))
            OUT.print(f"{count} children in {where}, {which} {len(listed)}:", table)
        return listed[best].architecture, captured.get()

    def _front(self, archive: Archive) -> list[Trial]:
        """Return the Pareto front over the cost, the cheapest child first."""
        if self.pareto not in COSTS:
            raise InvalidInput(f"pareto must be one of {', '.join(COSTS)}, not {self.pareto!r}")
        outlines = front(archive.outlines([self.pareto, "perplexity"]), self.pareto)
        found = [trial for one in outlines for trial in archive[one.number : one.number + 1]]
        if not found:
            raise SearchError(f"no child of {self.target} has a known {self.pareto}")
        return found

    def _published(self) -> tuple[Any, str]:
        """Return the plain architecture from the zoo, and its size in words."""
        name = str(self.target)
        if name not in zoo.ARCHITECTURES:
            hint = did_you_mean(name, zoo.ARCHITECTURES)
            raise FileNotFoundError(f"{name!r} is neither a file, a folder nor in the zoo{hint}")
        architecture = zoo.by_name(name)
        return plain(architecture), "" if self.json else f"{_size(architecture)}\n"


def _size(architecture: Any) -> str:
    """Return the number of parameters of an architecture of the zoo, in words."""
    match architecture:
        case ConvArchitecture():
            return f"{parameters(architecture):,} parameters for CIFAR-10\n"
        case RecurrentArchitecture():
            return f"{architecture.base} h (x + h) parameters for x inputs and h outputs\n"
    return "4 h (x + h + 2) parameters for x inputs and h outputs\n"


def _read_architecture(path: Path) -> Any:
    """Return the plain architecture in a file: at top level, or under "architecture"."""
    try:
        data = read_json(path)
    except ValueError as error:
        raise InvalidInput(f"{path} is not JSON: {error}") from None
    return data.get("architecture", data) if isinstance(data, dict) else data


def _cells(trial: Trial, costs: Sequence[str]) -> list[str]:
    known = [cost_of(trial, name) for name in costs]
    return [
        str(trial.number),
        f"{trial.reward:.4g}",
        score(trial),
        *("" if cost is None else f"{cost:.3g}" if cost < 1 else f"{cost:,}" for cost in known),
        f"{trial.seconds:.1f}",
        escape(trial.status),
    ]
