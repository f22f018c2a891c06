"""`nasgym show` of what was published: names beside paths."""

import json
from pathlib import Path

import pytest

from nasgym.networks import zoo
from nasgym.spaces import read
from tests.command_line import run


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nas-v1", ("4,201,630 parameters", "classifier")),
        ("nas-cell", ("8 h (x + h) parameters", "its output is h_t")),
        ("lstm", ("4 h (x + h + 2) parameters", "long short-term memory")),
    ],
)
def test_names_of_the_zoo_are_shown(
    name: str, words: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "net.png"
    code, out, err = run(capsys, "show", name, "--picture", str(picture))
    assert (code, err) == (0, "") and all(word in out for word in words)
    assert picture.read_bytes().startswith(b"\x89PNG")
    code, out, _ = run(capsys, "show", name, "--json")
    assert read(json.loads(out)) == zoo.by_name(name)


def test_a_file_comes_before_a_name_and_a_wrong_name_gets_a_hint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, _, err = run(capsys, "show", "nas-v11")
    assert code == 2 and "did you mean 'nas-v1'" in err and err.count("\n") == 1
    Path("nas-v1").write_text('{"kind": "mine"}')
    assert "mine" in run(capsys, "show", "nas-v1")[1]
