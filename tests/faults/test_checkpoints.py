"""Checkpoints and weights on bad disks: the old file stays, and any wrong bit is detected."""

import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from nasgym import Archive
from nasgym.files import write_atomically
from nasgym.networks import build
from nasgym.networks.export import export_network
from nasgym.spaces import ConvArchitecture, ConvLayer
from nasgym.training.final import checkpoint
from nasgym.training.final.checkpoint import CheckpointError
from tests.faults.damage import flip_bit, tiny_disk
from tests.faults.hostile import blobs
from tests.faults.table import Seen
from tests.faults.tiers import Scale

WEIGHTS = {"weight": torch.arange(6.0).view(2, 3), "bias": torch.zeros(2)}
STATE = {"weights": WEIGHTS, "rng": {"state": 2**100 + 1}, "curve": [{"loss": 0.1}]}
LARGE = {"weights": torch.zeros(2**19)}
"""2 MiB: more than a small disk has room for."""


def saved(folder: Path) -> dict[Path, Callable[[], Any]]:
    """Write a checkpoint and weights; return what reads each."""
    state, weights = folder / "checkpoint.pt", folder / "weights.pt"
    checkpoint.save(state, STATE, "me")
    sha256 = checkpoint.save_weights(weights, WEIGHTS)
    return {
        state: lambda: checkpoint.load(state, "me"),
        weights: lambda: checkpoint.load_weights(weights, sha256),
    }


def complaint(read: Callable[[], Any]) -> str:
    with pytest.raises(CheckpointError) as error:
        read()
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.fault("F19", "checkpoint and weights cut short, bits flipped, another file, empty")
def test_f19_a_damaged_checkpoint_is_never_taken_for_a_good_one(
    tmp_path: Path, seed: int, scale: Scale, seen: Seen
) -> None:
    rng, flips, cuts = random.Random(seed), scale(200, 2000), 20
    for path, read in saved(tmp_path).items():
        whole = path.read_bytes()
        for _ in range(flips):
            flip_bit(path, rng)
            assert str(path) in complaint(read)
            path.write_bytes(whole)
        for length in [0, *(rng.randrange(len(whole)) for _ in range(cuts - 1))]:
            path.write_bytes(whole[:length])
            assert str(path) in complaint(read)
        path.write_bytes(b"PK\x03\x04" + whole)
        assert str(path) in complaint(read)
        path.write_bytes(whole)
        read()
    seen(2 * (flips + cuts + 1), f"{flips} of {flips} flips and {cuts} of {cuts} cuts found, twice")


@pytest.mark.fault("F19", "bits flipped in the last of two states of an agent")
def test_f19_a_damaged_state_of_an_agent_gives_way_to_the_one_before(
    tmp_path: Path, seed: int, seen: Seen
) -> None:
    rng, archive = random.Random(seed), Archive(tmp_path / "archive.db")
    archive.save_agent(1, b"good")
    archive.save_agent(2, last := rng.randbytes(1000))
    for _ in range(flips := 200):
        place = rng.randrange(1000)
        broken = last[:place] + bytes([last[place] ^ 1 << rng.randrange(8)]) + last[place + 1 :]
        archive._db.execute("UPDATE agent SET state = ? WHERE trials = 2", (broken,))
        assert [state.trials for state in archive.agent_states()] == [1]
    archive._db.execute("UPDATE agent SET state = ? WHERE trials = 2", (last,))
    assert [state.trials for state in archive.agent_states()] == [2, 1]
    archive.close()
    seen(flips, f"{flips} of {flips} found, the state before given")


@pytest.mark.fault("F20", "checkpoints with right sums that hold pickles, zips of SB3 and noise")
def test_f20_a_checkpoint_made_by_somebody_else_executes_nothing(
    tmp_path: Path, seen: Seen
) -> None:
    mark, path = tmp_path / "executed", tmp_path / "foreign.pt"
    hostile = blobs(mark)
    for content in hostile.values():
        path.write_bytes(content)
        assert "is no checkpoint of nasgym" in complaint(
            lambda: checkpoint.load_weights(path, None)
        )
        summed = b"me\n" + content
        path.write_bytes(checkpoint.KIND + checkpoint.sha256(summed).encode() + b"\n" + summed)
        assert "is no checkpoint of nasgym" in complaint(lambda: checkpoint.load(path, "me"))
        assert not mark.exists()
    seen(2 * len(hostile), "0 executed, a line each")


# Disks that take nothing ------------------------------------------------------------------------


def writers(folder: Path) -> dict[str, Callable[[], Any]]:
    """Return what writes each kind of file that a training leaves, large enough to fail."""
    network = build(ConvArchitecture((ConvLayer(7, 7, 300), ConvLayer(5, 5, 64, inputs=(1,)))))
    return {
        "checkpoint.pt": lambda: checkpoint.save(folder / "checkpoint.pt", LARGE, "me"),
        "weights.pt": lambda: checkpoint.save_weights(folder / "weights.pt", LARGE),
        "test.json": lambda: write_atomically(folder / "test.json", "x" * 2**21),
        "network.pt2": lambda: export_network(network, folder / "network.pt2"),
    }


def assert_old_files_stay(folder: Path) -> int:
    """Have every writer fail, each with one line of words; the old files must stay as they are."""
    jobs = writers(folder)
    for name, write in jobs.items():
        with pytest.raises((OSError, ValueError)) as error:
            write()
        assert str(error.value) and "\n" not in str(error.value), name
    assert {path.name: path.read_text() for path in folder.iterdir()} == dict.fromkeys(jobs, "old")
    return len(jobs)


def with_old_files(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    for name in writers(folder):
        (folder / name).write_text("old")
    return folder


@contextmanager
def short_files(size: int) -> Iterator[None]:
    """Let no file of this process grow beyond `size` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.fault("F17", "checkpoint, weights, JSON and export where no file may grow past 64 kB")
def test_f17_what_cannot_be_written_leaves_the_old_file(tmp_path: Path, seen: Seen) -> None:
    folder = with_old_files(tmp_path / "out")
    with short_files(2**16):
        count = assert_old_files_stay(folder)
    seen(count, "old files whole, one line each, nothing half-written left")


@pytest.mark.fault("F17", "the same on a disk of 1 MB that is full", full=True)
def test_f17_a_full_disk_leaves_the_old_file(tmp_path: Path, seen: Seen) -> None:
    with tiny_disk(tmp_path / "disk", 1) as disk:
        seen(assert_old_files_stay(with_old_files(disk)), "old files whole, one line each")


NOBODY = 65534


@pytest.mark.fault("F17", "the same in a folder that the user may not write to")
def test_f17_a_read_only_folder_leaves_the_old_file(seen: Seen) -> None:
    folder = with_old_files(Path(tempfile.mkdtemp()))
    folder.chmod(0o555)
    try:
        pid = os.fork()
        if pid == 0:  # root may write anywhere, so a process that is nobody's tries
            code = 1
            try:
                if os.getuid() == 0:
                    os.setgid(NOBODY)
                    os.setuid(NOBODY)
                code = 100 + assert_old_files_stay(folder)
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(code)
        count = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) - 100
        assert count == len(writers(folder))
    finally:
        folder.chmod(0o755)
        shutil.rmtree(folder)
    seen(count, "old files whole, one line each")
