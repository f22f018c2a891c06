"""Files are written whole or not at all, and a lock has one owner."""

import os
from pathlib import Path

import pytest

from nasgym.files import LockHeldError, ProcessLock, read_json, write_atomically


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    write_atomically(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, "new \udcff")
    assert path.read_text() == "old\n" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("text", ["[NaN]", "[Infinity]", "{", "[" * 100_000, " " * (4 * 2**20 + 1)])
def test_untrusted_json_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "file.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"^[^\n]+$"):
        read_json(path)


def test_a_lock_names_its_owner_until_it_is_released(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with ProcessLock(path) as lock:
        with pytest.raises(LockHeldError) as held:
            ProcessLock(path)
        assert held.value.owner == str(os.getpid())
    lock.release()
    again = ProcessLock(path, owner=tmp_path / "pid")
    assert (tmp_path / "pid").read_text() == str(os.getpid())
    again.delete()
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(FileNotFoundError):
        ProcessLock(tmp_path / "none" / "lock")


def test_a_lock_without_a_known_owner_says_so(tmp_path: Path) -> None:
    path, owner = tmp_path / "lock", tmp_path / "pid"
    with ProcessLock(path, owner):
        owner.unlink()
        with pytest.raises(LockHeldError, match=r"process \? holds the lock"):
            ProcessLock(path, owner)


def test_a_forked_child_neither_releases_nor_keeps_its_parents_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    lock = ProcessLock(path)
    child = os.fork()
    if child == 0:
        lock.release()
        os._exit(0)
    os.waitpid(child, 0)
    with pytest.raises(LockHeldError, match=f"process {os.getpid()} holds"):
        ProcessLock(path)
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.read(read, 1)
        os._exit(0)
    lock.release()
    ProcessLock(path).release()  # although the child still has the file open
    os.write(write, b".")
    os.waitpid(child, 0)
