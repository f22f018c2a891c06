"""Faults of mirrors never stop or slow a search."""

import os
import signal
import socket
import subprocess
import sys
import time
from math import inf
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest

from nasgym import Archive
from nasgym.tracking import WandbMirror
from tests.command_line import run
from tests.faults.table import Seen
from tests.faults.tiers import Scale
from tests.free_search import ID, register
from tests.killing import ROOT
from tests.notes import TRIALS, Notes, search

SCRIPT = """
import sys
import wandb
from tests import free_search
free_search.register()
from nasgym.commands.main import main
main(sys.argv[1:])
"""


def command(folder: Path, *options: str) -> list[str]:
    words = ["search", ID, "--agent", "random", "--children", "16", "--out", str(folder)]
    return [sys.executable, "-c", SCRIPT, *words, *options]


@pytest.mark.fault("F33", "a mirror raises: when it begins, logs, draws, ends")
@pytest.mark.parametrize("place", ["open", "log", "draw", "close"])
def test_f33_a_mirror_that_fails_costs_one_warning(
    place: str, capsys: pytest.CaptureFixture[str], seen: Seen
) -> None:
    assert search(Notes(broken=place), close_timeout=60) == TRIALS
    err = capsys.readouterr().err
    assert "notes failed" in err and "no space left on device" in err and err.count("\n") == 1
    seen(1, "one warning; all trials equal")


@pytest.mark.fault("F33", "a mirror hangs: when it begins, logs, ends")
@pytest.mark.parametrize("place", ["open", "log", "close"])
def test_f33_a_mirror_that_hangs_is_left_alone(
    place: str, capsys: pytest.CaptureFixture[str], seen: Seen
) -> None:
    mirror, began = Notes(hung=place), time.monotonic()
    mirror.best = inf  # drawing takes longer than the timeout here
    assert search(mirror, close_timeout=1.0) == TRIALS
    took = time.monotonic() - began
    assert took < 4 and mirror.abandoned
    err = capsys.readouterr().err
    missing = 0 if place == "close" else 24
    assert f"it lacks {missing} of 24 trials" in err and err.count("\n") == 1
    mirror.free.set()
    seen(1, f"one warning; all trials equal; {took:.1f} s, of which 1 s of timeout")


@pytest.mark.fault("F33", "W&B raises when it begins")
def test_f33_wandb_is_given_up_when_it_fails(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    seen: Seen,
) -> None:
    def init(**_: Any) -> None:
        raise ConnectionError("no network")

    mirror = WandbMirror("online", tmp_path, {})
    monkeypatch.setattr("wandb.init", init)
    assert search(mirror, close_timeout=60) == TRIALS
    assert capsys.readouterr().err.count("no network") == 1
    seen(1, "one warning; all trials equal")


@pytest.mark.fault("F33", "the real W&B, online, before a server that accepts and never answers")
def test_f33_a_server_that_never_answers(tmp_path: Path, scale: Scale, seen: Seen) -> None:
    seconds = []
    with socket.create_server(("127.0.0.1", 0)) as silent:
        server = {"WANDB_BASE_URL": f"http://127.0.0.1:{silent.getsockname()[1]}"}
        for options in ([], ["--wandb", "online"]):
            begun = time.monotonic()
            searched = subprocess.run(
                command(tmp_path / str(len(options)), *options),
                cwd=ROOT,
                env={**os.environ, **server, "WANDB_API_KEY": "0" * 40},
                capture_output=True,
                text=True,
            )
            seconds.append(time.monotonic() - begun)
            assert searched.returncode == 0, searched.stderr
    assert searched.stderr.count("wandb was too slow and is stopped") == 1
    quiet, shown = (Archive(tmp_path / name / "archive.db", read_only=True) for name in "02")
    assert [trial.tokens for trial in quiet] == [trial.tokens for trial in shown]
    overhead = seconds[1] - seconds[0]
    assert overhead < scale(10, 5)  # other programs may slow the short tier
    seen(1, f"one warning; all trials equal; {overhead:.1f} s longer")


@pytest.mark.fault("F2", "killed while a trial is shown in TensorBoard")
def test_f02_killed_while_a_mirror_is_at_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], seen: Seen
) -> None:
    killed = subprocess.run(
        command(tmp_path / "a", "--tensorboard"),
        cwd=ROOT,
        env=os.environ | {"NASGYM_CRASH_AT": "mid_mirror:5"},
        capture_output=True,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    if ID not in gym.registry:
        register()
    for name in ("a", "b"):
        words = command(tmp_path / name, "--tensorboard")[3:]
        assert run(capsys, *words)[0] == 0
    resumed, undisturbed = (Archive(tmp_path / name / "archive.db") for name in ("a", "b"))
    assert [trial.tokens for trial in resumed] == [trial.tokens for trial in undisturbed]
    seen(1, "the trial is in the archive; went on, all trials equal")
