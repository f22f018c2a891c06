"""A run killed at any moment goes on as if it never had been; signals, locks and failures."""

import contextlib
import functools
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest

from nasgym import Archive, Evaluation, NASVectorEnv
from nasgym.search import Plan, Run, SearchError
from tests.free_search import ID, register
from tests.killing import acknowledged, archive_digest, kill_loop, start
from tests.spaces import Stack

AGENTS = ["random", "evolution", "reinforce", "ppo"]
CHILDREN = "100"  # crosses the growth of the ceiling at 64


def command(folder: Path, agent: str) -> list[str]:
    options = ["population=10"] if agent == "evolution" else []
    return ["tests.free_search", str(folder), agent, CHILDREN, *options]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """The digest of an agent's run, never killed."""

    @functools.cache
    def digest(agent: str) -> str:
        folder = tmp_path_factory.mktemp(agent)
        seen = kill_loop(command(folder, agent), folder / "archive.db", kills=0, seed=0)
        assert sorted(seen) == list(range(int(CHILDREN)))
        return archive_digest(folder / "archive.db")

    return digest


@pytest.mark.parametrize("agent", AGENTS)
def test_killed_at_random_and_resumed(
    agent: str, tmp_path: Path, undisturbed: Callable[[str], str]
) -> None:
    """F1: five kills for each of four agents."""
    kill_loop(
        command(tmp_path, agent),
        tmp_path / "archive.db",
        kills=5,
        seed=AGENTS.index(agent),
        longest=0.6,
    )
    assert archive_digest(tmp_path / "archive.db") == undisturbed(agent)


POINTS = [
    "mid_transaction:9",
    "before_commit:20",
    "after_commit:21",
    "mid_checkpoint",
    "mid_render",
]


@pytest.mark.parametrize("agent", AGENTS)
def test_killed_at_named_points(
    agent: str, tmp_path: Path, undisturbed: Callable[[str], str]
) -> None:
    """F2: in a transaction, around a commit, in a checkpoint, in a figure."""
    for point in POINTS:
        process = start(*command(tmp_path, agent), NASGYM_CRASH_AT=point)
        process.communicate()
        assert process.returncode == -signal.SIGKILL, point
    kill_loop(command(tmp_path, agent), tmp_path / "archive.db", kills=0, seed=0)
    assert archive_digest(tmp_path / "archive.db") == undisturbed(agent)
    assert not list(tmp_path.glob("*.part*"))


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_asked_to_stop(
    signum: signal.Signals, tmp_path: Path, undisturbed: Callable[[str], str]
) -> None:
    process = start(*command(tmp_path, "random"), SECONDS_A_CHILD="0.05")
    assert process.stdout is not None
    while not process.stdout.readline().startswith('{"child"'):
        pass
    asked = time.monotonic()
    process.send_signal(signum)
    output, _ = process.communicate()
    assert time.monotonic() - asked < 5
    assert process.returncode == 128 + signum
    assert f"nasgym search --out {tmp_path}" in output
    kill_loop(command(tmp_path, "random"), tmp_path / "archive.db", kills=0, seed=0)
    assert archive_digest(tmp_path / "archive.db") == undisturbed("random")


def test_a_second_process_is_refused(tmp_path: Path) -> None:
    first = start(*command(tmp_path, "random"), SECONDS_A_CHILD="0.05")
    assert first.stdout is not None
    while not first.stdout.readline().startswith('{"child"'):
        pass
    second = start(*command(tmp_path, "random"))
    _, errors = second.communicate()
    first.kill()
    first.communicate()
    assert second.returncode == 2
    assert (
        errors
        == f"nasgym: process {first.pid} is searching in {tmp_path}: wait for it or stop it\n"
    )
    kill_loop(command(tmp_path, "random"), tmp_path / "archive.db", kills=0, seed=0)


def test_a_finished_run_says_where_it_is_and_can_be_extended(tmp_path: Path) -> None:
    kill_loop(command(tmp_path, "random"), tmp_path / "archive.db", kills=0, seed=0)
    again = start(*command(tmp_path, "random"))
    output, _ = again.communicate()
    assert not acknowledged(output)
    summary = json.loads(output.splitlines()[-1])
    assert summary["children"] == int(CHILDREN) and summary["folder"] == str(tmp_path)
    more = start("tests.free_search", str(tmp_path), "random", "120")
    assert sorted(acknowledged(more.communicate()[0])) == list(range(100, 120))
    best = json.loads((tmp_path / "best.json").read_text())
    assert best["reward"] == max(trial.reward for trial in Archive(tmp_path / "archive.db"))
    for name in ("best.png", "rewards.png", "policy.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def plan(**changes: Any) -> Plan:
    return Plan(**{"env": ID, "agent": "random", "children": 40, "num_envs": 4, **changes})


def test_a_folder_keeps_its_plan(tmp_path: Path) -> None:
    if ID not in gym.registry:
        register()
    Run(tmp_path, plan(children=4)).search()
    with pytest.raises(SearchError, match="holds a run with seed 0, not 1"):
        Run(tmp_path, plan(seed=1))
    with pytest.raises(SearchError, match="holds a run with agent 'random', not 'ppo'"):
        Run(tmp_path, plan(agent="ppo"))
    assert Run(tmp_path, plan(children=8, workers=2)).plan.children == 8
    (tmp_path / "search.json").write_text("{")
    with pytest.raises(SearchError, match=r"search\.json is damaged"):
        Run(tmp_path)
    with pytest.raises(SearchError, match="name an environment"):
        Run(tmp_path / "nothing")


class Broken:
    broken = True

    def evaluate(self, architectures: Sequence[Any]) -> list[Evaluation]:
        if self.broken:
            return [Evaluation(status="exception", error="no such device") for _ in architectures]
        return [Evaluation(0.5) for _ in architectures]


def test_a_hopeless_search_stops_and_can_go_on(tmp_path: Path) -> None:
    def make(num_envs: int = 1, **options: Any) -> NASVectorEnv:
        return NASVectorEnv(Stack(), Broken(), num_envs, **options)

    gym.register("NAS-Broken-v0", vector_entry_point=make)
    run = Run(tmp_path, plan(env="NAS-Broken-v0"))
    with pytest.raises(
        SearchError, match=r"20 of the last 20 children failed.*no such device.*go on"
    ):
        run.search()
    assert len(run.archive()) == 20
    Broken.broken = False
    run.search()
    assert len(run.archive()) == 40


def test_no_process_is_left_behind_by_a_killed_search(tmp_path: Path) -> None:
    process = start(*command(tmp_path, "random"))
    process.kill()
    process.communicate()
    listed = subprocess.run(
        ["ps", "-eo", "args"], capture_output=True, text=True, check=True
    ).stdout
    assert str(tmp_path) not in listed
    assert os.path.isdir(tmp_path)


def test_killed_while_children_are_training(tmp_path: Path) -> None:
    """F5: with the real evaluator, two children under way; the same bits as if never killed."""
    digests = []
    for kills in (0, 2):
        folder = tmp_path / str(kills)
        search = ["nasgym.cli", "search", "NAS-Digits-v0", "--agent", "random", "--children", "4"]
        options = ["--num-envs", "2", "--workers", "2", "--set", "epochs=2", "--out", str(folder)]
        for _ in range(kills):
            process = start(*search, *options)
            while not (workers := children_of(process.pid, generation=2)):
                assert process.poll() is None, process.communicate()
                time.sleep(0.01)
            process.kill()
            process.communicate()
            time.sleep(1)
            assert not any(Path(f"/proc/{worker}").exists() for worker in workers)
        process = start(*search, *options)
        process.communicate()
        assert process.returncode == 0
        digests.append(archive_digest(folder / "archive.db"))
    assert digests[0] == digests[1]


def children_of(pid: int, generation: int) -> list[int]:
    """Return the processes that descend from `pid` in so many steps."""
    parents = [pid]
    for _ in range(generation):
        found = []
        for parent in parents:
            with contextlib.suppress(FileNotFoundError):
                listed = Path(f"/proc/{parent}/task/{parent}/children").read_text()
                found += [int(child) for child in listed.split()]
        parents = found
    return parents
