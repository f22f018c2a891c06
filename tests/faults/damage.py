"""Damage to files: flipped bits, power loss, full disks."""

import random
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def flip_bit(path: Path, rng: random.Random) -> tuple[int, int]:
    """Flip one random bit of a file; return its (byte, bit)."""
    with path.open("r+b") as file:
        byte, bit = rng.randrange(path.stat().st_size), rng.randrange(8)
        file.seek(byte)
        old = file.read(1)[0]
        file.seek(byte)
        file.write(bytes([old ^ 1 << bit]))
    return byte, bit


def crash_images(database: Path, folder: Path, count: int, seed: int) -> Iterator[Path]:
    """Yield `count` copies of an open database as a power loss may leave it.

    The log ends at a random byte, followed by nothing, noise or zeros. Each copy in `folder` is
    deleted before the next.
    """
    rng = random.Random(seed)
    log = Path(f"{database}-wal").read_bytes()
    for number in range(count):
        image = folder / f"image-{number}" / database.name
        image.parent.mkdir()
        shutil.copy(database, image)
        tail = (b"", rng.randbytes(4096), bytes(4096))[number % 3]
        Path(f"{image}-wal").write_bytes(log[: rng.randrange(len(log) + 1)] + tail)
        yield image
        shutil.rmtree(image.parent)


@contextmanager
def tiny_disk(folder: Path, megabytes: float) -> Iterator[Path]:
    """Mount a disk of `megabytes` on `folder`; skip the test if mounting is not allowed."""
    folder.mkdir(exist_ok=True)
    size = f"size={int(megabytes * 2**20)}"
    try:
        mounted = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", size, "tmpfs", folder], capture_output=True
        )
    except FileNotFoundError:
        pytest.skip("there is no mount here")
    if mounted.returncode:
        pytest.skip("may not mount a small disk")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)
