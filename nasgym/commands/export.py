"""`nasgym export`: write a trained network to a file that runs without this package."""

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
    """Export the network of a finished `nasgym train`, and check the outputs of the file.

    Needs the training data, which determine the size of the network's inputs.
    """

    folder: Annotated[Path, tyro.conf.Positional]
    """Folder of the training."""
    format: str = "pt2"
    """File format: pt2 (torch.export) or onnx (pip install 'nasgym[onnx]')."""
    out: Path | None = None
    """File to write. [FOLDER/network.pt2 or FOLDER/network.onnx]"""
    json: bool = False
    """Print JSON instead of text."""

    def main(self) -> None:
        """Export the network and print the largest error of the file's outputs."""
        from nasgym.networks.export import FORMATS, export_network

        if self.format not in FORMATS:
            raise InvalidInput(f"format must be one of {', '.join(FORMATS)}, not {self.format!r}")
        out = self.out or self.folder / f"network.{self.format}"
        if out.suffix != f".{self.format}":
            raise InvalidInput(f"{out} must end in .{self.format}; rename it or change --format")
        difference = export_network(_trained(self.folder), out)
        if self.json:
            print(json.dumps({"file": str(out), "difference": difference}))
        else:
            say(f"the network is in {out}; its outputs differ by {difference:.2g} at most")


def _trained(folder: Path) -> "nn.Module":
    """Return the trained network of `folder`, on the CPU.

    Raises FileNotFoundError if the folder holds no finished training.
    """
    from nasgym.training.final.checkpoint import load_weights
    from nasgym.training.final.plan import read_plan
    from nasgym.training.final.run import read_result

    plan, result = read_plan(folder), read_result(folder)
    if plan is None or result is None:
        raise FileNotFoundError(f"{folder} holds no finished `nasgym train`")
    problem = plan.problem("cpu")
    network = problem.network(replace(problem.recipe, **result["grid"]))
    network.load_state_dict(load_weights(folder / "weights.pt", result.get("weights_sha256")))
    return network
