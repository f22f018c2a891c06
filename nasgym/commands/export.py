"""`nasgym export`: a trained network as a file that runs without this package."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from nasgym.commands.terminal import say
from nasgym.errors import InvalidInput

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Export:
    """Export the network of a finished `nasgym train`, and check that the file does the same.

    The data it was trained on must be here: they say how large the network's inputs are.
    """

    folder: Annotated[Path, tyro.conf.Positional]
    """Folder of the training."""
    format: str = "pt2"
    """pt2 (torch.export) or onnx (pip install 'nasgym[onnx]')."""
    out: Path | None = None
    """The file. [FOLDER/network.pt2 or FOLDER/network.onnx]"""
    json: bool = False
    """Print JSON instead of text."""

    def main(self) -> None:
        """Export and say how far the file is off."""
        from nasgym.networks.export import FORMATS, export_network

        if self.format not in FORMATS:
            raise InvalidInput(f"format {self.format!r} is none of {', '.join(FORMATS)}")
        out = self.out or self.folder / f"network.{self.format}"
        if out.suffix != f".{self.format}":
            raise InvalidInput(f"{out} must end in .{self.format}, or give another --format")
        difference = export_network(_trained(self.folder), out)
        if self.json:
            print(json.dumps({"file": str(out), "difference": difference}))
        else:
            say(f"the network is in {out}; its outputs differ by {difference:.2g} at most")


def _trained(folder: Path) -> "nn.Module":
    """Return the network that was tested in `folder`, on the CPU.

    Raises FileNotFoundError if the training there is not finished.
    """
    from nasgym.training.final.checkpoint import load_weights
    from nasgym.training.final.plan import read_plan
    from nasgym.training.final.run import read_result

    plan, result = read_plan(folder), read_result(folder)
    if plan is None or result is None:
        raise FileNotFoundError(f"{folder} is the folder of no finished `nasgym train`")
    problem = plan.problem("cpu")
    network = problem.network(replace(problem.recipe, **result["grid"]))
    network.load_state_dict(load_weights(folder / "weights.pt", result.get("weights_sha256")))
    return network
