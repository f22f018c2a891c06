"""Processes that search in one archive at the same time, each in a run of its own.

python -m tests.faults.sharing ARCHIVE PROCESSES EVALUATIONS SEED
"""

import json
import os
import sys
import traceback
from contextlib import closing

import numpy as np

from nasgym import NASVectorEnv
from tests.spaces import Numbers, Stack

WAVE = 5


def search(path: str, evaluations: int, seed: int) -> None:
    """Play random strings, and say in JSON what came of them."""
    errors, run, rng, evaluator = [], "", np.random.default_rng(seed), Numbers()
    try:
        with closing(NASVectorEnv(Stack(), evaluator, WAVE, archive=path)) as env:
            run = env.archive.run
            for _ in range(evaluations // WAVE):
                try:
                    env.study.play([env.study.space.sample(rng) for _ in range(WAVE)])
                except Exception:
                    errors += [traceback.format_exc()] * WAVE
            counts = env.archive.counts()
    except Exception:
        errors, counts = [traceback.format_exc()] * evaluations, None
    outcome = {"run": run, "counts": counts, "trained": len(evaluator.asked), "errors": errors}
    print(json.dumps(outcome), flush=True)


def main() -> None:
    path, processes, evaluations, seed = sys.argv[1], *map(int, sys.argv[2:])
    pids = []
    for number in range(processes):
        pid = os.fork()
        if pid == 0:
            search(path, evaluations, seed * processes + number)
            os._exit(0)
        pids.append(pid)
    for pid in pids:
        os.waitpid(pid, 0)


if __name__ == "__main__":
    main()
