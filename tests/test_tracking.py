"""Mirrors show every trial, and never stop or slow a search."""

import json
import sys
import threading
from collections.abc import Iterator
from math import inf
from pathlib import Path

import gymnasium as gym
import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from nasgym.archive import Archive
from nasgym.commands.main import main
from nasgym.tracking import BackgroundMirror, MirrorError
from tests.command_line import assert_mistake, run
from tests.free_search import ID, register
from tests.notes import TRIALS, Notes, search


def test_every_trial_is_shown_and_every_new_best_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    mirror = Notes()
    assert search(mirror, close_timeout=60) == TRIALS
    bests = np.maximum.accumulate([trial.reward for trial in TRIALS])
    assert mirror.numbers == list(range(24)) and mirror.closed
    assert mirror.drawn == [0, *(np.flatnonzero(np.diff(bests)) + 1).tolist()]
    assert capsys.readouterr().err == ""


def test_a_slow_mirror_leaves_trials_out_and_counts_them(
    capsys: pytest.CaptureFixture[str],
) -> None:
    mirror = Notes(hung="open")
    mirror.best = inf
    threading.Timer(0.5, mirror.free.set).start()
    assert search(mirror, queue_size=5, close_timeout=60) == TRIALS
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
    """Let commands wait for mirrors that are slow to start."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BackgroundMirror.__init__.__kwdefaults__ or {}, "close_timeout", 60.0)
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
