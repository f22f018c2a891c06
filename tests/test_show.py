"""`nasgym show`: names of the zoo, files, and the front of a run."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nasgym import Evaluation, NASVectorEnv
from nasgym.networks import zoo
from nasgym.spaces import read
from tests.command_line import assert_mistake, run
from tests.spaces import Numbers, Stack


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


class Sized(Numbers):
    """Numbers that come with parameters: the longer a string, the more."""

    def evaluate(self, architectures: Sequence[Any]) -> list[Evaluation]:
        return [
            replace(evaluation, metrics={"parameters": 1000 * len(architecture)})
            for architecture, evaluation in zip(
                architectures, super().evaluate(architectures), strict=True
            )
        ]


def test_the_front_of_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    envs = NASVectorEnv(Stack(), Sized(), 4, archive=tmp_path / "archive.db")
    trials = envs.study.play([envs.study.space.string(index) for index in range(40)])
    envs.close()
    code, out, _ = run(capsys, "show", tmp_path, "--pareto", "parameters", "--json")
    front = json.loads(out)
    sizes = {trial.metrics["parameters"] for trial in trials}
    best = [max(t.reward for t in trials if t.metrics["parameters"] <= size) for size in sizes]
    assert code == 0 and [trial["reward"] for trial in front] == sorted(set(best))
    code, out, _ = run(capsys, "show", tmp_path, "--pareto", "parameters")
    assert code == 0 and f"front over parameters {len(front)}:" in " ".join(out.split())
    assert f"{front[-1]['metrics']['parameters']:,}" in out
    assert_mistake(run(capsys, "show", tmp_path, "--pareto", "size"), "parameters, flops, latency")
    unknown = run(capsys, "show", tmp_path, "--pareto", "latency")
    assert_mistake(unknown, "no child of")
