"""Workloads: the networks, spaces and images that the benchmarks use."""

from dataclasses import replace

import numpy as np

from nasgym.data import ImageData
from nasgym.spaces import PRESETS, ConvArchitecture, ConvLayer, ConvSpace

LARGE = ConvArchitecture(
    (
        ConvLayer(3, 3, 24),
        ConvLayer(3, 3, 36, inputs=(1,)),
        ConvLayer(5, 3, 36, 2, 2, inputs=(1, 2)),
        ConvLayer(3, 5, 48, inputs=(3,)),
        ConvLayer(5, 5, 36, inputs=(3, 4)),
        ConvLayer(3, 3, 48, 2, 2, inputs=(4, 5)),
        ConvLayer(5, 5, 48, inputs=(6,)),
        ConvLayer(3, 3, 64, inputs=(6, 7)),
    )
)
"""Eight layers, as in the paper's space."""

SMALL = ConvArchitecture(
    (
        ConvLayer(3, 3, 16),
        ConvLayer(3, 3, 16, 2, 2, inputs=(1,)),
        ConvLayer(3, 3, 32, inputs=(2,)),
        ConvLayer(3, 3, 32, 2, 2, inputs=(2, 3)),
        ConvLayer(3, 3, 32, inputs=(4,)),
        ConvLayer(3, 3, 32, 2, 2, inputs=(4, 5)),
    )
)
"""Six layers, for a search with little time per child."""

TINY = ConvArchitecture(
    (
        ConvLayer(3, 3, 16),
        ConvLayer(3, 3, 16, inputs=(1,)),
        ConvLayer(3, 3, 24, inputs=(1, 2)),
        ConvLayer(3, 3, 32, inputs=(3,)),
    )
)
"""Four layers, for the digits."""


def noise(*, train: int = 2, valid: int = 2) -> ImageData:
    """Return images of random pixels; speed does not depend on the pixels."""
    rng = np.random.default_rng(0)
    shape, classes = (32, 32, 3), 10
    return ImageData(
        rng.integers(256, size=(train, *shape), dtype=np.uint8),
        rng.integers(classes, size=train),
        rng.integers(256, size=(valid, *shape), dtype=np.uint8),
        rng.integers(classes, size=valid),
        tuple(map(str, range(classes))),
        flips=True,
    )


def all_digits() -> ImageData:
    """Return scikit-learn's digits: 1,200 for training and 597 for validation."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = (15 * digits.images[..., None]).astype(np.uint8)
    order = np.random.default_rng(0).permutation(len(images))
    train, valid = order[:1200], order[1200:]
    labels = digits.target.astype(np.int64)
    return ImageData(
        images[train], labels[train], images[valid], labels[valid], tuple("0123456789")
    )


def random_children(count: int) -> list[ConvArchitecture]:
    """Return `count` random networks, with 4, 5 and 6 layers in turn."""
    rng = np.random.default_rng(0)
    space = replace(PRESETS["digits"], max_layers=6)
    drawn = (space.with_layers(4 + number % 3) for number in range(count))
    return [space.decode(space.sample(rng)) for space in drawn]


TWENTY_TOKENS = ConvSpace(layers=4, max_layers=4, strides=(1, 2, 3), skip_connections=False)
"""A space of strings of 20 tokens."""
