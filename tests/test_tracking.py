"""The W&B mirror: it logs, and whatever it does it never stops a search."""

from pathlib import Path
from typing import Any

import pytest

from nasgym import NASVectorEnv
from nasgym.tracking import WandbMirror
from tests.spaces import Numbers, Stack


def search(mirror: WandbMirror) -> int:
    envs = NASVectorEnv(Stack(), Numbers(), num_envs=4)
    envs.listeners.append(mirror.show)
    for _ in range(3):
        envs.play([envs.space.string(index) for index in range(4)])
    mirror.close()
    return len(envs.archive)


def test_an_offline_run_is_written_below_the_folder(tmp_path: Path) -> None:
    assert search(WandbMirror("offline", tmp_path, {"agent": "random"})) == 12
    (log,) = tmp_path.rglob("run-*.wandb")
    assert log.stat().st_size > 1000


@pytest.mark.parametrize("when", ["init", "log", "finish"])
def test_a_failing_mirror_costs_one_warning(
    when: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import wandb

    class Failing:
        def log(self, *_: Any, **__: Any) -> None:
            if when == "log":
                raise OSError("no space left on device")

        def finish(self) -> None:
            raise OSError("no space left on device")

    def init(**_: Any) -> Failing:
        if when == "init":
            raise OSError("no space left on device")
        return Failing()

    monkeypatch.setattr(wandb, "init", init)
    assert search(WandbMirror("offline", tmp_path, {})) == 12
    assert capsys.readouterr().err.count("no space left on device") == 1


def test_an_unknown_mode_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="offline or online, not 'maybe'"):
        WandbMirror("maybe", tmp_path, {})
