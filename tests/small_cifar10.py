"""A CIFAR-10 of a few images, packed like the real one, for tests that read or damage it."""

import hashlib
import io
import tarfile
from pathlib import Path

import numpy as np

from nasgym.data.cifar10 import ARCHIVE, FOLDER, RECORD, TEST_FILES, TRAIN_FILES, Edition

SMALL = 30
"""Images in a file of the small edition."""


def batch(seed: int, count: int = SMALL) -> bytes:
    records = np.random.default_rng(seed).integers(0, 256, (count, RECORD), np.uint8)
    records[:, 0] = np.arange(count) % 10
    return records.tobytes()


BATCHES = {name: batch(seed) for seed, name in enumerate((*TRAIN_FILES, *TEST_FILES))}

Member = tuple[tarfile.TarInfo, bytes]


def member(
    name: str, content: bytes = b"", kind: bytes = tarfile.REGTYPE, link: str = ""
) -> Member:
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, len(content), link
    return info, content


def good_members() -> list[Member]:
    return [
        member(FOLDER, kind=tarfile.DIRTYPE),
        member(f"{FOLDER}/readme.html", b"<html>"),
        *(member(f"{FOLDER}/{name}", content) for name, content in BATCHES.items()),
    ]


def edition_of(path: Path) -> Edition:
    """Return the edition whose archive is the file at `path`."""
    content = path.read_bytes()
    checksum = f"md5:{hashlib.md5(content).hexdigest()}"
    return Edition(SMALL, 20, checksum=checksum, size=len(content))


def write_archive(folder: Path, members: list[Member]) -> Edition:
    path = folder / ARCHIVE
    with tarfile.open(path, "w:gz") as archive:
        for info, content in members:
            archive.addfile(info, io.BytesIO(content))
    return edition_of(path)


def replaced(name: str, other: Member) -> list[Member]:
    return [other if info.name == f"{FOLDER}/{name}" else (info, c) for info, c in good_members()]
