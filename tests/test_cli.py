"""The command line for its user: output, exit codes, one line for a mistake."""

import json
from pathlib import Path

import numpy as np
import pytest

from nasgym.commands.flags import parse
from nasgym.commands.main import COMMANDS
from nasgym.search import estimate as cost
from nasgym.search.plan import SearchError
from nasgym.search.run import Run
from tests.command_line import assert_mistake, run

TABLE = ("search", "NAS-Digits-Table-v0", "--agent", "random", "--num-envs", "2")
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


def test_the_announcement_precedes_the_children(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cost, "probe", lambda evaluator, children: 1e-12)
    options = ("--children", "2", "--workers", "1", "--set", "epochs=1", "layers=1")
    search = ("search", "NAS-Digits-v0", *options, "--out", str(tmp_path / "run"))
    first, *rest = run(capsys, *search)[1].splitlines()
    assert first.startswith("NAS-Digits-v0: 2 children by reinforce (preset short), 1 epoch of 500")
    assert "on 1 worker (" in first and "first child in " in first and "end in about " in first
    assert rest[0].startswith("1/2  child 0  ")


def test_a_probe_that_fails_stops_no_search(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> float:
        raise SearchError("no child of the probe could be trained")

    monkeypatch.setattr(cost, "probe", fail)
    search = ("search", "NAS-Digits-v0", "--children", "1", "--set", "epochs=1", "layers=1")
    code, out, err = run(capsys, *search, "--out", str(tmp_path / "run"))
    assert (code, err) == (0, "")
    assert out.startswith("NAS-Digits-v0: 1 child by reinforce (preset short), ")


def test_a_resumed_run_says_what_is_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = str(tmp_path / "run")
    first = run(capsys, *TABLE, "--children", "4", "--out", folder)[1].splitlines()[0]
    assert first == "NAS-Digits-Table-v0: 4 children by random, 2 at a time"
    resumed = run(capsys, "search", "--children", "6", "--out", folder)[1].splitlines()
    assert resumed[0].startswith(f"resuming {folder}: 4 of 6 children are done, about ")
    assert resumed[0].endswith(" left") and resumed[1].startswith("5/6  child 4  ")


def test_a_repeated_set_gives_both_options(tmp_path: Path) -> None:
    options = ("--set", "noise=seed", "--set", "seed=1", "target=2", "cost=flops")
    search = parse(COMMANDS, [*TABLE, *options, "--out", str(tmp_path)])
    expected = {"noise": "seed", "seed": 1, "target": 2, "cost": "flops"}
    assert search._run().plan.env_options == expected


@pytest.mark.parametrize(("children", "preset"), [("200", "short"), ("5000", "paper")])
def test_the_default_preset_suits_the_budget(
    children: str, preset: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["search", "NAS-Digits-v0", "--children", children, "--out", str(tmp_path)]
    plan = parse(COMMANDS, command)._run().plan
    assert plan.agent_options == {"preset": preset}


def test_lists(capsys: pytest.CaptureFixture[str]) -> None:
    assert {"NAS-Digits-v0", "NAS-CIFAR10-v0"} <= set(json.loads(run(capsys, "envs", "--json")[1]))
    assert {"reinforce", "ppo"} <= set(json.loads(run(capsys, "agents", "--json")[1]))
    assert "NAS-Images-v0" in run(capsys, "envs")[1]
    assert "reinforce" in run(capsys, "agents")[1]
    assert "digits" in run(capsys, "data")[1]


def test_options_of_an_environment(capsys: pytest.CaptureFixture[str]) -> None:
    options = json.loads(run(capsys, "envs", "NAS-CIFAR10-v0", "--json")[1])
    assert options["epochs"]["type"] == "a whole number" and options["epochs"]["default"] is None
    assert options["grow_by"]["default"] == 2 and options["data"]["default"] == "cifar10"
    assert options["filters"]["default"] == [24, 36, 48, 64]
    assert all(option["help"] for option in options.values())
    digits = json.loads(run(capsys, "envs", "NAS-Digits-v0", "--json")[1])
    assert digits["layers"]["default"] == 4
    code, out, _ = run(capsys, "envs", "NAS-Text-v0")
    assert code == 0 and "vocabulary_size" in out and "combinations" in out


def test_options_of_an_agent(capsys: pytest.CaptureFixture[str]) -> None:
    options = json.loads(run(capsys, "agents", "reinforce", "--json")[1])
    assert options["preset"]["default"] == "auto" and "seed" not in options
    assert options["lr"] == {"type": "a number", "default": None, "help": "Adam's learning rate."}
    ppo = json.loads(run(capsys, "agents", "ppo", "--json")[1])
    assert ppo["gamma"] == {"type": "any value", "default": 1.0, "help": "Discount factor"}
    assert json.loads(run(capsys, "agents", "model_based", "--json")[1])["lr"]["default"] > 0
    assert "population" in run(capsys, "agents", "evolution")[1]
    assert "no options" in run(capsys, "agents", "local_search")[1]


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
    "no images": (("search", "NAS-Images-v0"), "name your images"),
    "missing images": (("search", "NAS-Images-v0", "--set", "data=no.npz"), "no.npz"),
    "no run": (("search",), "name an environment"),
    "nothing to show": (("show", "nowhere"), "nowhere"),
    "unknown data": (("data", "cifar11"), "cifar11"),
    "no command": ((), "name a command"),
    "unknown command": (("serch",), "did you mean 'search'"),
    "unknown flag": ((*TABLE, "--chidren", "3"), "did you mean '--children'"),
    "flag twice": ((*TABLE, "--children", "3", "--children", "4"), "--children is given twice"),
    "option twice": ((*TABLE, "--set", "seed=1", "--set", "seed=2"), "'seed' is given twice"),
    "flag of another type": ((*TABLE, "--children", "many"), "must be a whole number, not 'many'"),
    "flag without a value": ((*TABLE, "--children"), "Missing value for argument '--children'"),
    "option of another type": (
        (*SEARCH, "--set", "epochs=many"),
        "epochs must be a whole number, not 'many'",
    ),
    "agent's option of another type": (
        ("search", "NAS-Digits-v0", "--agent-set", "lr=fast"),
        "lr must be a number, not 'fast'",
    ),
    "agent's unknown option": ((*TABLE, "--agent-set", "unifrom=x"), "did you mean 'uniform'"),
    "agent's seed": ((*TABLE, "--agent-set", "seed=1"), "--seed"),
    "options of no environment": (("envs", "NAS-PTB"), "did you mean 'NAS-PTB-v0'"),
    "options of no agent": (("agents", "reinforced"), "did you mean 'reinforce'"),
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


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff\xfe\x00", b'{"env": 3}'])
def test_a_damaged_plan_is_named(
    content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "search.json").write_bytes(content)
    assert_mistake(run(capsys, "search", "--out", tmp_path), "search.json is damaged")


def test_a_mistake_in_a_run_that_exists_is_named_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    search = (*TABLE, "--children", "2", "--set", "noise=seed", "--out", str(tmp_path))
    assert run(capsys, *search)[0] == 0
    assert_mistake(run(capsys, *search[:-3], "nois=1", *search[-2:]), "did you mean 'noise'")
    different = run(capsys, *search[:-3], "noise=mean", *search[-2:])
    assert_mistake(different, "with env_options {'noise': 'seed'}, not {'noise': 'mean'}")
    assert run(capsys, *search)[0] == 0 and Run(tmp_path).plan.children == 2


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
