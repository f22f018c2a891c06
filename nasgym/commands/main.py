"""The command line: runs the command after `nasgym`, and reports a mistake in one line."""

import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium as gym

from nasgym.commands.archive import ArchiveCommand
from nasgym.commands.catalogue import Agents, Envs
from nasgym.commands.compare import Compare
from nasgym.commands.data import Data
from nasgym.commands.export import Export
from nasgym.commands.flags import parse
from nasgym.commands.leaderboard import LeaderboardCommand
from nasgym.commands.replay import ReplayRun
from nasgym.commands.report import Report
from nasgym.commands.results import Results
from nasgym.commands.search import Search
from nasgym.commands.show import Show
from nasgym.commands.track import Track
from nasgym.commands.train import Train
from nasgym.commands.watch import Watch
from nasgym.errors import NasgymError

COMMANDS: dict[str, Callable[..., Any]] = {
    "search": Search,
    "show": Show,
    "track": Track,
    "report": Report,
    "replay": ReplayRun,
    "watch": Watch,
    "train": Train,
    "export": Export,
    "compare": Compare,
    "leaderboard": LeaderboardCommand,
    "archive": ArchiveCommand,
    "results": Results,
    "envs": Envs,
    "agents": Agents,
    "data": Data,
}
"""The class of each word after `nasgym`."""

MISTAKES = (NasgymError, OSError, gym.error.Error)
"""Exceptions that a user can correct: shown as one line, without a traceback."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command in `arguments`; on a user's mistake print one line and exit with 2."""
    # More threads would not speed up the agent's small matrices.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    try:
        parse(COMMANDS, sys.argv[1:] if arguments is None else arguments).main()
    except BrokenPipeError:
        sys.exit(1)
    except MISTAKES as mistake:
        if os.environ.get("NASGYM_TRACEBACK"):
            raise
        print(f"nasgym: {mistake}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
