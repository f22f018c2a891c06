"""Archives that tests share."""

import sqlite3
from contextlib import closing
from pathlib import Path

from nasgym import Archive, Evaluation
from nasgym.archive import Origin, Proposal, Update


def full(path: Path, run: str = "main", trials: int = 12) -> Path:
    """Write an archive with rows in every table; of twelve trials one repeats a child."""
    with closing(Archive(path, run=run, resource_limits="60 s")) as archive:
        archive.note_plan('{"env":"NAS-Free-v0"}')
        for number in range(trials):
            origin = Origin(number, number, number % 3, number // 3)
            tokens = (number, 1, number % 5)
            archive.propose([Proposal(tokens, origin)])
            key = f"{number % 11:064x}"
            if number % 4:
                evaluation = Evaluation(0.5 + number / 512, seconds=1.5, metrics={"nll": 0.25})
            else:
                evaluation = Evaluation(status="timeout", error="stopped after 60 s", seconds=60.0)
            kept = archive.store(key, evaluation)
            archive.record([(tokens, {"layers": number}, kept.accuracy, key)], [origin])
        archive.propose([Proposal((9, 9), Origin(trials, trials, 0, 2))])
        archive.log([Update(0, 1, 2, 0.5, (0, 1)), Update(1, 1, 3, 0.25, (2, 3))])
        archive.save_agent(4, b"the state before" * 20)
        archive.save_agent(trials, b"the state now" * 20, trials + 1)
    return path


def version_1(path: Path) -> Path:
    """Write an archive that says that it has version 1."""
    full(path)
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version = 1")
    return path
