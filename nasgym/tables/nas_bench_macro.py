"""NAS-Bench-Macro: 6,561 chains of blocks trained on CIFAR-10 (Su et al. 2021).

The table holds one test accuracy for each of three seeds and nothing of validation images, so what
an agent is told and what a network is judged by come from the same images, as in all comparisons
on this table.
"""

import numpy as np

from nasgym.spaces.nas_bench import NASBenchMacroSpace
from nasgym.tables.columns import read
from nasgym.tables.noise import one_seed
from nasgym.tables.table import Table

FILE = "nas-bench-macro.csv.gz"

SECONDS_PER_FLOP = 50 * 50_000 * 3 / 1e13
"""The table has no training times. What is charged is 50 epochs of 50,000 images, forwards and
backwards, at 10 TFLOP/s."""


def load(noise: str = "mean", seed: int = 0) -> Table:
    """Return the table; agents are told the mean over the seeds or, with `noise="seed"`, one."""
    space = NASBenchMacroSpace()
    columns = read(FILE, space, ("test_1", "test_2", "test_3", "params", "flops"))
    seeds = np.stack([columns[f"test_{number}"] for number in (1, 2, 3)], axis=1) / 100
    return Table(
        name=f"nas-bench-macro {noise} {seed}",
        space=space,
        reward=one_seed(seeds, noise, seed),
        clean=seeds.mean(axis=1),
        test=seeds.mean(axis=1),
        seconds=columns["flops"] * SECONDS_PER_FLOP,
        chance=1 / 10,
        metrics={
            "parameters": columns["params"].astype(int),
            "flops": columns["flops"].astype(int),
        },
    )
