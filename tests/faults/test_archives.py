"""Archives that are shared, damaged, or of another version."""

import json
import random
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from nasgym import Archive
from nasgym.archive import ArchiveError
from nasgym.archive.check import check
from nasgym.archive.schema import TABLES
from tests.archive_files import full, version_1
from tests.faults.damage import flip_bit
from tests.faults.table import Seen
from tests.faults.tiers import Scale
from tests.killing import start

PROCESSES, EVALUATIONS = 6, 150


def rows(path: Path) -> Any:
    """Return all rows of all tables; of an unreadable file the error."""
    found = {}
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as database:
        database.text_factory = bytes
        for table in TABLES:
            try:
                found[table] = database.execute(f"SELECT * FROM {table} ORDER BY rowid").fetchall()
            except sqlite3.DatabaseError as error:
                return str(error)
    return found


@pytest.mark.fault("F19", "a bit of an archive flipped, anywhere in its file")
def test_f19_a_bit_that_matters_is_found(
    tmp_path: Path, scale: Scale, seed: int, seen: Seen
) -> None:
    path, rng = full(tmp_path / "archive.db", trials=200), random.Random(seed)
    with closing(sqlite3.connect(path)) as database:
        database.execute("VACUUM")  # leave as few unused bytes as possible
    sound, intact = rows(path), path.read_bytes()
    found, flips = 0, scale(100, 2_000)
    for _ in range(flips):
        byte, bit = flip_bit(path, rng)
        faults = check(path).faults
        found += bool(faults)
        assert faults or rows(path) == sound, f"bit {bit} of byte {byte} is not found"
        path.write_bytes(intact)
    seen(flips, f"{found} found, each in a line; {flips - found} in bytes that hold nothing")


@pytest.mark.fault("F23", "6 processes that search in one archive, 150 evaluations each")
def test_f23_one_archive_serves_runs_of_many_processes(
    tmp_path: Path, seed: int, seen: Seen
) -> None:
    path = tmp_path / "archive.db"
    arguments = map(str, (path, PROCESSES, EVALUATIONS, seed))
    output, errors = start("tests.faults.sharing", *arguments).communicate()
    outcomes = [json.loads(line) for line in output.splitlines()]
    assert len(outcomes) == PROCESSES, errors
    failed = [error for outcome in outcomes for error in outcome["errors"]]
    assert not failed, failed[0]
    runs = {outcome["run"] for outcome in outcomes}
    assert runs == {"main", *(f"main-{number}" for number in range(2, PROCESSES + 1))}
    checked = check(path)
    assert checked.faults == ()
    assert checked.rows["trials"] == PROCESSES * EVALUATIONS
    with closing(sqlite3.connect(path)) as database:
        (keys, different) = database.execute(
            "SELECT COUNT(key), COUNT(DISTINCT key) FROM results"
        ).fetchone()
    kept, found = (sum(outcome["counts"][place] for outcome in outcomes) for place in (1, 2))
    trained = sum(outcome["trained"] for outcome in outcomes)
    assert keys == different == kept and found > 0
    at_once = trained - kept  # in two processes, before either had finished
    assert at_once < kept / 2
    seen(
        PROCESSES * EVALUATIONS,
        f"0 errors, 0 keys twice; {trained} trained, {at_once} of them by two at once; "
        f"{found - at_once} found in the archive, the others proposed again",
    )


@pytest.mark.fault("F25", "an archive of version 1 opened to read, to write, by a claim")
def test_f25_an_archive_of_version_1_is_refused_and_unchanged(tmp_path: Path, seen: Seen) -> None:
    path = version_1(tmp_path / "archive.db")
    before = path.read_bytes()
    for opened in (partial(Archive, read_only=True), Archive, Archive.claimed):
        with pytest.raises(ArchiveError, match=r"archive version 1, .* begin a new archive$"):
            opened(path)
        assert path.read_bytes() == before and not list(tmp_path.glob("*.lock"))
    seen(3, "refused in one line; the file unchanged, no lock left")
