"""A search with free children in worker processes, in a space that is large enough for thousands.

python -m tests.faults.soak FOLDER AGENT CHILDREN WORKERS
"""

import sys
from collections.abc import Iterator, Sequence
from typing import Any

import gymnasium as gym

from nasgym import Evaluation, NASVectorEnv
from nasgym.agents import registered
from nasgym.commands.main import main
from nasgym.execution.local import Pool
from nasgym.spaces import ConvSpace
from nasgym.spaces.plain import digest
from tests.pools import JOB

ID = "NAS-Soak-v0"


class Forked:
    """Trains each child in a process of its own, for no time at all."""

    def __init__(self, workers: int) -> None:
        self._pool = Pool(JOB, {}, workers=workers)

    def stream(self, architectures: Sequence[Any]) -> Iterator[tuple[int, Evaluation]]:
        return self._pool.run(
            [{"do": "answer", "seed": int(digest(one)[:8], 16)} for one in architectures]
        )

    def evaluate(self, architectures: Sequence[Any]) -> list[Evaluation]:
        return [evaluation for _, evaluation in sorted(self.stream(architectures))]

    def close(self) -> None:
        self._pool.close()


def make(num_envs: int = 1, workers: int = 2, **options: Any) -> NASVectorEnv:
    return NASVectorEnv(ConvSpace(layers=6), Forked(workers), num_envs, **options)


if __name__ == "__main__":
    folder, agent, children, workers = sys.argv[1:]
    gym.register(ID, vector_entry_point=make)
    registered()[agent].load()
    print("START", flush=True)
    options = ["--agent", agent, "--children", children, "--workers", workers, "--json"]
    main(["search", ID, "--out", folder, *options])
