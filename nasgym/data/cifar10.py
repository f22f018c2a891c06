"""CIFAR-10: 60,000 photographs of 32x32 pixels in ten classes (Krizhevsky 2009).

The data are read from the binary version, either unpacked or as the original archive. Each member
of the archive is checked before it is read, and nothing is unpacked to disk.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from nasgym.data.dataset import DatasetError, ImagePool, Images, Labels
from nasgym.data.download import Progress, data_folder, download_file, has_checksum
from nasgym.data.tar import READ_ERRORS, open_tar, read_member

FOLDER = "cifar-10-batches-bin"
ARCHIVE = "cifar-10-binary.tar.gz"
TRAIN_FILES = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
TEST_FILES = ("test_batch.bin",)
CLASS_NAMES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
RECORD = 1 + 3 * 32 * 32
"""Bytes of one image: its label, then its red, green and blue planes."""


@dataclass(frozen=True)
class Edition:
    """The archive and the size of its files. The defaults are official; tests use smaller ones."""

    records: int = 10_000
    """Images in each file."""
    valid: int = 5000
    """Training images used for validation (Zoph & Le 2017, section 4.1)."""
    url: str = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
    """Address of the archive."""
    checksum: str = "md5:c32a1d4ab5d03f1284b67883e8d87530"
    """Checksum of the archive."""
    size: int = 170_052_171
    """Bytes of the archive."""


OFFICIAL = Edition()


def load_cifar10(edition: Edition = OFFICIAL) -> ImagePool:
    """Return the images for training and validation.

    Raises FileNotFoundError if CIFAR-10 is not in `data_folder()`, and DatasetError if the files
    there are damaged or something else, in one line.
    """
    images, labels = _read(TRAIN_FILES, edition)
    return ImagePool(images, labels, CLASS_NAMES, edition.valid, flips=True)


def load_cifar10_test(edition: Edition = OFFICIAL) -> tuple[Images, Labels]:
    """Return the test images and their labels; errors as for `load_cifar10`."""
    return _read(TEST_FILES, edition)


def find_cifar10() -> Path | None:
    """Return the path of the unpacked folder, else of the archive, or None if both are missing."""
    folder, archive = data_folder() / FOLDER, data_folder() / ARCHIVE
    if folder.is_dir():
        return folder
    return archive if archive.is_file() else None


def download_cifar10(progress: Progress | None = None, edition: Edition = OFFICIAL) -> Path:
    """Download the archive unless it or its unpacked folder is here; return the path of either."""
    if (data_folder() / FOLDER).is_dir():
        return data_folder() / FOLDER
    return download_file(
        edition.url,
        data_folder() / ARCHIVE,
        checksum=edition.checksum,
        size=edition.size,
        progress=progress,
    )


def _read(names: Sequence[str], edition: Edition) -> tuple[Images, Labels]:
    """Return the images in the files called `names`, in their order."""
    path = find_cifar10()
    if path is None:
        raise FileNotFoundError(
            f"CIFAR-10 is neither at {data_folder() / ARCHIVE} nor unpacked in {FOLDER} beside "
            f"it; `nasgym data cifar10` downloads it"
        )
    read = _read_folder if path.is_dir() else _read_archive
    content = read(path, names, edition)
    records = np.concatenate([_records(path / name, content[name]) for name in names])
    images = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), records[:, 0].astype(np.int64)


def _read_folder(folder: Path, names: Sequence[str], edition: Edition) -> dict[str, bytes]:
    for name in names:
        if not (folder / name).is_file():
            raise DatasetError(f"{folder} lacks {name}; delete it and run `nasgym data cifar10`")
        _check_size(str(folder / name), (folder / name).stat().st_size, edition)
    return {name: (folder / name).read_bytes() for name in names}


def _read_archive(archive: Path, names: Sequence[str], edition: Edition) -> dict[str, bytes]:
    if not has_checksum(archive, edition.checksum):
        raise DatasetError(
            f"{archive} is not the CIFAR-10 archive ({edition.checksum}); "
            f"delete it and run `nasgym data cifar10`"
        )
    try:
        content = _read_members(archive, names, edition)
    except READ_ERRORS as error:
        raise DatasetError(f"{archive} is damaged: {error}") from None
    for name in names:
        if name not in content:
            raise DatasetError(f"{archive} lacks {FOLDER}/{name}")
    return content


def _read_members(archive: Path, names: Sequence[str], edition: Edition) -> dict[str, bytes]:
    content = {}
    with archive.open("rb") as file, open_tar(file) as members:
        for member in members:
            where = f"{member.name!r} in {archive}"
            path = PurePosixPath(member.name)
            if path.parts[:1] != (FOLDER,) or ".." in path.parts:
                raise DatasetError(f"{where} is not part of CIFAR-10")
            if member.isdir():
                continue
            if not member.isfile():
                raise DatasetError(f"{where} is not a regular file")
            if member.size > edition.records * RECORD:
                raise DatasetError(f"{where} is too large: {member.size:,} bytes")
            if path.name in names:
                _check_size(where, member.size, edition)
                content[path.name] = read_member(members, member)
    return content


def _check_size(where: str, size: int, edition: Edition) -> None:
    """Refuse a file of the wrong size before it is read."""
    if size != edition.records * RECORD:
        raise DatasetError(
            f"{where} has {size:,} bytes, not the {edition.records * RECORD:,} bytes of "
            f"{edition.records:,} images"
        )


def _records(path: Path, content: bytes) -> NDArray[np.uint8]:
    """Return the images and labels in the file at `path` as rows of bytes, (images, RECORD)."""
    records = np.frombuffer(content, np.uint8).reshape(-1, RECORD)
    wrong = np.flatnonzero(records[:, 0] >= len(CLASS_NAMES))
    if wrong.size:
        raise DatasetError(
            f"{path} is not CIFAR-10: image {wrong[0]} has the label {records[wrong[0], 0]}, "
            f"not one from 0 to 9"
        )
    return records
