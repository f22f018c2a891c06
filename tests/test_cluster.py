"""Children on a cluster of two nodes give the same evaluations as here, even if a node dies."""

import hashlib
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nasgym.archive import Trial
from nasgym.benchmarks.measurement import Effort
from nasgym.benchmarks.speed.speed import MEASUREMENTS
from nasgym.environments.study import Study
from nasgym.evaluation.evaluation import Evaluation
from nasgym.execution.actor import ActorFailed, ActorLost
from nasgym.execution.actors import place
from nasgym.execution.local import Pool, WorkerError
from nasgym.execution.ray_backend import local_copy
from nasgym.execution.ray_cluster import ChildResources, Cluster, ray
from nasgym.search.plan import Plan
from nasgym.search.run import Run
from nasgym.training.image.evaluator import ImageEvaluator
from tests.killing import archive_digest
from tests.nodes import KIND, NEEDS_RAY, Nodes, pool, two_nodes
from tests.pools import JOB
from tests.processes import gone, until

TOY = Effort(rounds=1, seconds=0.0, share=0.01)
LIMITS: dict[str, Any] = {"time_limit": 2.0, "memory_limit": 0.05}


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    with two_nodes() as nodes:
        yield nodes


class Tally:
    def __init__(self, total: int) -> None:
        self.total = total

    def add(self, number: int) -> int:
        self.total += number
        return self.total

    def pid(self) -> int:
        return os.getpid()


def outcome(evaluation: Evaluation) -> Any:
    return replace(evaluation, seconds=0.0, error=""), (evaluation.error.splitlines() or [""])[-1]


def test_the_resources_of_a_child_decide_the_capacity_of_a_node() -> None:
    node = {"CPU": 8.0, "GPU": 2.0}
    assert ChildResources().capacity(node) == 8
    assert ChildResources(0.1).capacity({"CPU": 0.3}) == 3
    assert ChildResources(1, 0.4).capacity(node) == 4  # two on each GPU: none is on both
    assert ChildResources(1, 0.25).capacity(node) == 8
    assert ChildResources(1, 2).capacity(node) == 1
    assert ChildResources(1, 0.5).capacity({"CPU": 8.0}) == 0
    assert ChildResources(2, 0.25).reservation(3) == {"num_cpus": 6, "num_gpus": 1}
    assert ChildResources(1, 0.25).reservation(5) == {"num_cpus": 5, "num_gpus": 2}
    for cpus, gpus in [(0, 0), (-1, 0), (1, -0.5), (1, 1.5)]:
        with pytest.raises(ValueError, match="must be"):
            ChildResources(cpus, gpus)


def test_mistakes_are_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="workers must be a number, 'ray', 'auto' or"):
        ImageEvaluator(workers="many")
    with pytest.raises(ValueError, match="gpus must be"):
        ImageEvaluator(workers="auto", gpus=1.5)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ValueError, match="pip install 'nasgym\\[ray\\]'"):
        ray()


def test_a_file_is_fetched_unless_it_is_there_and_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Store:
        @staticmethod
        def get(reference: bytes) -> bytes:
            fetched.append(reference)
            return reference

    fetched: list[bytes] = []
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr("nasgym.execution.ray_backend.ray", lambda: Store)
    digest = hashlib.sha256(b"content").hexdigest()
    path = Path(local_copy(digest, [b"content"]))
    assert path.read_bytes() == b"content"
    assert local_copy(digest, []) == str(path)
    path.write_bytes(b"damaged")
    local_copy(digest, [b"content"])
    assert path.read_bytes() == b"content"
    assert len(fetched) == 2


@NEEDS_RAY
def test_results_limits_and_retries_are_those_of_one_machine(nodes: Nodes, tmp_path: Path) -> None:
    def tasks(count: Path) -> list[dict[str, Any]]:
        tasks: list[dict[str, Any]] = [{"do": "answer", "seed": seed} for seed in range(6)]
        tasks += [{"do": do} for do in ("spin", "fill_memory", "leave", "read_address_zero")]
        tasks += [{"do": "fail", "error": "ValueError"}]
        return [*tasks, {"do": "die_at_first", "deaths": 2, "count": str(count)}]

    with Pool(JOB, {}, workers=2, **LIMITS) as local:
        here = dict(local.run(tasks(tmp_path / "here")))
    with pool(**LIMITS) as cluster:
        there = dict(cluster.run(tasks(tmp_path / "there")))
        assert {index: outcome(there[index]) for index in there} == {
            index: outcome(here[index]) for index in here
        }
        statuses = [there[index].status for index in range(6, 12)]
        assert statuses == ["timeout", "oom", "exception", "killed", "exception", "ok"]
        assert there[11].metrics["attempts"] == 3
        assert until(lambda: cluster.workers == 2, 20)
        spans = [
            evaluation.metrics["span"]
            for _, evaluation in cluster.run([{"do": "sleep", "seconds": 0.5}] * 2)
        ]
        assert [slot for slot, *_ in spans] == [0, 0]  # each is alone on its node
        assert max(begun for _, begun, _ in spans) < min(ended for *_, ended in spans)
        (_, whose), *_ = cluster.run([{"do": "whose"}])
        cluster.submit([{"do": "spin"}])
    assert until(lambda: gone([whose.metrics["fork_server"], whose.metrics["owner"]]), 10)


@NEEDS_RAY
def test_an_actor_answers_fails_and_is_lost(nodes: Nodes) -> None:
    Cluster("auto")
    actor = place("ray", Tally, total=2)
    for number in (3, 4):
        actor.ask("add", number=number)
    assert [actor.answer(), actor.answer()] == [5, 9]
    actor.ask("add", number="x")
    with pytest.raises(ActorFailed, match="TypeError"):
        actor.answer()
    actor.ask("pid")
    os.kill(actor.answer(), signal.SIGKILL)
    actor.ask("add", number=1)
    with pytest.raises(ActorLost, match="an actor on the cluster died"):
        actor.answer()
    actor.close()


@NEEDS_RAY
def test_its_speed_is_measured(nodes: Nodes) -> None:
    Cluster("auto")
    assert MEASUREMENTS["P10"](TOY).ours > 0


@NEEDS_RAY
def test_nodes_that_cannot_train_are_left_out(nodes: Nodes) -> None:
    with pytest.raises(ValueError, match=r"needs gpus=\.\.\., such as 1 or 0\.25"):
        ImageEvaluator(workers="auto", device="cuda")
    with pytest.raises(WorkerError, match="no node of the cluster has the 1 CPUs and"):
        ImageEvaluator(workers="auto", gpus=0.5)
    with (
        pool("tests.jobs:without_data") as cluster,
        pytest.raises(WorkerError, match=r"cannot start.*no data in /nowhere: run `fetch`"),
    ):
        list(cluster.run([{}]))
    with (
        pool(kind={**KIND, "precision": "float8"}) as cluster,
        pytest.raises(WorkerError, match="another kind of machine"),
    ):
        list(cluster.run([{}]))


@NEEDS_RAY
def test_a_search_that_loses_a_node_ends_as_if_it_had_not(
    nodes: Nodes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    options = {"epochs": 3, "device": "cpu"}
    plan = Plan("NAS-Digits-v0", "random", 12, num_envs=6, workers=2, env_options=options)
    Run(tmp_path / "here", plan).search()

    def listeners(study: Study) -> list[Any]:
        def listen(trial: Trial) -> None:
            if trial.number == 5:  # the last of a wave: the next one is in training then
                threading.Timer(0.4, nodes.unplug).start()

        return [listen]

    Run(tmp_path / "there", replace(plan, workers="auto")).search(listeners)
    here, there = (archive_digest(tmp_path / name / "archive.db") for name in ("here", "there"))
    assert here == there
    assert "a node was lost; 1 children start again" in caplog.messages
    nodes.plug_in()
