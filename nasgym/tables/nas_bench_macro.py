"""NAS-Bench-Macro: 6,561 chains of blocks trained on CIFAR-10 (Su et al. 2021).

The table holds one test accuracy for each of three seeds and no validation accuracy. So the rewards
and the clean accuracies come from the same images, as in all comparisons on this table.
"""

import numpy as np

from nasgym.spaces.nas_bench import NASBenchMacroSpace
from nasgym.tables.columns import read_columns
from nasgym.tables.table import Table, reward_with_noise

FILE = "nas-bench-macro.csv.gz"

SECONDS_PER_FLOP = 50 * 50_000 * 3 / 1e13
"""The table has no training times. They are estimated as 50 epochs of 50,000 images, forward and
backward, at 10 TFLOP/s."""


def load_nas_bench_macro(noise: str = "mean", seed: int = 0) -> Table:
    """Return the table; rewards depend on `noise` and `seed` as in `reward_with_noise`."""
    space = NASBenchMacroSpace()
    columns = read_columns(FILE, space, ("test_1", "test_2", "test_3", "params", "flops"))
    seeds = np.stack([columns[f"test_{number}"] for number in (1, 2, 3)], axis=1) / 100
    return Table(
        name=f"nas-bench-macro {noise} {seed}",
        space=space,
        reward=reward_with_noise(seeds, noise, seed),
        clean=seeds.mean(axis=1),
        test=seeds.mean(axis=1),
        seconds=columns["flops"] * SECONDS_PER_FLOP,
        chance=1 / 10,
        metrics={
            "parameters": columns["params"].astype(int),
            "flops": columns["flops"].astype(int),
        },
    )
