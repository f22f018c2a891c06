"""Data: images as numpy arrays, split into training and validation images once, by a seed."""

from pathlib import Path

from nasgym.data import cifar10, digits, images
from nasgym.data.dataset import DatasetError, ImageData
from nasgym.data.download import Progress, data_folder


def load(
    data: str,
    *,
    seed: int = 0,
    train_size: int | None = None,
    valid_size: int | None = None,
    image_size: int | None = None,
) -> ImageData:
    """Return the training and validation images of `data`, split by `seed`.

    `data` is "digits" (500 and 1,000 images), "cifar10" (45,000 and 5,000), or the path of your
    own images (see `nasgym.data.images`). `train_size` and `valid_size` take so many of each part,
    every class in proportion; `image_size` resizes to a square of so many pixels. The test images
    are set apart first, the same for every seed, and cannot be reached from here.

    Raises FileNotFoundError for missing and DatasetError for wrong data, in one line.
    """
    if data == "digits":
        pool = digits.pool()
    elif data == "cifar10":
        pool = cifar10.pool()
    else:
        pool = images.pool(Path(data), image_size)
    return pool.split(seed, train_size, valid_size, image_size)


def available() -> dict[str, str]:
    """Return the names of the built-in data sets and where each one is, or how to get it."""
    where = cifar10.find()
    return {
        "digits": "comes with scikit-learn",
        "cifar10": str(where) if where else "not here: `nasgym data cifar10` downloads it",
    }


def fetch(name: str, progress: Progress | None = None) -> Path:
    """Download a built-in data set unless it is here, and return where it is.

    `progress` is told the bytes so far and in all. Raises ValueError for an unknown name,
    ConnectionError or DatasetError for a download that failed, in one line.
    """
    if name != "cifar10":
        raise ValueError(f"there is nothing to download for {name!r}: only 'cifar10' is")
    return cifar10.download(progress)


__all__ = ["DatasetError", "ImageData", "available", "data_folder", "fetch", "load"]
