"""A search with children of a few milliseconds, as a command that tests can kill.

python -m tests.free_search FOLDER AGENT CHILDREN [OPTION=VALUE ...]
"""

import os
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

import gymnasium as gym

from nasgym import Evaluation, NASVectorEnv
from nasgym.commands.main import main
from nasgym.spaces import ConvSpace
from nasgym.spaces.plain import digest
from tests.spaces import Numbers

ID = "NAS-Free-v0"


class Slow:
    """Evaluates like `Numbers`, with a few milliseconds for each child.

    Every child that begins is recorded in the file named by the environment variable TRAINED.
    """

    context = "free"

    def __init__(self) -> None:
        self._seconds = float(os.environ.get("SECONDS_A_CHILD", "0.005"))
        self._notes = os.environ.get("TRAINED")

    def stream(self, architectures: Sequence[Any]) -> Iterator[tuple[int, Evaluation]]:
        for index, architecture in enumerate(architectures):
            if self._notes:
                with open(self._notes, "ab", buffering=0) as file:
                    file.write(f"{digest((self.context, architecture))}\n".encode())
            time.sleep(self._seconds)
            (evaluation,) = Numbers().evaluate([architecture])
            yield index, evaluation

    def evaluate(self, architectures: Sequence[Any]) -> list[Evaluation]:
        return [evaluation for _, evaluation in self.stream(architectures)]


def make(num_envs: int = 1, **options: Any) -> NASVectorEnv:
    space = ConvSpace(layers=2, max_layers=3, filter_heights=(1, 3), filter_widths=(1, 3))
    options.pop("workers", None)
    return NASVectorEnv(space, Slow(), num_envs, grow_by=1, grow_every=64, **options)


def register() -> None:
    gym.register(ID, vector_entry_point=make)


def search(folder: str, agent: str, children: str, *options: str) -> None:
    """Print START, then search."""
    print("START", flush=True)
    chosen = ["--agent-set", *options] if options else []
    main(
        ["search", ID, "--agent", agent, "--children", children, "--out", folder, "--json", *chosen]
    )


if __name__ == "__main__":
    register()
    search(*sys.argv[1:])
