"""`nasgym envs` and `nasgym agents`: what there is to choose from."""

import json
from dataclasses import dataclass

from rich.table import Table

from nasgym.commands.terminal import OUT


@dataclass(frozen=True)
class Envs:
    """List the environments."""

    json: bool = False
    """Print JSON instead of text."""

    def main(self) -> None:
        """List the ids with the options that set them apart."""
        from nasgym.environments.registry import (
            ENVIRONMENTS,
            IMAGE_OPTIONS,
            TABLE_OPTIONS,
            TEXT_OPTIONS,
        )

        if self.json:
            print(json.dumps(ENVIRONMENTS))
            return
        table = Table("environment", "its options", box=None)
        for name, options in ENVIRONMENTS.items():
            table.add_row(name, " ".join(f"{key}={value}" for key, value in options.items()))
        OUT.print(table)
        OUT.print("\nThose with data take --set NAME=VALUE with", ", ".join(IMAGE_OPTIONS))
        OUT.print("\nThose with a corpus take --set NAME=VALUE with", ", ".join(TEXT_OPTIONS))
        OUT.print("\nThose with a table take --set NAME=VALUE with", ", ".join(TABLE_OPTIONS))


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
