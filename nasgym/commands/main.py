"""The command line: what each word after `nasgym` does, and how a mistake is answered."""

import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import gymnasium as gym
import tyro

from nasgym.commands.archive import ArchiveCommand
from nasgym.commands.catalogue import Agents, Envs
from nasgym.commands.compare import Compare
from nasgym.commands.data import Data
from nasgym.commands.export import Export
from nasgym.commands.flags import refuse_repeated
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
"""What each word after `nasgym` does."""

MISTAKES = (NasgymError, OSError, gym.error.Error)
"""What a user can cause and correct: shown as one line, without a traceback."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; exits with 2 and one line on a user's mistake."""
    # The agent's small matrices gain nothing from more threads.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    try:
        refuse_repeated(sys.argv[1:] if arguments is None else arguments)
        tyro.extras.subcommand_cli_from_dict(
            COMMANDS,
            prog="nasgym",
            args=arguments,
            description="Neural architecture search as a reinforcement-learning environment.",
        ).main()
    except BrokenPipeError:
        sys.exit(1)
    except MISTAKES as mistake:
        if os.environ.get("NASGYM_TRACEBACK"):
            raise
        print(f"nasgym: {mistake}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
