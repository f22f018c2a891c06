"""Damaged and hostile data sets: refused before any training."""

import os
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from PIL import Image

from nasgym import data
from nasgym.data import DatasetError, ptb
from nasgym.data.cifar10 import ARCHIVE, FOLDER, TRAIN_FILES, Edition, load_cifar10
from tests.faults.memory import peak
from tests.faults.table import Seen
from tests.faults.tiers import Scale
from tests.small_cifar10 import (
    Member,
    batch,
    edition_of,
    good_members,
    member,
    replaced,
    write_archive,
)

MOST_MEGABYTES = 500

FIRST = TRAIN_FILES[0]
FIRST_PATH = f"{FOLDER}/{FIRST}"


def special(kind: bytes) -> list[Member]:
    return replaced(FIRST, member(FIRST_PATH, kind=kind, link="/etc/passwd"))


MEMBERS: dict[str, tuple[Callable[[], list[Member]], str]] = {
    "wrong size": (lambda: replaced(FIRST, member(FIRST_PATH, batch(0)[:-1])), "92,189 bytes"),
    "missing": (lambda: good_members()[:3], "lacks"),
    "../": (
        lambda: replaced(FIRST, member(f"{FOLDER}/../{FIRST}", batch(0))),
        "is not part of CIFAR-10",
    ),
    "absolute": (
        lambda: [*good_members(), member(f"/tmp/{FIRST}", batch(0))],
        "is not part of CIFAR-10",
    ),
    "symlink": (lambda: special(tarfile.SYMTYPE), "is not a regular file"),
    "hardlink": (lambda: special(tarfile.LNKTYPE), "is not a regular file"),
    "device": (lambda: special(tarfile.CHRTYPE), "is not a regular file"),
    "pipe": (lambda: special(tarfile.FIFOTYPE), "is not a regular file"),
    "label 10": (
        lambda: replaced(FIRST, member(FIRST_PATH, b"\x0a" + batch(0)[1:])),
        "label 10",
    ),
    "pickles": (
        lambda: [member("cifar-10-batches-py/data_batch_1", b"\x80\x04cos\nsystem\n")],
        "is not part of CIFAR-10",
    ),
}


def truncated(folder: Path, share: float) -> Edition:
    write_archive(folder, good_members())
    path = folder / ARCHIVE
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    return edition_of(path)


def wrong_checksum(folder: Path) -> Edition:
    return replace(write_archive(folder, good_members()), checksum="md5:" + "0" * 32)


def bomb(path: Path, begin: list[bytes], megabytes: int, end: list[bytes]) -> None:
    """Write a small gzip file that expands to `begin`, `megabytes` of zeros, and `end`."""
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -15)
    pieces = [squeeze.compress(piece) for piece in begin]
    pieces.append(squeeze.flush(zlib.Z_FULL_FLUSH))
    zeros = squeeze.compress(bytes(2**20)) + squeeze.flush(zlib.Z_FULL_FLUSH)
    pieces += [zeros] * megabytes
    pieces += [squeeze.compress(piece) for piece in end]
    pieces += [squeeze.flush(), struct.pack("<II", 0, 0)]
    path.write_bytes(b"\x1f\x8b\x08\x00" + bytes(4) + b"\x02\xff" + b"".join(pieces))


def header(name: str, kind: bytes, megabytes: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, megabytes << 20
    return info.tobuf(tarfile.GNU_FORMAT)


def bombs(megabytes: int) -> dict[str, tuple[list[bytes], str]]:
    """Return the blocks before the zeros, and the words of the refusal, by name."""
    return {
        "bomb": ([header(FIRST_PATH, tarfile.REGTYPE, megabytes)], "is too large"),
        "bomb beside the batches": (
            [header(f"{FOLDER}/readme.html", tarfile.REGTYPE, megabytes)],
            "is too large",
        ),
        "bomb for a name": (
            [header("././@LongLink", tarfile.GNUTYPE_LONGNAME, megabytes)],
            "a header of",
        ),
        "bomb for what pax adds": ([header("x", tarfile.XHDTYPE, megabytes)], "a header of"),
    }


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make an empty data folder."""
    path = tmp_path / "data"
    path.mkdir()
    monkeypatch.setenv("NASGYM_DATA", str(path))
    return path


def refused(read: Callable[[], Any], *words: str) -> None:
    with pytest.raises(DatasetError) as error:
        read()
    text = str(error.value)
    assert "\n" not in text and len(text) < 1000
    assert all(word in text for word in words), text


@pytest.mark.fault(
    "F21", "hostile archives: cut, bombs, links, devices, pickles, wrong names, sizes"
)
def test_f21_a_hostile_archive_is_refused_and_nothing_is_written(
    folder: Path, tmp_path: Path, scale: Scale, seen: Seen
) -> None:
    makers: dict[str, tuple[Callable[[], Edition], str]] = {
        name: (lambda make=make: write_archive(folder, make()), words)  # type: ignore[misc]
        for name, (make, words) in MEMBERS.items()
    }
    for share in (0.1, 0.5, 0.99):
        makers[f"cut at {share}"] = (lambda share=share: truncated(folder, share), "is damaged")  # type: ignore[misc]
    makers["checksum"] = (lambda: wrong_checksum(folder), "is not the CIFAR-10 archive")
    size = scale(600, 1024)

    def exploding(begin: list[bytes]) -> Edition:
        bomb(folder / ARCHIVE, begin, size, [bytes(1024)])
        return edition_of(folder / ARCHIVE)

    for name, (begin, words) in bombs(size).items():
        makers[name] = (lambda begin=begin: exploding(begin), words)  # type: ignore[misc]
    for make, words in makers.values():
        edition = make()
        before = set(tmp_path.rglob("*"))
        with peak() as megabytes:
            refused(lambda edition=edition: load_cifar10(edition), words)  # type: ignore[misc]
            assert megabytes() < MOST_MEGABYTES
        assert set(tmp_path.rglob("*")) == before
    with pytest.raises(DatasetError, match="is not the CIFAR-10 archive"):
        gym.make("NAS-CIFAR10-v0")  # before there is anything that could train
    seen(len(makers), f"{len(makers)} of {len(makers)} refused, nothing written, < 500 MB")


@pytest.mark.fault("F21", "bombs in the Penn Treebank's archive, as it comes from the network")
def test_f21_a_hostile_download_is_refused_as_it_arrives(
    folder: Path, tmp_path: Path, scale: Scale, seen: Seen
) -> None:
    size = scale(600, 1024)
    for name, kind in (("name", tarfile.GNUTYPE_LONGNAME), ("pax", tarfile.XHDTYPE)):
        path = tmp_path / f"{name}.tgz"
        bomb(path, [header("x", kind, size)], size, [bytes(1024)])
        edition = ptb.Edition(url=path.as_uri(), size=path.stat().st_size)
        with peak() as megabytes:
            refused(lambda edition=edition: ptb.download_ptb(edition=edition), "a header of")  # type: ignore[misc]
            assert megabytes() < MOST_MEGABYTES
        assert not list(folder.iterdir())
    seen(2, "2 of 2 refused, nothing kept, < 500 MB")


# Your own images --------------------------------------------------------------------------------

Arrays = dict[str, np.ndarray[Any, Any]]


def write_bomb(path: Path, megabytes: int) -> None:
    """Write an .npz of `megabytes` of zeros."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        shape = (megabytes << 20) // 64, 8, 8
        with file.open("x.npy", "w", force_zip64=True) as array:
            np.lib.format.write_array_header_1_0(
                array, {"descr": "|u1", "fortran_order": False, "shape": shape}
            )
            for _ in range(megabytes):
                array.write(bytes(2**20))
        with file.open("y.npy", "w") as array:
            np.lib.format.write_array(array, np.arange(shape[0]) % 2)


def write_lie(path: Path) -> None:
    """Write an .npz whose headers announce more images than it has, or than fit into memory."""
    with zipfile.ZipFile(path, "w") as file:
        for name in ("x.npy", "y.npy"):
            with file.open(name, "w") as array:
                np.lib.format.write_array_header_1_0(
                    array, {"descr": "|u1", "fortran_order": False, "shape": (1 << 50,)}
                )
                array.write(bytes(1000))


def write_pickles(path: Path) -> None:
    images = np.zeros((40, 6, 6), np.uint8)
    np.savez(path, x=images, y=np.array([None] * 40))


@pytest.mark.fault("F21", "hostile .npz files: a bomb, a lying header, pickles, no zip")
def test_f21_a_hostile_npz_file_is_refused(tmp_path: Path, scale: Scale, seen: Seen) -> None:
    path = tmp_path / "own.npz"
    cases: list[tuple[Callable[[Path], object], str]] = [
        (lambda path: write_bomb(path, scale(300, 1024)), "too much for images"),
        (write_lie, "cannot be read"),
        (write_pickles, "cannot be read"),
        (lambda path: path.write_bytes(b""), "cannot be read"),
        (lambda path: path.write_bytes(b"no zip"), "cannot be read"),
        (lambda path: path.write_bytes(b"PK\x03\x04 half a zip"), "cannot be read"),
        (lambda path: path.write_bytes(b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 65535), ""),
    ]
    for write, words in cases:
        write(path)
        with peak() as megabytes:
            refused(lambda: data.load(str(path)), "own.npz", words)
            assert megabytes() < MOST_MEGABYTES
    seen(len(cases), f"{len(cases)} of {len(cases)} refused, < 500 MB")


POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(executed) (w) file\n%%EOF\n"


@pytest.mark.fault("F21", "hostile images in class folders: a bomb, PostScript, pipes, cut, noise")
@pytest.mark.timeout(30)  # a pipe that is opened for reading never ends
def test_f21_a_hostile_image_is_refused_or_passed_over(tmp_path: Path, seen: Seen) -> None:
    folder = tmp_path / "own"
    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True)
        for number in range(12):
            Image.new("L", (9, 7), 20 * number).save(folder / name / f"{number}.png")
    os.mkfifo(folder / "cat" / "pipe.png")
    (folder / "dog" / "folder.jpg").mkdir()
    assert data.load(str(folder), image_size=4).input_shape == (1, 4, 4)
    hostile = folder / "cat" / "0.png"
    good = hostile.read_bytes()
    Image.new("1", (9000, 9000)).save(hostile)
    contents = {
        "a bomb": hostile.read_bytes(),
        "PostScript": POSTSCRIPT,
        "cut": good[: len(good) // 2],
        "a header alone": b"\x89PNG\r\n\x1a\n and then nothing",
        "a page": b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    }
    for content in contents.values():
        hostile.write_bytes(content)
        with peak() as megabytes:
            refused(lambda: data.load(str(folder)), "0.png cannot be read as an image")
            assert megabytes() < MOST_MEGABYTES
    seen(2 + len(contents), f"2 passed over, {len(contents)} refused, < 500 MB")
