"""NAS-Digits-Table: 4,320 networks with skip connections, trained by this project itself.

Every network of the space "digits-table" was trained with the recipe "short" on the digits, with
several seeds that decide its weights, its batches and which images validate it
(`python -m nasgym.benchmarks.experiments.digits_table` makes the file again). 8,000 strings mean them.
"""

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from nasgym.spaces import PRESETS
from nasgym.tables.noise import one_seed
from nasgym.tables.table import Table, TableError

FILE = Path(__file__).with_name("digits.npz")
VALID_IMAGES, TEST_IMAGES = 1_000, 297


def load(noise: str = "mean", seed: int = 0) -> Table:
    """Return the table; agents are told the mean over the seeds or, with `noise="seed"`, one."""
    columns = read(FILE)
    valid = columns["valid"] / VALID_IMAGES
    network = columns["network"].astype(int)
    return Table(
        name=f"digits {noise} {seed}",
        space=PRESETS["digits-table"],
        reward=one_seed(valid, noise, seed)[network],
        clean=valid.mean(axis=1)[network],
        test=columns["test"].mean(axis=1)[network] / TEST_IMAGES,
        # The least of the seeds: what disturbs a measurement can only lengthen it.
        seconds=columns["seconds"].min(axis=1)[network].astype(float),
        chance=1 / 10,
        metrics={name: columns[name][network].astype(int) for name in ("parameters", "flops")},
    )


def read(path: Path) -> dict[str, Any]:
    """Return the arrays in the file at `path`; raises TableError, in one line, if it is damaged.

    "network" is (strings,), the number of the network that each string means; of each network
    "valid" and "test" are the images classified right with each seed, "seconds" what the training
    took, (networks, seeds); "parameters" and "flops" are (networks,). "made" says how it was made.
    """
    try:
        with path.open("rb") as file, np.load(file) as arrays:
            columns = {name: arrays[name] for name in arrays.files}
        made = json.loads(str(columns.pop("made")))
        networks = len(columns["valid"])
        whole = int(columns["network"].max()) == networks - 1 and all(
            len(columns[name]) == networks for name in ("test", "seconds", "parameters", "flops")
        )
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise TableError(f"{path} is no table of digits: {error}; install nasgym again") from None
    if not whole:
        raise TableError(f"{path} is no table of digits: its columns disagree")
    return columns | {"made": made}
