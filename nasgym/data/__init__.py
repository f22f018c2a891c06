"""Data: images and text as numpy arrays, split for training and validation."""

from pathlib import Path

from nasgym.data.cifar10 import load_cifar10
from nasgym.data.dataset import DatasetError, ImageData
from nasgym.data.digits import load_digits
from nasgym.data.download import data_folder
from nasgym.data.image_files import load_image_files
from nasgym.data.text import TextData, load_text


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
    own images (see `nasgym.data.image_files`). `train_size` and `valid_size` are the numbers of
    images taken from each part, every class in proportion. `image_size` is the side in pixels of
    the square that images are resized to. The test images are the same for every seed and cannot
    be reached from here.

    Raises FileNotFoundError for missing data and DatasetError for unsuitable data, in one line.
    """
    if data == "digits":
        pool = load_digits()
    elif data == "cifar10":
        pool = load_cifar10()
    else:
        pool = load_image_files(Path(data), image_size)
    return pool.split(seed, train_size, valid_size, image_size)


__all__ = ["DatasetError", "ImageData", "TextData", "data_folder", "load", "load_text"]
