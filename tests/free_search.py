"""A search whose children cost nothing but a few milliseconds, as a command that tests can kill.

python -m tests.free_search FOLDER AGENT CHILDREN [OPTION=VALUE ...]
"""

import os
import sys
import time
from collections.abc import Sequence
from typing import Any

import gymnasium as gym

from nasgym import Evaluation, NASVectorEnv
from nasgym.cli import main
from nasgym.spaces import ConvSpace
from tests.spaces import Numbers

ID = "NAS-Free-v0"
SECONDS_A_CHILD = float(os.environ.get("SECONDS_A_CHILD", "0.005"))


class Slow:
    """Numbers, each a few milliseconds after the other, each handed over at once."""

    def stream(self, architectures: Sequence[Any]) -> Any:
        for index, architecture in enumerate(architectures):
            time.sleep(SECONDS_A_CHILD)
            yield index, *Numbers().evaluate([architecture])

    def evaluate(self, architectures: Sequence[Any]) -> list[Evaluation]:
        return [evaluation for _, evaluation in self.stream(architectures)]


def make(num_envs: int = 1, **options: Any) -> NASVectorEnv:
    space = ConvSpace(layers=2, max_layers=3, filter_heights=(1, 3), filter_widths=(1, 3))
    options.pop("workers", None)
    return NASVectorEnv(space, Slow(), num_envs, grow_by=1, grow_every=64, **options)


def register() -> None:
    gym.register(ID, vector_entry_point=make)


if __name__ == "__main__":
    folder, agent, children, *options = sys.argv[1:]
    register()
    print("START", flush=True)
    chosen = ["--agent-set", *options] if options else []
    main(
        ["search", ID, "--agent", agent, "--children", children, "--out", folder, "--json", *chosen]
    )
