"""Your own images: an `.npz` file, or a folder with one folder of images for each class.

Either holds all images together, of which a tenth is used for testing and another for validation,
or it holds parts: `train`, and optionally `valid` (or `val`) and `test`. In a folder the parts are
folders of class folders. In an `.npz` file the arrays are called `x` and `y` or `images` and
`labels`; for parts `x_train`, `y_train`, ... or `train_images`, `train_labels`, ... Images are
uint8, (n, height, width) or (n, height, width, channels); labels are integers or strings.
"""

import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from warnings import catch_warnings

import numpy as np
from numpy.typing import NDArray

from nasgym.data.dataset import (
    DatasetError,
    ImagePool,
    Images,
    Labels,
    check_image_size,
    stratified_order,
)
from nasgym.errors import InvalidInput

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
"""Suffixes of image files; other files in class folders are ignored."""

PARTS = {"train": ("train",), "valid": ("valid", "val"), "test": ("test",)}
"""Names of each part."""

MIN_IMAGES = 20
"""Minimum number of images, so that a tenth has two or more."""

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""Formats that Pillow may decode, whatever the suffix; for others it would run Ghostscript."""

MAX_BYTES = 8 << 30
"""Maximum size of all decoded images."""

MAX_PIXELS = 50_000_000
"""Maximum pixels of one image file; decoding takes four bytes for each."""

SMALL, MAX_RATIO = 64 << 20, 100
"""An array of more than SMALL bytes may be compressed by at most MAX_RATIO. A higher ratio means
repeated bytes, a decompression bomb, and no images."""

Indices = NDArray[np.intp]
Numbering = Callable[[NDArray[Any]], Labels]


@dataclass(frozen=True, eq=False)
class Part:
    """The images of one part, to be read on demand, and their labels as given."""

    labels: NDArray[Any]
    """(n,), integers or strings."""
    read_images: Callable[[Indices], Images]
    """Returns the images with these indices, (m, height, width, channels)."""


def load_image_files(path: Path, image_size: int | None = None) -> ImagePool:
    """Return the images at `path` for training and validation.

    Images of a folder are resized to squares with sides of `image_size` pixels, by default to their
    most common size. Raises FileNotFoundError or DatasetError, in one line.
    """
    parts = _parts(path, image_size)
    names, number = _classes(path, parts)
    train = parts["train"]
    searched = _all(train) if "test" in parts else _order(train)[_tenth(train) :]
    images, labels = train.read_images(searched), number(train.labels[searched])
    if "valid" not in parts:
        return ImagePool(images, labels, names, _tenth(train))
    valid = parts["valid"]
    valid_images = valid.read_images(_all(valid))
    _check_same_shape(path, images, valid_images)
    return ImagePool(
        np.concatenate([images, valid_images]),
        np.concatenate([labels, number(valid.labels)]),
        names,
        len(valid.labels),
        drawn=False,
    )


def load_image_files_test(path: Path, image_size: int | None = None) -> tuple[Images, Labels]:
    """Return the test images at `path` and their labels, the same for every seed of a search."""
    parts = _parts(path, image_size)
    number = _classes(path, parts)[1]
    test = parts.get("test", parts["train"])
    tested = _all(test) if "test" in parts else _order(test)[: _tenth(test)]
    return test.read_images(tested), number(test.labels[tested])


def _all(part: Part) -> Indices:
    return np.arange(len(part.labels))


def _order(part: Part) -> Indices:
    labels = np.unique(part.labels, return_inverse=True)[1]
    return stratified_order(labels.astype(np.int64), np.random.default_rng(0))


def _tenth(part: Part) -> int:
    return len(part.labels) // 10


def _parts(path: Path, image_size: int | None) -> dict[str, Part]:
    check_image_size(image_size)
    if path.is_dir():
        parts = _folder_parts(path, image_size)
    elif path.is_file():
        parts = _npz_parts(path)
    else:
        raise FileNotFoundError(
            f"there is nothing at {path}: give an .npz file or a folder with a folder of images "
            f"for each class ('digits' and 'cifar10' are built in)"
        )
    count = len(parts["train"].labels)
    if count < MIN_IMAGES:
        raise DatasetError(f"{path} has {count} training images; {MIN_IMAGES} or more are needed")
    return parts


def _classes(path: Path, parts: Mapping[str, Part]) -> tuple[tuple[str, ...], Numbering]:
    """Return the sorted names of the classes, and a function from labels to class numbers."""
    known = np.unique(np.concatenate([part.labels for part in parts.values()]))
    if len(known) < 2:
        raise DatasetError(f"{path} has only the class {known[0]}; two or more are needed")
    return tuple(map(str, known)), lambda labels: np.searchsorted(known, labels).astype(np.int64)


def _check_same_shape(path: Path, train: Images, valid: Images) -> None:
    if train.shape[1:] != valid.shape[1:]:
        raise DatasetError(
            f"{path} has training images of {train.shape[1:]} but validation images of "
            f"{valid.shape[1:]} (height, width, channels); make them equal"
        )


# An .npz file ---------------------------------------------------------------------------------


NPZ_ERRORS = (
    *(OSError, ValueError, EOFError, AttributeError, MemoryError, RuntimeError),
    *(zipfile.BadZipFile, zlib.error),
)
"""Raised by NumPy for files that are no `.npz`, or whose content contradicts their headers."""


def _npz_parts(path: Path) -> dict[str, Part]:
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            pairs = _pairs(path, file.files)
            _check_members(path, file.zip)
            arrays = {part: (file[x], file[y]) for part, (x, y) in pairs.items()}
    except DatasetError:
        raise
    except NPZ_ERRORS as error:
        (line, *_) = str(error).splitlines() or [type(error).__name__]
        raise DatasetError(f"{path} cannot be read as an .npz file of arrays: {line}") from None
    return {
        part: _npz_part(path, *pairs[part], images, labels)
        for part, (images, labels) in arrays.items()
    }


def _check_members(path: Path, file: zipfile.ZipFile | None) -> None:
    """Refuse arrays that would fill the memory before they are read."""
    members = file.infolist() if file is not None else []
    total = sum(member.file_size for member in members)
    if total > MAX_BYTES:
        raise DatasetError(f"{path} is too large: {total:,} bytes, the maximum is {MAX_BYTES:,}")
    for member in members:
        if member.file_size > max(SMALL, MAX_RATIO * member.compress_size):
            raise DatasetError(
                f"{member.filename!r} in {path} expands from {member.compress_size:,} to "
                f"{member.file_size:,} bytes, too much for images; save images with np.savez"
            )


def _pairs(path: Path, names: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Return the names of the image array and the label array of each part in the file."""
    pairs = {}
    for part, spellings in PARTS.items():
        known = [("x", "y"), ("images", "labels")] if part == "train" else []
        for spelling in spellings:
            known.append((f"x_{spelling}", f"y_{spelling}"))
            known.append((f"{spelling}_images", f"{spelling}_labels"))
        for x, y in known:
            if x in names and y in names:
                pairs[part] = x, y
    if "train" not in pairs:
        raise DatasetError(
            f"{path} needs arrays x and y, or images and labels, or x_train and y_train; "
            f"it has {', '.join(names) or 'none'}"
        )
    return pairs


def _npz_part(path: Path, x: str, y: str, images: NDArray[Any], labels: NDArray[Any]) -> Part:
    where = f"{x} in {path}"
    if images.dtype != np.uint8:
        raise DatasetError(f"{where} must be uint8, 0 to 255, not {images.dtype}")
    if images.ndim == 3:
        images = images[..., np.newaxis]
    if images.ndim != 4 or images.shape[3] > 4 or 0 in images.shape:
        raise DatasetError(
            f"{where} must be (n, height, width) or (n, height, width, channels) with 1 to 4 "
            f"channels, not {images.shape}"
        )
    if labels.shape == (len(images), 1):
        labels = labels[:, 0]
    if labels.shape != (len(images),) or labels.dtype.kind not in "iuU":
        raise DatasetError(
            f"{y} in {path} must be {len(images)} integers or strings, one for each image, "
            f"not {labels.dtype} {labels.shape}"
        )
    return Part(labels, lambda indices: images[indices])


# A folder of class folders --------------------------------------------------------------------


def _folder_parts(path: Path, image_size: int | None) -> dict[str, Part]:
    folders = {
        part: path / spelling
        for part, spellings in PARTS.items()
        for spelling in spellings
        if (path / spelling).is_dir()
    }
    if "train" not in folders or not _class_folders(folders["train"]):  # "train" may be a class
        folders = {"train": path}
    files = {part: _class_files(folder) for part, folder in folders.items()}
    size, mode = _shape([file for found in files.values() for file, _ in found], image_size)
    return {part: _folder_part(found, size, mode) for part, found in files.items()}


def _class_folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and path.name[0] != ".")


def _class_files(folder: Path) -> list[tuple[Path, str]]:
    """Return the image files in the class folders of `folder`, each with its class name."""
    classes = _class_folders(folder)
    if not classes:
        raise DatasetError(f"{folder} has no class folders: it needs one folder for each class")
    files = [
        (file, path.name)
        for path in classes
        for file in sorted(path.iterdir())
        if file.suffix.lower() in SUFFIXES and file.name[0] != "." and file.is_file()
    ]
    missing = {path.name for path in classes} - {name for _, name in files}
    if missing:
        raise DatasetError(f"{folder / min(missing)} holds no images ({', '.join(SUFFIXES)})")
    return files


def _shape(files: Sequence[Path], image_size: int | None) -> tuple[tuple[int, int], str]:
    """Return the common (width, height) of the images, and their mode, "L" for grey or "RGB"."""
    headers = Counter(_header(file) for file in files)
    grey = all(mode in ("1", "L") for _, mode in headers)
    sizes: Counter[tuple[int, int]] = Counter()
    for (size, _), count in headers.items():
        sizes[size] += count
    (width, height), _ = min(sizes.items(), key=lambda item: (-item[1], item[0]))
    if image_size is not None:
        width = height = image_size
    total = len(files) * width * height * (1 if grey else 3)
    if total > MAX_BYTES:
        raise DatasetError(
            f"{len(files):,} images of {width}x{height} pixels take {total / 2**30:,.0f} GiB of "
            f"memory: choose a smaller image_size"
        )
    return (width, height), "L" if grey else "RGB"


def _folder_part(files: Sequence[tuple[Path, str]], size: tuple[int, int], mode: str) -> Part:
    def read_images(indices: Indices) -> Images:
        images = np.stack([_decode(files[index][0], size, mode) for index in indices])
        return images[..., np.newaxis] if mode == "L" else images

    return Part(np.array([name for _, name in files]), read_images)


def _header(path: Path) -> tuple[tuple[int, int], str]:
    """Return the (width, height) and the mode of the image at `path`."""
    with _opened(path) as image:
        return image.size, image.mode


def _decode(path: Path, size: tuple[int, int], mode: str) -> NDArray[np.uint8]:
    """Return an image upright, in `mode`, resized so that each pixel is the mean of its area."""
    from PIL.Image import Resampling
    from PIL.ImageOps import exif_transpose

    with _opened(path) as image:
        image.draft(mode, size)  # decodes a large JPEG at a smaller scale, ten times as fast
        return np.asarray(exif_transpose(image).convert(mode).resize(size, Resampling.BOX))


@contextmanager
def _opened(path: Path) -> "Iterator[Image]":
    """Open the image at `path`; any failure in the block is a DatasetError of one line."""
    from PIL.Image import DecompressionBombError, DecompressionBombWarning, open

    # Pillow raises SyntaxError for some broken files.
    try:
        with catch_warnings(action="ignore", category=DecompressionBombWarning):
            opened = open(path, formats=FORMATS)
        with opened as image:
            if image.width * image.height > MAX_PIXELS:
                raise InvalidInput(f"it has {image.width:,} x {image.height:,} pixels, too many")
            yield image
    except (OSError, ValueError, SyntaxError, DecompressionBombError) as error:
        raise DatasetError(f"{path} cannot be read as an image: {error}") from None
