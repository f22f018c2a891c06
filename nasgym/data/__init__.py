"""Data: images and text as numpy arrays, in parts for training and for validation."""

from pathlib import Path

from nasgym.data import cifar10, digits, images
from nasgym.data.dataset import DatasetError, ImageData
from nasgym.data.download import data_folder
from nasgym.data.text import TextData
from nasgym.data.text import load as load_text


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


__all__ = ["DatasetError", "ImageData", "TextData", "data_folder", "load", "load_text"]
