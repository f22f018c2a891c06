"""CIFAR-10: 60,000 photographs of 32x32 pixels in ten classes (Krizhevsky 2009).

Read from the binary version, either unpacked or as the archive it comes in. An archive is read
member by member, each checked before its bytes are, and nothing of it is ever unpacked to disk.
"""

import tarfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from nasgym.data.dataset import DatasetError, Images, Labels, Pool
from nasgym.data.download import Progress, data_folder, fetch, verified
from nasgym.data.members import Member

FOLDER = "cifar-10-batches-bin"
ARCHIVE = "cifar-10-binary.tar.gz"
TRAIN_FILES = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
TEST_FILES = ("test_batch.bin",)
NAMES = (
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
    """What tells the data set from other files; there is one, and tests make small ones."""

    records: int = 10_000
    """Images in each file."""
    valid: int = 5000
    """Training images set apart for validation (Zoph & Le 2017, section 4.1)."""
    url: str = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
    """Where the archive comes from."""
    checksum: str = "md5:c32a1d4ab5d03f1284b67883e8d87530"
    """Of the archive."""
    size: int = 170_052_171
    """Bytes of the archive."""


OFFICIAL = Edition()


def pool(edition: Edition = OFFICIAL) -> Pool:
    """Return the training images of the data set, some of them for validation.

    Raises FileNotFoundError if they are not in `data_folder()` and DatasetError if what is there
    is not CIFAR-10, in one line.
    """
    images, labels = _read(TRAIN_FILES, edition)
    return Pool(images, labels, NAMES, edition.valid, flips=True)


def test_images(edition: Edition = OFFICIAL) -> tuple[Images, Labels]:
    """Return the test images, those of `test_batch.bin`; errors as for `pool`."""
    return _read(TEST_FILES, edition)


def find() -> Path | None:
    """Return the folder or the archive that the data set is read from, None if neither is here."""
    folder, archive = data_folder() / FOLDER, data_folder() / ARCHIVE
    if folder.is_dir():
        return folder
    return archive if archive.is_file() else None


def download(progress: Progress | None = None, edition: Edition = OFFICIAL) -> Path:
    """Fetch the archive, unless it or its unpacked folder is here, and return where that is."""
    if (data_folder() / FOLDER).is_dir():
        return data_folder() / FOLDER
    return fetch(
        edition.url,
        data_folder() / ARCHIVE,
        checksum=edition.checksum,
        size=edition.size,
        progress=progress,
    )


def _read(names: Sequence[str], edition: Edition) -> tuple[Images, Labels]:
    where = find()
    if where is None:
        raise FileNotFoundError(
            f"CIFAR-10 is neither at {data_folder() / ARCHIVE} nor unpacked in {FOLDER} beside "
            f"it; `nasgym data cifar10` downloads it"
        )
    read = _read_folder if where.is_dir() else _read_archive
    content = read(where, names, edition)
    records = np.concatenate([_records(where / name, content[name]) for name in names])
    images = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), records[:, 0].astype(np.int64)


def _read_folder(folder: Path, names: Sequence[str], edition: Edition) -> dict[str, bytes]:
    for name in names:
        if not (folder / name).is_file():
            raise DatasetError(f"{folder} lacks {name}; delete it and run `nasgym data cifar10`")
        _check_size(str(folder / name), (folder / name).stat().st_size, edition)
    return {name: (folder / name).read_bytes() for name in names}


def _read_archive(archive: Path, names: Sequence[str], edition: Edition) -> dict[str, bytes]:
    if not verified(archive, edition.checksum):
        raise DatasetError(
            f"{archive} is not the CIFAR-10 archive ({edition.checksum}); "
            f"delete it and run `nasgym data cifar10`"
        )
    try:
        content = _read_members(archive, names, edition)
    except (tarfile.TarError, EOFError, OSError, zlib.error) as error:
        raise DatasetError(f"{archive} is damaged: {error}") from None
    for name in names:
        if name not in content:
            raise DatasetError(f"{archive} has no {FOLDER}/{name}")
    return content


def _read_members(archive: Path, names: Sequence[str], edition: Edition) -> dict[str, bytes]:
    content = {}
    with tarfile.open(archive, "r|gz", tarinfo=Member) as members:
        for member in members:
            where = f"{member.name!r} in {archive}"
            path = PurePosixPath(member.name)
            if path.parts[:1] != (FOLDER,) or ".." in path.parts:
                raise DatasetError(f"{where} does not belong into CIFAR-10")
            if member.isdir():
                continue
            if not member.isfile():
                raise DatasetError(f"{where} is no plain file")
            if member.size > edition.records * RECORD:
                raise DatasetError(f"{where} is too large: {member.size:,} bytes")
            if path.name in names:
                _check_size(where, member.size, edition)
                file = members.extractfile(member)
                content[path.name] = b"" if file is None else file.read()
    return content


def _check_size(where: str, size: int, edition: Edition) -> None:
    """Refuse a file of the wrong size before it is read, whatever fills it."""
    if size != edition.records * RECORD:
        raise DatasetError(
            f"{where} has {size:,} bytes, not the {edition.records * RECORD:,} of "
            f"{edition.records:,} images"
        )


def _records(name: Path, content: bytes) -> NDArray[np.uint8]:
    records = np.frombuffer(content, np.uint8).reshape(-1, RECORD)
    wrong = np.flatnonzero(records[:, 0] >= len(NAMES))
    if wrong.size:
        raise DatasetError(
            f"{name} is not CIFAR-10: image {wrong[0]} has the label {records[wrong[0], 0]}, "
            f"and there are only 0 to 9"
        )
    return records
