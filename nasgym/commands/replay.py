"""`nasgym replay`: compute again what a run's agent became, and compare."""

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import tyro

from nasgym.commands.terminal import say
from nasgym.search.replay import replay
from nasgym.search.run import Run


@dataclass(frozen=True)
class ReplayRun:
    """Make a run's agent anew and have it search against the archive: nothing is trained.

    Says whether it ends in the state that was saved, bit for bit; exits with 1 if it does not.
    """

    run: Annotated[Path, tyro.conf.Positional]
    """Folder of the run."""
    json: bool = False
    """Print one JSON object instead of text."""

    def main(self) -> None:
        """Replay and say what came out."""
        run = Run(self.run)
        seen = replay(run)
        if self.json:
            print(json.dumps({**asdict(seen), "equal": seen.equal}))
        else:
            updates = f" and {seen.updates} updates" if seen.updates else ""
            say(f"replayed {seen.trials} trials{updates} of {run.plan.agent}: every string again")
            if seen.saved is None:
                say("the agent saves no state, so there is none to compare")
            elif seen.equal:
                say(f"its state is the saved one, bit for bit (sha256 {seen.saved})")
            else:
                say(f"its state is another: saved {seen.saved}, replayed {seen.replayed}")
        if not seen.equal:
            sys.exit(1)
