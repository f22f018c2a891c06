"""Fixtures for tests of a pool of worker processes, and the processes that belong to it."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nasgym.evaluation.evaluation import Evaluation
from nasgym.execution.local import Pool
from tests.processes import children_of, gone

JOB = "tests.jobs:any_of_these"
ANSWER: dict[str, Any] = {"do": "answer", "seed": 1}


@pytest.fixture
def nothing_left() -> Iterator[None]:
    """Fail if a test leaves a process behind."""
    yield
    assert family() == set()


@pytest.fixture
def pool() -> Iterator[Pool]:
    with Pool(JOB, {}, workers=2) as pool:
        yield pool


def family() -> set[int]:
    """Return the fork servers of this process, and its children that are dead but not reaped."""
    return {
        pid
        for pid in children_of(os.getpid())
        if gone({pid}) or "nasgym.execution.forkserver" in Path(f"/proc/{pid}/cmdline").read_text()
    }


def fork_server() -> int:
    (pid,) = family()
    return pid


def evaluate(pool: Pool, *tasks: dict[str, Any]) -> list[Evaluation]:
    results = dict(pool.run(tasks))
    assert sorted(results) == list(range(len(tasks)))
    return [results[index] for index in range(len(tasks))]


def last_line(evaluation: Evaluation) -> str:
    return evaluation.error.splitlines()[-1]
