"""Searches on a cluster end the same when workers, nodes and drivers are killed."""

import os
import random
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from nasgym.archive import Trial
from nasgym.environments.study import Study
from nasgym.search.plan import Plan
from nasgym.search.run import Run
from tests.faults.table import Seen
from tests.killing import acknowledged, archive_digest, start
from tests.nodes import NEEDS_RAY, Nodes, pool, two_nodes
from tests.pools import last_line
from tests.processes import descendants_of, gone, until

pytestmark = [
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks processes up in /proc"),
    NEEDS_RAY,
]

OPTIONS = {"epochs": 2, "device": "cpu"}


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    with two_nodes() as nodes:
        yield nodes


def on_the_nodes(name: str) -> list[int]:
    """Return the processes of that name below the nodes of this process."""
    found = []
    for pid in descendants_of(os.getpid()):
        with suppress(OSError):
            if name in Path(f"/proc/{pid}/cmdline").read_text():
                found.append(pid)
    return sorted(found)


@pytest.mark.fault("F34", "kill -9 of hosts, fork servers and children on a cluster", full=True)
def test_f34_workers_killed_at_random_cost_no_child(nodes: Nodes, seed: int, seen: Seen) -> None:
    chance, kills, evaluations = random.Random(seed), 0, []
    with pool(retries=10) as cluster:
        for _, evaluation in cluster.run([{"do": "sleep", "seconds": 0.2}] * 120):
            evaluations.append(evaluation)
            victims = on_the_nodes(chance.choice(["ray::NodeHost", "nasgym.execution.forkserver"]))
            if victims and len(evaluations) % 6 == 0:
                with suppress(ProcessLookupError):
                    os.kill(chance.choice(victims), signal.SIGKILL)
                    kills += 1
    assert [evaluation.status for evaluation in evaluations] == ["ok"] * 120
    assert kills >= 10
    seen(kills, "120 of 120 children trained")


@pytest.mark.fault("F34", "a child that kills its host, on whatever node", full=True)
def test_f34_a_child_that_takes_its_host_along_every_time_is_given_up(
    nodes: Nodes, seen: Seen
) -> None:
    with pool(retries=0) as cluster:
        [(_, evaluation)] = cluster.run([{"do": "kill_owner"}])
        assert evaluation.status == "killed"
        assert "lost" in last_line(evaluation)
        [(_, evaluation)] = cluster.run([{"do": "answer", "seed": 1}])
        assert evaluation.status == "ok"
    seen(1, "given up with the third host, and the next child trains")


@pytest.mark.fault("F34", "a node is unplugged, and another plugged in, 3 times", full=True)
def test_f34_nodes_come_and_go(nodes: Nodes, tmp_path: Path, seen: Seen) -> None:
    plan = Plan("NAS-Digits-v0", "random", 42, num_envs=6, workers=2, env_options=OPTIONS)
    Run(tmp_path / "here", plan).search()
    timers: list[threading.Timer] = []

    def listeners(study: Study) -> list[Any]:
        def listen(trial: Trial) -> None:
            if trial.number in (5, 17, 29):  # the last of a wave: the next is in training then
                timers.append(threading.Timer(0.4, nodes.unplug))
                timers[-1].start()
            elif trial.number in (11, 23, 35):
                timers[-1].join()
                nodes.plug_in()

        return [listen]

    Run(tmp_path / "there", replace(plan, workers="auto")).search(listeners)
    digests = {archive_digest(tmp_path / name / "archive.db") for name in ("here", "there")}
    assert len(digests) == 1
    seen(len(timers), "42 of 42 children, and the digest of a run on one machine")


@pytest.mark.fault("F34", "kill -9 of the driver of a search on a cluster", full=True)
def test_f34_the_driver_is_killed(nodes: Nodes, tmp_path: Path, seed: int, seen: Seen) -> None:
    plan = Plan("NAS-Digits-v0", "reinforce", 24, num_envs=8, workers=2, env_options=OPTIONS)
    plan = replace(plan, agent_options={"preset": "short"})
    Run(tmp_path / "here", plan).search()
    chance, kills, slowest = random.Random(seed), 0, 0.0
    there = tmp_path / "there"
    search = [
        "nasgym.commands.main",
        "search",
        "NAS-Digits-v0",
        "--agent",
        "reinforce",
        "--children",
        "24",
    ]
    search += ["--agent-set", "preset=short", "--set", "epochs=2", "device=cpu"]
    search += ["--workers", "auto", "--out", str(there), "--json"]
    while True:
        driver = start(*search)
        assert driver.stdout is not None
        for line in driver.stdout:
            if acknowledged(line) and kills < 3:
                time.sleep(chance.random() / 4)  # the search must outlive three kills
                servers = on_the_nodes("nasgym.execution.forkserver")
                driver.kill()
                kills += 1
                killed = time.monotonic()
                assert until(partial(gone, servers), 20)
                slowest = max(slowest, time.monotonic() - killed)
                break
        errors = driver.communicate()[1]
        if driver.returncode == 0:
            break
        assert driver.returncode == -signal.SIGKILL, errors
    assert kills == 3
    assert archive_digest(there / "archive.db") == archive_digest(tmp_path / "here" / "archive.db")
    seen(kills, f"no child left after {slowest:.1f} s, and the digest of a run never killed")
