"""Digits: 1,797 handwritten digits of 8x8 pixels, which come with scikit-learn.

A search trains on 500 of them and validates on 1,000, so that architectures differ ten times more
than the seeds of one architecture do. Trained on more, most architectures reach 98 % and can hardly
be distinguished.
"""

import hashlib
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nasgym.data.dataset import DatasetError, ImagePool, Images, Labels, stratified_order
from nasgym.data.tar import READ_ERRORS

VALID, TEST = 1000, 297
SHA256 = "68aea062d35a127749050fa0e52dca09d6569ac08092c925610e0954e172dde2"
"""SHA-256 of the table's bytes: 1,797 rows of 64 grey levels from 0 to 16, and the digit."""


def load_digits() -> ImagePool:
    """Return the digits for training and validation.

    Raises FileNotFoundError without scikit-learn, and DatasetError if its file is not as expected.
    """
    table = _table()
    images, labels = _images(table[_order(table)[TEST:]])
    return ImagePool(images, labels, tuple("0123456789"), valid=VALID)


def load_digits_test() -> tuple[Images, Labels]:
    """Return the 297 test images and their labels, the same for every seed of a search."""
    table = _table()
    return _images(table[_order(table)[:TEST]])


def _order(table: NDArray[np.uint8]) -> NDArray[np.intp]:
    return stratified_order(table[:, -1].astype(np.int64), np.random.default_rng(0))


def _images(table: NDArray[np.uint8]) -> tuple[Images, Labels]:
    """Return rows of the table as images, the grey levels scaled to 0 to 240, and labels."""
    return table[:, :-1].reshape(-1, 8, 8, 1) * np.uint8(15), table[:, -1].astype(np.int64)


def _table() -> NDArray[np.uint8]:
    # Importing scikit-learn takes a second, reading its file 10 ms.
    package = find_spec("sklearn")
    if package is None or package.origin is None:
        raise FileNotFoundError("the digits come with scikit-learn: pip install scikit-learn")
    path = Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz"
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: pip install --force-reinstall scikit-learn")
    return read_digits(path)


def read_digits(path: Path) -> NDArray[np.uint8]:
    """Return the table in the file at `path`, (1797, 65): 64 grey levels and the digit."""
    try:
        table: NDArray[np.uint8] = np.loadtxt(path, np.uint8, delimiter=",")
    except (ValueError, *READ_ERRORS) as error:
        raise DatasetError(f"{path} is damaged: {error}") from None
    if hashlib.sha256(table.tobytes()).hexdigest() != SHA256:
        raise DatasetError(f"{path} does not hold the 1,797 digits that scikit-learn ships")
    return table
