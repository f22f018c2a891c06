"""Image data: images in memory, and their split into training and validation images."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nasgym.errors import InvalidInput

Images = NDArray[np.uint8]
"""Images, (n, height, width, channels)."""

Labels = NDArray[np.int64]
"""Class numbers from 0, (n,)."""

CHUNK = 1000
"""Images resized at a time, to bound the memory for intermediate floats."""


class DatasetError(InvalidInput):
    """Missing, damaged or unsuitable data; the message is one line for the user."""


@dataclass(frozen=True, eq=False)
class ImageData:
    """The images a child is trained and validated on. It holds no test images."""

    train_images: Images
    """(n, height, width, channels), in random order."""
    train_labels: Labels
    """(n,)"""
    valid_images: Images
    """(m, height, width, channels), in random order."""
    valid_labels: Labels
    """(m,)"""
    names: tuple[str, ...]
    """The names of the classes, by class number."""
    flips: bool = False
    """Whether mirroring keeps the class, as for photographs but not for digits or letters."""

    @property
    def classes(self) -> int:
        """Return the number of classes."""
        return len(self.names)

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Return the shape of one image: (channels, height, width)."""
        height, width, channels = self.train_images.shape[1:]
        return channels, height, width

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all fields, hence also of the split, in hexadecimal."""
        return digest_of(
            (self.names, self.flips),
            self.train_images,
            self.train_labels,
            self.valid_images,
            self.valid_labels,
        )


@dataclass(frozen=True, eq=False)
class ImagePool:
    """All images of a data set that a search may use, without the test images."""

    images: Images
    """(n, height, width, channels)"""
    labels: Labels
    """(n,)"""
    names: tuple[str, ...]
    """The names of the classes, by class number."""
    valid: int
    """Number of images for validation."""
    drawn: bool = True
    """Whether the validation images are drawn at random; otherwise they are the last ones."""
    flips: bool = False
    """See `ImageData.flips`."""

    def split(
        self,
        seed: int,
        train_size: int | None = None,
        valid_size: int | None = None,
        image_size: int | None = None,
    ) -> ImageData:
        """Return training and validation images, drawn by `seed`.

        The sizes take the first images of each part, so they never turn a validation image into a
        training image. Raises DatasetError if a part has fewer images than requested.
        """
        rng = np.random.default_rng(seed)
        last = len(self.labels) - self.valid
        if self.drawn:
            order = stratified_order(self.labels, rng)
            parts = order[self.valid :], order[: self.valid]
        else:
            parts = (
                stratified_order(self.labels[:last], rng),
                last + stratified_order(self.labels[last:], rng),
            )
        train = _first(parts[0], train_size, "train_size", "training")
        valid = _first(parts[1], valid_size, "valid_size", "validation")
        return ImageData(
            resize(self.images[train], image_size),
            self.labels[train],
            resize(self.images[valid], image_size),
            self.labels[valid],
            self.names,
            self.flips,
        )


def _first(order: NDArray[np.intp], size: int | None, option: str, part: str) -> NDArray[np.intp]:
    if size is None:
        return order
    if not 2 <= size <= len(order):
        raise DatasetError(
            f"{option} must be from 2 to {len(order)}, the number of {part} images, not {size}"
        )
    return order[:size]


def digest_of(about: object, *arrays: NDArray[Any]) -> str:
    """Return the SHA-256 of `repr(about)` and of the arrays with their shapes, in hexadecimal."""
    total = hashlib.sha256(repr(about).encode())
    for array in arrays:
        total.update(repr((array.shape, array.dtype.str)).encode())
        total.update(np.ascontiguousarray(array).data)
    return total.hexdigest()


def stratified_order(labels: Labels, rng: np.random.Generator) -> NDArray[np.intp]:
    """Return a random order in which every prefix has nearly the class shares of the whole.

    The i-th of a class's n images, in random order, gets a random position in [i / n, (i + 1) / n).
    """
    positions = rng.random(len(labels))
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        positions[members] = (rng.permutation(len(members)) + positions[members]) / len(members)
    return np.argsort(positions, kind="stable")


def resize(images: Images, size: int | None) -> Images:
    """Return the images at `size` x `size` pixels, each pixel the mean of the area it covers.

    With None, returns the images as they are. The aspect ratio is not kept.
    """
    check_image_size(size)
    height, width = images.shape[1:3]
    if size is None or (height, width) == (size, size):
        return images
    rows, columns = _shares(height, size), _shares(width, size)
    resized = np.empty((len(images), size, size, images.shape[3]), np.uint8)
    for part in _chunks(len(images)):
        means = np.einsum(
            "rh,nhwc,sw->nrsc", rows, images[part].astype(np.float32), columns, optimize=True
        )
        resized[part] = np.rint(means)
    return resized


def check_image_size(image_size: int | None) -> None:
    """Raise DatasetError unless `image_size` is None or positive."""
    if image_size is not None and image_size < 1:
        raise DatasetError(f"image_size must be 1 pixel or more, not {image_size}")


def _shares(old: int, new: int) -> NDArray[np.float32]:
    """Return the share of each of `old` pixels in each of `new` ones, (new, old); rows sum to 1."""
    edges = np.linspace(0, old, new + 1)[:, np.newaxis]
    pixels = np.arange(old)
    shares = np.minimum(pixels + 1, edges[1:]) - np.maximum(pixels, edges[:-1])
    return np.clip(shares * (new / old), 0, None).astype(np.float32)


def _chunks(count: int) -> Iterator[slice]:
    for start in range(0, count, CHUNK):
        yield slice(start, start + CHUNK)
