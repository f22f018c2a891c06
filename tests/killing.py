"""Kill a command again and again, and tell whether anything was lost."""

import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from nasgym import Archive

ROOT = Path(__file__).resolve().parents[1]


def start(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    """Start `python -m` with `arguments` in the project's root, its output piped."""
    return subprocess.Popen(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def acknowledged(output: str) -> dict[int, list[int]]:
    """Return the tokens by number of the trials that whole lines of `output` report."""
    lines = output.split("\n")[:-1]  # a killed process can leave half a line
    trials = (json.loads(line) for line in lines if line.startswith('{"child"'))
    return {trial["child"]: trial["tokens"] for trial in trials}


def kill_loop(
    arguments: list[str], archive: Path, kills: int, seed: int, longest: float = 0.25
) -> dict[int, list[int]]:
    """Run the command, killing it `kills` times at random after it says START; return all ACKs.

    After every kill each acknowledged trial must be in the archive.
    """
    rng = random.Random(seed)
    seen: dict[int, list[int]] = {}
    while True:
        process = start(*arguments)
        assert process.stdout is not None
        first = process.stdout.readline()
        if kills > 0:
            time.sleep(rng.uniform(0, longest))
            process.send_signal(signal.SIGKILL)
        rest, errors = process.communicate()
        assert first == "START\n", errors
        seen |= acknowledged(rest)
        if seen:
            stored = Archive(archive, read_only=True)
            tokens = {trial.number: list(trial.tokens) for trial in stored}
            stored.close()
            assert all(tokens.get(number) == string for number, string in seen.items())
            assert sorted(tokens) == list(range(len(tokens)))
        if process.returncode == 0:
            return seen
        assert process.returncode == -signal.SIGKILL, errors
        kills -= 1


def archive_digest(path: Path) -> str:
    """Return a digest of all that a run decides: trials, children and the agent's last state."""
    archive = Archive(path, read_only=True)
    trials = [(t.number, t.tokens, t.reward, t.status, t.cached, t.accuracy) for t in archive]
    children = archive._db.execute("SELECT key, accuracy FROM results ORDER BY key").fetchall()
    state = next((state for _, state in archive.agent_states()), b"")
    archive.close()
    return hashlib.sha256(repr((trials, children)).encode() + state).hexdigest()
