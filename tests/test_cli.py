"""The command line as a user meets it: output, exit codes, one line for a mistake."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.command_line import assert_mistake, run

SEARCH = ("search", "NAS-Digits-v0", "--agent", "random", "--children", "3", "--num-envs", "3")
QUICK = ("--set", "epochs=1", "layers=2")


def test_search_show_and_the_files_they_leave(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    code, out, err = run(capsys, *SEARCH, "--out", str(folder), *QUICK)
    assert (code, err) == (0, "")
    assert "3/3  child 2" in out and "best: child" in out and f"{folder}/best.png" in out
    best = json.loads((folder / "best.json").read_text())
    assert 0.1 < best["accuracy"] <= 1 and best["env"] == "NAS-Digits-v0"
    code, out, _ = run(capsys, "search", "--out", str(folder))
    assert code == 0 and "3 children are done" in out
    code, out, _ = run(capsys, "show", str(folder), "--top", "2")
    assert code == 0 and f"{best['accuracy']:.2%}" in out
    picture = tmp_path / "net.png"
    code, out, _ = run(capsys, "show", str(folder / "best.json"), "--picture", str(picture))
    assert code == 0 and picture.read_bytes().startswith(b"\x89PNG")
    code, out, _ = run(capsys, "show", str(folder), "--json")
    assert json.loads(out)[0]["number"] == best["number"]


def test_json_lines(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, *SEARCH, "--out", str(tmp_path / "run"), "--json", *QUICK)
    lines = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [line["child"] for line in lines[:3]] == [0, 1, 2]
    assert lines[3]["children"] == 3


def test_lists(capsys: pytest.CaptureFixture[str]) -> None:
    assert {"NAS-Digits-v0", "NAS-CIFAR10-v0"} <= set(json.loads(run(capsys, "envs", "--json")[1]))
    assert {"reinforce", "ppo"} <= set(json.loads(run(capsys, "agents", "--json")[1]))
    assert "NAS-Images-v0" in run(capsys, "envs")[1]
    assert "reinforce" in run(capsys, "agents")[1]
    assert "digits" in run(capsys, "data")[1]


MISTAKES = {
    "unknown environment": (("search", "NAS-Digit-v0"), "NAS-Digit"),
    "not ours": (("search", "CartPole-v1"), "no environment that searches architectures"),
    "unknown agent": ((*SEARCH[:3], "ppoo"), "did you mean 'ppo'"),
    "unknown option": ((*SEARCH, "--set", "epoch=3"), "did you mean 'epochs'"),
    "no option": ((*SEARCH, "--set", "epochs"), "write NAME=VALUE"),
    "bad value": ((*SEARCH, "--set", "epochs=0"), "epochs"),
    "bad recipe": ((*SEARCH, "--set", "recipe=long"), "recipe"),
    "no budget": (("search", "NAS-Digits-v0", "--children", "0"), "children must be at least 1"),
    "no data": (("search", "NAS-CIFAR10-v0"), "nasgym data cifar10"),
    "no images": (("search", "NAS-Images-v0"), "say which images"),
    "missing images": (("search", "NAS-Images-v0", "--set", "data=no.npz"), "no.npz"),
    "no run": (("search",), "name an environment"),
    "nothing to show": (("show", "nowhere"), "nowhere"),
    "unknown data": (("data", "cifar11"), "cifar11"),
}


@pytest.mark.parametrize(("arguments", "message"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_get_one_line_and_leave_nothing(
    arguments: tuple[str, ...],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NASGYM_DATA", str(tmp_path))
    assert_mistake(run(capsys, *arguments), message)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_images_of_your_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(120) % 3
    images = (labels[:, None, None, None] * 80 + rng.integers(0, 40, (120, 9, 7, 3))).astype(
        np.uint8
    )
    np.savez(tmp_path / "mine.npz", images=images, labels=labels)
    options = ("--set", f"data={tmp_path / 'mine.npz'}", "layers=1", "epochs=2", "filters=[4,8]")
    search = ("search", "NAS-Images-v0", "--agent", "random", "--children", "2", "--num-envs", "2")
    code, out, err = run(capsys, *search, *options, "--out", str(tmp_path / "run"))
    assert (code, err) == (0, "") and "2/2  child 1" in out


def test_an_archive_of_another_kind_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "archive.db").write_text("not a database, but long enough to look at" * 9)
    code, _, err = run(capsys, "show", str(tmp_path))
    assert code == 2 and "cannot be read as an archive" in err
    (tmp_path / "file.json").write_text('{"kind": "tree"')
    code, _, err = run(capsys, "show", str(tmp_path / "file.json"))
    assert code == 2 and "is not JSON" in err
