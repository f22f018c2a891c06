"""Your own images: an `.npz` file, or a folder with one folder of images for each class.

Both may hold all images together, of which a tenth is then set apart for testing and another for
validation, or in parts: `train`, and if you like `valid` (or `val`) and `test`. In a folder the
parts are folders that hold the class folders. In an `.npz` the arrays are called `x` and `y` or
`images` and `labels`; for parts `x_train`, `y_train`, ... or `train_images`, `train_labels`, ...
Images are uint8, (n, height, width) or (n, height, width, channels); labels are numbers or strings.
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

from nasgym.data.dataset import DatasetError, Images, Labels, Pool, check_size, stratified_order

if TYPE_CHECKING:
    from PIL.Image import Image

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
"""Files in class folders that are images; others are passed over."""

PARTS = {"train": ("train",), "valid": ("valid", "val"), "test": ("test",)}
"""The parts that may be given, and how their names are spelled."""

FEWEST = 20
"""Fewer images cannot be split into tenths that hold two or more."""

FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""What those files may be, whatever they are called: Pillow would run Ghostscript for others."""

LARGEST = 8 << 30
"""Bytes that the decoded images may take."""

MOST_PIXELS = 50_000_000
"""Pixels of one file: decoding it takes four bytes for each."""

SMALL, BOMB = 64 << 20, 100
"""An array of more than SMALL bytes that was compressed to less than a BOMB-th of them holds one
thing again and again, and no images."""

Indices = NDArray[np.intp]
Numbering = Callable[[NDArray[Any]], Labels]


@dataclass(frozen=True, eq=False)
class Part:
    """Images that belong together, not read yet, and their labels as the user gave them."""

    labels: NDArray[Any]
    """(n,), numbers or strings."""
    read: Callable[[Indices], Images]
    """Returns the images with these indices, (m, height, width, channels)."""


def pool(path: Path, image_size: int | None = None) -> Pool:
    """Return the images at `path` but the test images.

    `image_size` is the side that the images of a folder are brought to, by default the most
    common size. Raises FileNotFoundError or DatasetError, in one line, for what is wrong.
    """
    parts = _parts(path, image_size)
    names, number = _classes(path, parts)
    train = parts["train"]
    searched = _all(train) if "test" in parts else _order(train)[_tenth(train) :]
    images, labels = train.read(searched), number(train.labels[searched])
    if "valid" not in parts:
        return Pool(images, labels, names, _tenth(train))
    valid = parts["valid"]
    valid_images = valid.read(_all(valid))
    _check_same_shape(path, images, valid_images)
    return Pool(
        np.concatenate([images, valid_images]),
        np.concatenate([labels, number(valid.labels)]),
        names,
        len(valid.labels),
        drawn=False,
    )


def test_images(path: Path, image_size: int | None = None) -> tuple[Images, Labels]:
    """Return the test images at `path`; the same for every seed of a search."""
    parts = _parts(path, image_size)
    number = _classes(path, parts)[1]
    test = parts.get("test", parts["train"])
    tested = _all(test) if "test" in parts else _order(test)[: _tenth(test)]
    return test.read(tested), number(test.labels[tested])


def _all(part: Part) -> Indices:
    return np.arange(len(part.labels))


def _order(part: Part) -> Indices:
    labels = np.unique(part.labels, return_inverse=True)[1]
    return stratified_order(labels.astype(np.int64), np.random.default_rng(0))


def _tenth(part: Part) -> int:
    return len(part.labels) // 10


def _parts(path: Path, image_size: int | None) -> dict[str, Part]:
    check_size(image_size)
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
    if count < FEWEST:
        raise DatasetError(f"{path} has {count} training images; {FEWEST} or more are needed")
    return parts


def _classes(path: Path, parts: Mapping[str, Part]) -> tuple[tuple[str, ...], Numbering]:
    """Return the names of the classes, sorted, and what turns labels into their numbers."""
    known = np.unique(np.concatenate([part.labels for part in parts.values()]))
    if len(known) < 2:
        raise DatasetError(f"{path} has only the class {known[0]}; two or more are needed")
    return tuple(map(str, known)), lambda labels: np.searchsorted(known, labels).astype(np.int64)


def _check_same_shape(path: Path, images: Images, others: Images) -> None:
    if images.shape[1:] != others.shape[1:]:
        raise DatasetError(
            f"{path} has training images of {images.shape[1:]} and others of {others.shape[1:]} "
            f"(height, width, channels)"
        )


# An .npz file ---------------------------------------------------------------------------------


NPZ_ERRORS = (
    *(OSError, ValueError, EOFError, AttributeError, MemoryError, RuntimeError),
    *(zipfile.BadZipFile, zlib.error),
)
"""What NumPy raises for files that are none, or that say something else than they hold."""


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
    """Refuse arrays that would fill the memory, before they are read."""
    members = file.infolist() if file is not None else []
    total = sum(member.file_size for member in members)
    if total > LARGEST:
        raise DatasetError(f"{path} is too large: {total:,} bytes, and {LARGEST:,} are the most")
    for member in members:
        if member.file_size > max(SMALL, BOMB * member.compress_size):
            raise DatasetError(
                f"{member.filename!r} in {path} has {member.file_size:,} bytes of nothing, "
                f"compressed to {member.compress_size:,}: if they are images, save them by np.savez"
            )


def _pairs(path: Path, names: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Return the names of the arrays with the images and the labels of each part there is."""
    pairs = {}
    for part, spellings in PARTS.items():
        known = [("x", "y"), ("images", "labels")] if part == "train" else []
        for word in spellings:
            known += [(f"x_{word}", f"y_{word}"), (f"{word}_images", f"{word}_labels")]
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
            f"{y} in {path} must be {len(images)} whole numbers or strings, one for each image, "
            f"not {labels.dtype} {labels.shape}"
        )
    return Part(labels, lambda indices: images[indices])


# A folder of class folders --------------------------------------------------------------------


def _folder_parts(path: Path, image_size: int | None) -> dict[str, Part]:
    folders = {
        part: path / word
        for part, words in PARTS.items()
        for word in words
        if (path / word).is_dir()
    }
    if "train" not in folders or not _class_folders(folders["train"]):  # "train" may be a class
        folders = {"train": path}
    files = {part: _class_files(folder) for part, folder in folders.items()}
    size, mode = _shape([file for found in files.values() for file, _ in found], image_size)
    return {part: _folder_part(found, size, mode) for part, found in files.items()}


def _class_folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and path.name[0] != ".")


def _class_files(folder: Path) -> list[tuple[Path, str]]:
    """Return the images in the class folders of `folder` with the names of their classes."""
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
    """Return the (width, height) that the images are brought to, and "L" for grey or "RGB"."""
    headers = Counter(_header(file) for file in files)
    grey = all(mode in ("1", "L") for _, mode in headers)
    sizes: Counter[tuple[int, int]] = Counter()
    for (size, _), count in headers.items():
        sizes[size] += count
    (width, height), _ = min(sizes.items(), key=lambda item: (-item[1], item[0]))
    if image_size is not None:
        width = height = image_size
    total = len(files) * width * height * (1 if grey else 3)
    if total > LARGEST:
        raise DatasetError(
            f"{len(files):,} images of {width}x{height} pixels take {total / 2**30:,.0f} GiB of "
            f"memory: choose a smaller image_size"
        )
    return (width, height), "L" if grey else "RGB"


def _folder_part(files: Sequence[tuple[Path, str]], size: tuple[int, int], mode: str) -> Part:
    def read(indices: Indices) -> Images:
        images = np.stack([_decode(files[index][0], size, mode) for index in indices])
        return images[..., np.newaxis] if mode == "L" else images

    return Part(np.array([name for _, name in files]), read)


def _header(path: Path) -> tuple[tuple[int, int], str]:
    with _opened(path) as image:
        return image.size, image.mode


def _decode(path: Path, size: tuple[int, int], mode: str) -> NDArray[np.uint8]:
    """Return an image upright, in `mode`, each pixel the mean of the area it covers."""
    from PIL.Image import Resampling
    from PIL.ImageOps import exif_transpose

    with _opened(path) as image:
        image.draft(mode, size)  # a large JPEG is decoded at a smaller scale, ten times as fast
        return np.asarray(exif_transpose(image).convert(mode).resize(size, Resampling.BOX))


@contextmanager
def _opened(path: Path) -> "Iterator[Image]":
    from PIL.Image import DecompressionBombError, DecompressionBombWarning, open

    # Pillow raises SyntaxError for some broken files.
    try:
        with catch_warnings(action="ignore", category=DecompressionBombWarning):
            opened = open(path, formats=FORMATS)
        with opened as image:
            if image.width * image.height > MOST_PIXELS:
                raise ValueError(f"it has {image.width:,} x {image.height:,} pixels, too many")
            yield image
    except (OSError, ValueError, SyntaxError, DecompressionBombError) as error:
        raise DatasetError(f"{path} cannot be read as an image: {error}") from None
