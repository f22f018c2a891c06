"""Kill a search repeatedly, and check that nothing was lost."""

import hashlib
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from nasgym import Archive

ROOT = Path(__file__).resolve().parents[1]


def start(*arguments: str, cwd: Path = ROOT, **environment: str) -> subprocess.Popen[str]:
    """Start `python -m` with `arguments`, its output piped."""
    return subprocess.Popen(
        [sys.executable, "-m", *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def first_line(process: subprocess.Popen[str], beginning: str) -> str:
    """Return the next line of a process's output that starts with `beginning`."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(beginning):
            return line
    raise AssertionError(process.communicate()[1])


def acknowledged(output: str) -> dict[int, list[int]]:
    """Return the tokens, by number, of the trials in the whole lines of `output`."""
    lines = output.split("\n")[:-1]  # a killed process can leave half a line
    trials = (json.loads(line) for line in lines if line.startswith('{"child"'))
    return {trial["child"]: trial["tokens"] for trial in trials}


def archive_digest(path: Path) -> str:
    """Return a digest of a run's trials, its children and the agent's last state."""
    archive = Archive(path, read_only=True)
    trials = [(t.number, t.tokens, t.reward, t.status, t.cached, t.accuracy) for t in archive]
    children = rows(path, "SELECT key, accuracy, status, error, metrics FROM results ORDER BY key")
    state = next((saved.state for saved in archive.agent_states()), b"")
    archive.close()
    return hashlib.sha256(repr((trials, children)).encode() + state).hexdigest()


def rows(path: Path, query: str) -> list[tuple[Any, ...]]:
    """Return the rows of a query, without using nasgym."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        return database.execute(query).fetchall()


class Life:
    """A search process that a nest forked."""

    def __init__(self, pid: int, output: Path, errors: Path, nest: IO[str]) -> None:
        self.pid = pid
        self._output, self._errors, self._nest = output, errors, nest

    @property
    def output(self) -> str:
        return self._output.read_text() if self._output.exists() else ""

    @property
    def errors(self) -> str:
        return self._errors.read_text()

    def await_line(self, beginning: str) -> None:
        """Wait until it writes a line that starts with `beginning`, or ends."""
        while not self.output.startswith(beginning) and f"\n{beginning}" not in self.output:
            if not Path(f"/proc/{self.pid}").exists():
                break
            time.sleep(0.002)

    def kill(self) -> None:
        with suppress(ProcessLookupError):  # it ended by itself
            os.kill(self.pid, signal.SIGKILL)

    def end(self) -> int:
        """Wait until it ends; return the exit code."""
        return int(self._nest.readline())


class Nest:
    """A process that forks searches with instant children: see `tests.faults.nest`."""

    def __init__(self, *agents: str) -> None:
        self._process = start("tests.faults.nest", *agents)
        self._folder = Path(tempfile.mkdtemp())

    def begin(self, *arguments: str, **environment: str) -> Life:
        """Begin a search; only one may run at a time."""
        assert self._process.stdin is not None and self._process.stdout is not None
        files = output, errors = self._folder / "output", self._folder / "errors"
        for file in files:
            file.unlink(missing_ok=True)
        order = {
            "arguments": arguments,
            "environment": environment,
            "output": str(output),
            "errors": str(errors),
        }
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        pid = self._process.stdout.readline()
        assert pid, self._process.communicate()[1]
        return Life(int(pid), output, errors, self._process.stdout)

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()
        shutil.rmtree(self._folder)


@dataclass
class Account:
    """Counts of killed runs; a lost trial raises AssertionError."""

    kills: int = 0
    finished: int = 0
    """Trials of runs that ended."""
    begun_again: int = 0
    """Children that were training when their process was killed."""
    _trained: list[str] = field(default_factory=list)

    def follow(
        self,
        nest: Nest,
        arguments: list[str],
        kills: int,
        rng: random.Random,
        longest: float,
        **environment: str,
    ) -> None:
        """Continue a run until it ends, killing it up to `kills` times at random moments.

        Every third kill aims at the start, the others at later moments. After each kill, asserts
        that the archive is whole, that it has all acknowledged trials, and that no child in it was
        trained again.
        """
        folder = Path(arguments[0])
        notes = folder.with_name(f"{folder.name}-trained")
        promised: dict[int, list[int]] = {}
        stored: set[str] = set()
        noted = 0
        while True:
            life = nest.begin(*arguments, TRAINED=str(notes), **environment)
            if kills > 0:
                life.await_line("START" if kills % 3 == 0 else '{"child"')
                time.sleep(rng.uniform(0, longest))
                life.kill()
            code = life.end()
            promised |= acknowledged(life.output)
            trained = notes.read_text().splitlines() if notes.exists() else []
            again = set(trained[noted:]) & stored
            assert not again, f"{len(again)} finished children were trained again"
            noted = len(trained)
            stored = _children(folder / "archive.db", promised)
            if code == 0:
                self.finished += len(promised)
                self.begun_again += noted - len(stored)
                assert set(trained) == stored
                return
            assert code == -signal.SIGKILL, life.errors
            kills -= 1
            self.kills += 1

    def __str__(self) -> str:
        return (
            f"{self.finished:,} acknowledged trials, 0 lost, 0 trained again "
            f"({self.begun_again} cut short and begun again)"
        )


def _children(path: Path, promised: dict[int, list[int]]) -> set[str]:
    """Return the keys of the finished children; assert that no promised trial is missing."""
    if not path.exists() or not rows(path, "SELECT name FROM sqlite_master"):
        assert not promised  # it was killed before it had created the archive
        return set()
    with closing(Archive(path, read_only=True)) as archive:
        tokens = {trial.number: list(trial.tokens) for trial in archive}
    assert rows(path, "PRAGMA integrity_check") == [("ok",)]
    lost = [number for number, string in promised.items() if tokens.get(number) != string]
    assert not lost, f"acknowledged and lost: {lost}"
    assert sorted(tokens) == list(range(len(tokens)))
    return {key for (key,) in rows(path, "SELECT key FROM results")}
