"""The mirrors: they show every trial, and whatever they do they never stop or slow a search."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from math import inf
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from numpy.typing import NDArray
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from nasgym import NASVectorEnv
from nasgym.archive import Archive, Trial
from nasgym.cli import main
from nasgym.tracking import Detached, Mirror, MirrorError, WandbMirror
from tests.command_line import assert_mistake, run
from tests.free_search import ID, register
from tests.spaces import Numbers, Stack


class Notes(Mirror):
    """A mirror that keeps what it is shown, and can go wrong at a place."""

    name = "notes"

    def __init__(self, broken: str = "", hung: str = "", pause: float = 0.0) -> None:
        self.broken, self.hung, self.pause = broken, hung, pause
        self.numbers: list[int] = []
        self.drawn: list[int] = []
        self.entropy: list[float | None] = []
        self.closed = False
        self.free = threading.Event()

    def at(self, place: str) -> None:
        if place == self.broken:
            raise OSError("no space\nleft on device")
        if place == self.hung:
            self.free.wait(30)
        time.sleep(self.pause)

    def open(self, first: int) -> None:
        self.at("open")

    def log(self, number: int, numbers: Mapping[str, float], tokens: str) -> None:
        self.at("log")
        self.numbers.append(number)
        self.entropy.append(numbers.get("entropy"))

    def draw(self, number: int, pixels: NDArray[np.uint8]) -> None:
        self.at("draw")
        assert pixels.ndim == 3 and pixels.shape[2] == 3
        self.drawn.append(number)

    def close(self) -> None:
        self.at("close")
        self.closed = True


def search(mirror: Mirror | None = None, **options: Any) -> list[Trial]:
    """Search for 24 children with `mirror`, and return their trials."""
    envs = NASVectorEnv(Stack(), Numbers(), num_envs=4)
    detached = None if mirror is None else Detached(mirror, 0, **options)
    if detached is not None:
        envs.listeners.append(detached.show)
    for wave in range(6):
        envs.play([envs.space.string(index) for index in range(4 * wave, 4 * wave + 4)])
    if detached is not None:
        detached.close()
    return list(envs.archive)


TRIALS = search()


def test_every_trial_is_shown_and_every_new_best_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    mirror = Notes()
    assert search(mirror, patience=60) == TRIALS
    bests = np.maximum.accumulate([trial.reward for trial in TRIALS])
    assert mirror.numbers == list(range(24)) and mirror.closed
    assert mirror.drawn == [0, *(np.flatnonzero(np.diff(bests)) + 1).tolist()]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("place", ["open", "log", "draw", "close"])
def test_a_mirror_that_fails_costs_one_warning(
    place: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert search(Notes(broken=place), patience=60) == TRIALS
    err = capsys.readouterr().err
    assert "notes failed" in err and "no space left on device" in err and err.count("\n") == 1


@pytest.mark.parametrize("place", ["open", "log", "close"])
def test_a_mirror_that_hangs_is_left_alone(place: str, capsys: pytest.CaptureFixture[str]) -> None:
    mirror, began = Notes(hung=place), time.monotonic()
    mirror.best = inf  # drawing takes longer than the patience here
    assert search(mirror, patience=1.0) == TRIALS
    assert time.monotonic() - began < 4
    err = capsys.readouterr().err
    missing = 0 if place == "close" else 24
    assert f"it lacks {missing} of 24 trials" in err and err.count("\n") == 1
    mirror.free.set()


def test_a_slow_mirror_leaves_trials_out_and_counts_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    mirror = Notes(hung="open")
    mirror.best = inf
    threading.Timer(0.5, mirror.free.set).start()
    assert search(mirror, waiting=5, patience=60) == TRIALS
    assert mirror.numbers == list(range(5))
    assert "it lacks 19 of 24 trials" in capsys.readouterr().err


def test_the_entropy_shown_is_that_known_when_the_trial_ended() -> None:
    mirror = Notes()
    mirror.show_all(TRIALS[:6], entropy=[(2, 1.5), (4, 1.25)])
    assert mirror.entropy == [None, None, 1.5, 1.5, 1.25, 1.25]
    with pytest.raises(MirrorError, match="notes failed: no space left on device"):
        Notes(broken="close").show_all(TRIALS[:2])


@pytest.fixture(scope="module", autouse=True)
def patient() -> Iterator[None]:
    """Commands wait for their mirrors even where these are slow to start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(Detached.__init__.__kwdefaults__ or {}, "patience", 60.0)
        yield


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished search, shown in TensorBoard and, offline, in W&B."""
    if ID not in gym.registry:
        register()
    folder = tmp_path_factory.mktemp("runs") / "mine"
    options = ["--children", "16", "--agent-set", "batch=4", "--wandb", "offline", "--tensorboard"]
    main(["search", ID, "--agent", "reinforce", *options, "--out", str(folder)])
    return folder


def events(folder: Path) -> EventAccumulator:
    accumulator = EventAccumulator(str(folder / "tensorboard"), size_guidance={"images": 0})
    return accumulator.Reload()


def test_tensorboard_has_the_archive_once_however_often_it_is_tracked(
    searched: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trials = list(Archive(searched / "archive.db", read_only=True))
    for _ in range(2):
        written = events(searched)
        rewards = [(event.step, event.value) for event in written.Scalars("reward")]
        assert rewards == [
            (trial.number, pytest.approx(trial.reward, abs=1e-6)) for trial in trials
        ]
        assert len(written.Scalars("entropy")) == 12  # all but the first batch
        assert written.Images("best")[-1].encoded_image_string.startswith(b"\x89PNG")
        assert {"plan/text_summary", "tokens/text_summary"} <= set(written.Tags()["tensors"])
        code, out, err = run(capsys, "track", searched, "--tensorboard")
        assert (code, err) == (0, "") and "16 children are in tensorboard" in out


def test_wandb_has_a_run_for_each_call(searched: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (log,) = searched.rglob("run-*.wandb")
    assert log.stat().st_size > 1000
    assert run(capsys, "track", searched, "--wandb", "offline")[0] == 0
    assert len(list(searched.rglob("run-*.wandb"))) == 2


def test_a_resumed_search_goes_on_where_the_mirror_stood(
    searched: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = ["--children", "20", "--tensorboard", "--json"]
    code, out, err = run(capsys, "search", "--out", searched, *more)
    assert (code, err) == (0, "") and json.loads(out.splitlines()[-1])["children"] == 20
    assert [event.step for event in events(searched).Scalars("reward")] == list(range(20))


MISTAKES = {
    "no such mode": (("--wandb", "maybe"), "offline or online, not 'maybe'"),
    "nowhere": ((), "say where"),
}


@pytest.mark.parametrize(("options", "message"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_line(
    options: tuple[str, ...], message: str, searched: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert_mistake(run(capsys, "track", searched, *options), message)
    assert_mistake(run(capsys, "track", searched.parent, *options), "there is no run in")


def test_tensorboard_that_is_not_installed_is_one_line(
    searched: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    for name in ("torch.utils.tensorboard", "torch.utils.tensorboard.writer"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    outcome = run(capsys, "search", "--out", searched, "--tensorboard")
    assert_mistake(outcome, "pip install 'nasgym[tensorboard]'")


def test_wandb_is_given_up_when_it_fails(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def init(**_: Any) -> None:
        raise ConnectionError("no network")

    mirror = WandbMirror("online", tmp_path, {})
    monkeypatch.setattr("wandb.init", init)
    assert search(mirror, patience=60) == TRIALS
    assert capsys.readouterr().err.count("no network") == 1


def test_killed_while_a_mirror_is_at_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """F2: the trial that was being shown is in the archive, and the search goes on from there."""
    options = ["--agent", "random", "--children", "16", "--tensorboard", "--json"]
    script = "import sys; from tests import free_search; free_search.register()\n"
    script += "from nasgym.cli import main; main(sys.argv[1:])"
    command = [sys.executable, "-c", script, "search", ID, *options, "--out", str(tmp_path / "a")]
    killed = subprocess.run(
        command, env=os.environ | {"NASGYM_CRASH_AT": "mid_mirror:5"}, capture_output=True
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    for name in ("a", "b"):
        assert run(capsys, "search", ID, *options, "--out", tmp_path / name)[0] == 0
    resumed, undisturbed = (Archive(tmp_path / name / "archive.db") for name in ("a", "b"))
    assert [trial.tokens for trial in resumed] == [trial.tokens for trial in undisturbed]
