"""`nasgym replay`: recompute the final state of a run's agent, and compare it."""

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import tyro

from nasgym.commands.console import say
from nasgym.search.replay import replay
from nasgym.search.run import Run


@dataclass(frozen=True)
class ReplayRun:
    """Repeat a run's search with a new agent and the archived results, without training.

    Reports whether the agent ends in the saved state, bit for bit; exits with 1 if it does not.
    """

    run: Annotated[Path, tyro.conf.Positional]
    """Folder of the run."""
    json: bool = False
    """Print one JSON object instead of text."""

    def main(self) -> None:
        """Replay the run and report the outcome."""
        run = Run(self.run)
        seen = replay(run)
        if self.json:
            print(json.dumps({**asdict(seen), "equal": seen.equal}))
        else:
            updates = f" and {seen.updates} updates" if seen.updates else ""
            say(f"replayed {seen.trials} trials{updates} of {run.plan.agent}, with equal strings")
            if seen.saved is None:
                say("the agent saves no state, so there is no state to compare")
            elif seen.equal:
                say(f"its state equals the saved one, bit for bit (sha256 {seen.saved})")
            else:
                say(f"its state differs: saved {seen.saved}, replayed {seen.replayed}")
        if not seen.equal:
            sys.exit(1)
