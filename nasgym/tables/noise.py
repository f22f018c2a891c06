"""Noise: the reward of a table in which every network was trained with several seeds."""

import numpy as np

from nasgym.tables.table import Floats, TableError


def one_seed(values: Floats, noise: str, seed: int) -> Floats:
    """Return what agents are told of networks with `values`, (networks, seeds).

    With `noise` "mean" it is the mean; with "seed" it is the value of one seed, drawn for each
    network, the same whenever it is trained again: another `seed` draws others.
    """
    if noise == "mean":
        mean: Floats = values.mean(axis=1)
        return mean
    if noise != "seed":
        raise TableError(f"noise is 'mean' or 'seed', not {noise!r}")
    if type(seed) is not int or seed < 0:
        raise TableError(f"seed must be a whole number from 0, not {seed!r}")
    drawn = np.random.default_rng(seed).integers(values.shape[1], size=len(values))
    chosen: Floats = values[np.arange(len(values)), drawn]
    return chosen
