"""NAS-Digits-Table: 4,320 networks with skip connections, trained by this project.

Every network of the space "digits-table" was trained on the digits with the recipe "short" and
several seeds, which decide its weights, its batches and the images for validation. The space has
8,000 strings for them. `python -m nasgym.benchmarks.experiments.digits_table` makes the file.
"""

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from nasgym.spaces import PRESETS
from nasgym.tables.table import Table, TableError, reward_with_noise

FILE = Path(__file__).with_name("digits.npz")
VALID_IMAGES, TEST_IMAGES = 1_000, 297


def load_digits_table(noise: str = "mean", seed: int = 0) -> Table:
    """Return the table; rewards depend on `noise` and `seed` as in `reward_with_noise`."""
    columns = read_digits_table(FILE)
    valid = columns["valid"] / VALID_IMAGES
    network = columns["network"].astype(int)
    return Table(
        name=f"digits {noise} {seed}",
        space=PRESETS["digits-table"],
        reward=reward_with_noise(valid, noise, seed)[network],
        clean=valid.mean(axis=1)[network],
        test=columns["test"].mean(axis=1)[network] / TEST_IMAGES,
        # The minimum over the seeds: disturbances can only lengthen a measurement.
        seconds=columns["seconds"].min(axis=1)[network].astype(float),
        chance=1 / 10,
        metrics={name: columns[name][network].astype(int) for name in ("parameters", "flops")},
    )


def read_digits_table(path: Path) -> dict[str, Any]:
    """Return the arrays in the file at `path`; raises TableError, in one line, if it is damaged.

    "network" is the index of the network of each string, (strings,). "valid" and "test" are the
    numbers of images that a network classifies correctly, and "seconds" the durations of its
    training, (networks, seeds). "parameters" and "flops" are (networks,). "made" is a dict with the
    command, the date and the machine that made the file.
    """
    try:
        with path.open("rb") as file, np.load(file) as arrays:
            columns = {name: arrays[name] for name in arrays.files}
        made = json.loads(str(columns.pop("made")))
        networks = len(columns["valid"])
        consistent = int(columns["network"].max()) == networks - 1 and all(
            len(columns[name]) == networks for name in ("test", "seconds", "parameters", "flops")
        )
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise TableError(f"{path} is not the table of digits: {error}; reinstall nasgym") from None
    if not consistent:
        raise TableError(f"{path} is not the table of digits: its columns differ; reinstall nasgym")
    return columns | {"made": made}
