"""A check finds any damage of an archive, and reports it in one line."""

import json
import re
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from nasgym.archive.check import check
from nasgym.archive.schema import NUMBERED, TABLES
from tests.archive_files import full, version_1
from tests.command_line import assert_mistake, run

Capture = pytest.CaptureFixture[str]


def spoilt(path: Path, *statements: str) -> tuple[str, ...]:
    """Return the faults that SQL statements cause, and undo them."""
    before = path.read_bytes()
    database = sqlite3.connect(path, isolation_level=None)
    for statement in statements:
        assert database.execute(statement).rowcount
    database.close()
    found = check(path).faults
    path.write_bytes(before)
    return found


def other(cell: Any) -> str:
    """Return a cell with one bit flipped, as SQL."""
    if isinstance(cell, float):
        return repr(cell + 2**-40)
    if isinstance(cell, int):
        return str(cell ^ 1)
    data = cell.encode() if isinstance(cell, str) else cell
    flipped = bytes([data[0] ^ 128, *data[1:]]) if data else b"\1"
    hexed = f"x'{flipped.hex()}'"
    return f"CAST({hexed} AS TEXT)" if isinstance(cell, str) else hexed


def test_a_bit_in_any_cell_of_any_table_is_found(tmp_path: Path) -> None:
    path = full(tmp_path / "archive.db")
    assert check(path).faults == ()
    database, cells = sqlite3.connect(path), 0
    for table in TABLES:
        rows = database.execute(f"SELECT rowid, * FROM {table} ORDER BY rowid DESC")
        names, (row, *values) = [column[0] for column in rows.description[1:]], rows.fetchone()
        rows.close()
        for name, value in list(zip(names, values, strict=True))[table in NUMBERED :]:
            faults = spoilt(path, f"UPDATE {table} SET {name} = {other(value)} WHERE rowid = {row}")
            damaged = re.compile(rf"{table}, .*: the (row|state) is damaged")
            assert any(map(damaged.fullmatch, faults)), (table, name, faults)
            cells += 1
    database.close()
    assert cells > 40


def test_rows_that_are_gone_are_missed(tmp_path: Path) -> None:
    path = full(tmp_path / "archive.db")
    ahead = "agent, number=2, run=1: saved after 12 trials, and there are 11"
    gap = "trials, run=1: 11 rows, numbered up to 11"
    assert spoilt(path, "DELETE FROM trials WHERE number = 5") == (gap, ahead)
    assert spoilt(path, "DELETE FROM trials WHERE number = 11") == (ahead,)
    assert spoilt(path, "DELETE FROM results WHERE result = 2") == (
        "trials, row 2: what it refers to is not in results",
    )
    assert len(spoilt(path, "DELETE FROM runs")) > 10
    assert spoilt(path, "DELETE FROM updates WHERE number = 0") == (
        "updates, run=1: 1 rows, numbered up to 1",
    )


def test_a_damaged_file_is_a_fault_and_no_file_a_mistake(tmp_path: Path, capsys: Capture) -> None:
    path = full(tmp_path / "archive.db")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    code, out, _ = run(capsys, "archive", "check", path)
    assert code == 1 and "archive.db: " in out.splitlines()[-1]
    path.write_bytes(b"SQLite format 3\0" + b"x" * 4000)
    code, out, _ = run(capsys, "archive", "check", path, "--json")
    assert code == 1 and len(json.loads(out)["faults"]) == 1
    assert_mistake(run(capsys, "archive", "check", tmp_path / "none.db"), "there is no archive at")


def test_whoever_reads_what_is_damaged_gets_one_line(tmp_path: Path, capsys: Capture) -> None:
    path = full(tmp_path / "archive.db")
    database = sqlite3.connect(path, isolation_level=None)
    deep = f"'{'[' * 100_000}'"
    spoils = [f"architecture = {text}" for text in ("'[1,'", "CAST(x'ff' AS TEXT)", deep)]
    for spoil in (*spoils, "architecture = '1', reward = 'best'"):
        database.execute(f"UPDATE trials SET {spoil} WHERE number = 11")
        assert_mistake(run(capsys, "show", tmp_path), "archive.db cannot be read as an archive")
    database.execute("UPDATE trials SET reward = 1.0 WHERE number = 11")
    database.execute("UPDATE results SET metrics = '7'")
    assert_mistake(run(capsys, "show", tmp_path), "archive.db cannot be read as an archive")
    database.close()


def test_a_sound_archive_has_no_fault_and_another_version_one(
    tmp_path: Path, capsys: Capture
) -> None:
    full(tmp_path / "archive.db")
    code, out, _ = run(capsys, "archive", "check", tmp_path)  # the folder of a run will do
    assert code == 0 and out.startswith(f"{tmp_path}/archive.db: no fault (version 2; 1 runs, ")
    assert "12 trials" in out and out.count("\n") == 1
    code, out, _ = run(capsys, "archive", "check", version_1(tmp_path / "old.db"))
    assert code == 1 and "begin a new archive" in out.splitlines()[0]
