"""Runs, archives and architectures from other people: read as data, with nothing executed."""

import base64
import json
import re
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest

from nasgym import Archive, Evaluation
from nasgym.execution import ray_cluster as cluster
from nasgym.networks import zoo
from nasgym.report import write_report
from nasgym.search.plan import Plan
from nasgym.search.run import Run
from nasgym.spaces.plain import plain
from tests import free_search
from tests.command_line import assert_mistake, run
from tests.faults.hostile import SCRIPT, blobs
from tests.faults.table import Seen

Capture = pytest.CaptureFixture[str]


def conv(**layer: Any) -> dict[str, Any]:
    values = {"filter_height": 3, "filter_width": 3, "filters": 8, "inputs": []}
    return {"kind": "conv", "layers": [values | layer]}


NESTED = "[" * 100_000 + "]" * 100_000
CELL = plain(zoo.NAS_CELL)
ARCHITECTURES: dict[str, str] = {
    "a string of 10 MB": json.dumps({"kind": "x" * 10_000_000}),
    "a depth of 100,000": f'{{"kind": "conv", "layers": {NESTED}}}',
    "NaN": json.dumps(conv() | {"learning_rate": float("nan")}),
    "an infinity": '{"kind": "conv", "layers": [], "learning_rate": 1e999}',
    "an unknown key": json.dumps(conv() | {"run": "rm"}),
    "an unknown key of a layer": json.dumps(conv(run="rm")),
    "an unknown type of layer": json.dumps(conv(kind="os.system")),
    "a number of 5,000 digits": json.dumps(conv()).replace("8", "9" * 5000),
    "2^40 filters": json.dumps(conv(filters=2**40)),
    "filters in words": json.dumps(conv(filters="x" * 100_000)),
    "half a filter": json.dumps(conv(filters=0.5)),
    "50,000 layers": json.dumps({"kind": "conv", "layers": conv()["layers"] * 50_000}),
    "layers in words": '{"kind": "conv", "layers": "many"}',
    "no layer": '{"kind": "conv", "layers": []}',
    "a layer that reads itself": json.dumps(conv(inputs=[1])),
    "a learning rate in words": json.dumps(conv() | {"learning_rate": SCRIPT}),
    "a cell of 50,001 nodes": json.dumps(CELL | {"nodes": CELL["nodes"][:1] * 50_001}),
    "a cell with a hostile word": json.dumps(CELL | {"inject": {"combination": SCRIPT}}),
    "nothing": "",
    "noise": "\x00\x01\x02",
    "a pickle": "cos\nsystem\n(S'true'\ntR.",
}


@pytest.mark.fault("F20", "architecture files: 10 MB, depth 100,000, NaN, unknown keys, no JSON")
def test_f20_a_hostile_architecture_gets_one_short_line(
    tmp_path: Path, capsys: Capture, seen: Seen
) -> None:
    path = tmp_path / "architecture.json"
    for name, text in ARCHITECTURES.items():
        path.write_text(text)
        for command in (["show", path], ["train", path, "--out", tmp_path / "out"]):
            code, out, err = run(capsys, *command)
            assert (code, out) == (2, ""), name
            assert err.startswith("nasgym: ") and err.count("\n") == 1 and len(err) < 1000, name
        assert not (tmp_path / "out").exists()
    path.write_text(json.dumps({"kind": "x" * 100_000}))  # an unknown kind: shown as it is
    assert len(run(capsys, "train", path, "--out", tmp_path / "out")[2]) < 1000
    seen(2 * len(ARCHITECTURES), "refused, one line of less than 1,000 characters each")


# Runs -------------------------------------------------------------------------------------------


def foreign(folder: Path, *, state: bytes | None = None, **plan: Any) -> Path:
    """Write the folder of a run from somebody else."""
    folder.mkdir(exist_ok=True)
    chosen = {"env": free_search.ID, "agent": "random", "children": 16, **plan}
    (folder / "search.json").write_text(json.dumps(asdict(Plan(**chosen))))
    archive = Archive(folder / "archive.db")
    archive.store("key", Evaluation(0.5))
    archive.record([((0, 0, 0, 0), {"what": SCRIPT}, 0.5, "key")])
    if state is not None:
        archive.save_agent(1, state)
    archive.close()
    return folder


def register() -> None:
    if free_search.ID not in gym.registry:
        free_search.register()


@pytest.mark.fault("F20", "states of agents in an archive that are pickles, zips of SB3 and noise")
@pytest.mark.parametrize("agent", ["reinforce", "ppo", "model_based"])
def test_f20_a_state_in_a_foreign_archive_executes_nothing(
    agent: str, tmp_path: Path, capsys: Capture, seen: Seen
) -> None:
    register()
    hostile = blobs(tmp_path / "executed")
    for number, state in enumerate(hostile.values()):
        folder = foreign(tmp_path / f"run-{number}", agent=agent, state=state)
        outcome = run(capsys, "search", "--out", folder)
        assert_mistake(outcome, "the archive holds a state that no agent of nasgym saved")
        assert run(capsys, "report", folder)[0] == 0
        assert not (tmp_path / "executed").exists()
    seen(len(hostile), "0 executed; a search says so in one line, a report does without")


TROJAN = """
import pathlib
pathlib.Path(__file__).with_name("executed").mkdir(exist_ok=True)
def factory(**options):
    return None
"""


@pytest.mark.fault(
    "F20", "runs whose plan names modules (agent, environment, torch.hub), files and clusters"
)
def test_f20_a_look_at_a_foreign_run_imports_nothing_that_it_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture, seen: Seen
) -> None:
    register()
    for name in ("trojan.py", "hubconf.py"):
        (tmp_path / name).write_text(TROJAN)
    monkeypatch.syspath_prepend(str(tmp_path))
    hub = {"repo_or_dir": str(tmp_path), "model": "factory", "source": "local"}
    written = str(tmp_path / "elsewhere.db")
    connected: list[str] = []
    monkeypatch.setattr(cluster, "_connect", connected.append)
    plans: list[dict[str, Any]] = [
        {"agent": "trojan:factory"},
        {"agent": "torch.hub:load", "agent_options": hub},
        {"env": "trojan:Env-v0"},
        {"env_options": {"archive": written}},
        {"env": "NAS-Digits-v0", "env_options": {"workers": "ray://10.0.0.1:10001"}},
    ]
    for number, plan in enumerate(plans):
        folder = foreign(tmp_path / f"run-{number}", state=b"{}", **plan)
        for look in ("report", "show"):
            assert run(capsys, look, folder)[0] == 0, plan
        assert run(capsys, "watch", folder, "--once")[0] == 0, plan
        assert run(capsys, "track", folder, "--tensorboard")[0] == 0, plan
    assert not (tmp_path / "executed").exists() and not Path(written).exists()
    assert "trojan" not in sys.modules and not connected
    __import__("trojan")  # an import executes it
    assert (tmp_path / "executed").exists()
    monkeypatch.delitem(sys.modules, "trojan")
    seen(4 * len(plans), "0 imported, 0 executed, 0 files made elsewhere, 0 connections")


# The page ---------------------------------------------------------------------------------------


def hostile_run(folder: Path) -> Run:
    """Return a run in which every name is SCRIPT."""
    metrics = {SCRIPT: SCRIPT, "parameters": 10, "latency": 0.1, "curve": [SCRIPT]}
    evaluations = [
        Evaluation(0.9, metrics=metrics),
        Evaluation(0.8, metrics=metrics | {"parameters": SCRIPT}),
        *(Evaluation(status="exception", error=f"{SCRIPT} {number}") for number in range(3)),
        Evaluation(0.7, metrics={"long": "x" * 10**5}),
    ]
    plan: dict[str, Any] = dict.fromkeys(("env", "agent"), SCRIPT)
    options = {SCRIPT: [SCRIPT, {SCRIPT: SCRIPT}]}
    folder.mkdir(parents=True)
    (folder / "search.json").write_text(
        json.dumps({**plan, "children": 9, "env_options": options, "agent_options": options})
    )
    archive = Archive(folder / "archive.db")
    for number, evaluation in enumerate(evaluations):
        archive.store(f"{SCRIPT}{number}", evaluation)
    archive.record(
        [
            ((number % 2, 1), {SCRIPT: [SCRIPT] * 1000}, each.accuracy, f"{SCRIPT}{number}")
            for number, each in enumerate(evaluations)
        ]
    )
    archive.close()
    return Run(folder)


def assert_harmless(page: str) -> None:
    assert SCRIPT.partition("</style>")[2].partition("'")[0] not in page
    assert not re.search(r"<(script|img src=x|iframe|object|embed|link rel=\"(?!icon))", page)
    assert not re.search(r"<[^>]+\son\w+\s*=", page)
    assert page.count("</style>") == 1
    assert "default-src 'none'" in page


@pytest.mark.fault("F20", "a run in which environment, agent, options, errors, metrics are markup")
def test_f20_whatever_a_run_is_called_is_text_on_its_page(
    tmp_path: Path, capsys: Capture, seen: Seen
) -> None:
    folders = [tmp_path / name / SCRIPT.replace("/", "|") / "[" / "red]" for name in ("one", "two")]
    runs = [hostile_run(folder) for folder in folders]
    looks: dict[str, Callable[[], Any]] = {
        "one run": lambda: write_report(runs[:1], tmp_path / "page.html"),
        "two runs": lambda: write_report(runs, tmp_path / "page.html", "svg"),
    }
    drawings = 0
    for write in looks.values():
        page, *figures = write()
        text = page.read_text()
        assert_harmless(text)
        inside = [
            base64.b64decode(data) for data in re.findall(r"svg\+xml;base64,([\w+/=]+)", text)
        ]
        for drawing in (*inside, *(path.read_bytes() for path in figures)):
            assert b"<script" not in drawing and b"<img" not in drawing
            drawings += 1
    for look in (["show"], ["watch", "--once"], ["report"]):
        code, out, err = run(capsys, look[0], folders[0], *look[1:])
        assert (code, err) == (0, ""), (look, out)
    seen(2 + drawings + 3, f"2 pages, {drawings} drawings and 3 commands: text, no element")
