"""`nasgym envs` and `nasgym agents`: what there is to choose from."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from rich.table import Table

from nasgym.commands.terminal import OUT, say
from nasgym.environments.options import ImageOptions, ProblemOptions, TableOptions, TextOptions
from nasgym.environments.registry import ENVIRONMENTS

FAMILIES: Mapping[str, type[ProblemOptions]] = {
    "data": ImageOptions,
    "a corpus": TextOptions,
    "a table": TableOptions,
}
"""The options of each family of environments, by the option that distinguishes it."""


@dataclass(frozen=True)
class Envs:
    """List the environments."""

    json: bool = False
    """Print JSON instead of text."""

    def main(self) -> None:
        """List the ids with the options that set them apart."""
        if self.json:
            print(json.dumps(ENVIRONMENTS))
            return
        table = Table("environment", "its options", box=None)
        for name, options in ENVIRONMENTS.items():
            table.add_row(name, " ".join(f"{key}={value}" for key, value in options.items()))
        OUT.print(table)
        for word, kind in FAMILIES.items():
            say(f"\nOptions (--set NAME=VALUE) of those with {word}: {', '.join(kind.types())}")


@dataclass(frozen=True)
class Agents:
    """List the agents that are installed."""

    json: bool = False
    """Print JSON instead of text."""

    def main(self) -> None:
        """List names and classes."""
        from nasgym.agents import registered

        agents = {name: point.value for name, point in registered().items()}
        if self.json:
            print(json.dumps(agents))
            return
        table = Table("agent", "class", box=None)
        for name, value in agents.items():
            table.add_row(name, value)
        OUT.print(table)
