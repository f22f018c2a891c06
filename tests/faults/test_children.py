"""Children that hang, crash, are killed, fill the memory or fail give data, never an exception."""

import os
import random
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from nasgym import Archive, Evaluation, NASEnv, NASVectorEnv
from nasgym.evaluation.evaluation import LONGEST_ERROR
from nasgym.execution.local import Pool
from tests.command_line import run
from tests.faults.table import Seen
from tests.faults.tiers import Scale
from tests.killing import ROOT
from tests.pools import ANSWER, JOB, evaluate, fork_server, last_line
from tests.processes import children_of, descendants_of, gone, until
from tests.spaces import Stack

INVALID = "nasgym.errors.InvalidInput"
"""The name of our exception in tracebacks."""

pytestmark = [
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks processes up in /proc"),
    pytest.mark.usefixtures("nothing_left"),
]


@pytest.mark.fault("F6", "kill -9 of children at random, 2 at a time")
def test_f06_children_killed_at_random_are_all_trained(scale: Scale, seed: int, seen: Seen) -> None:
    chance, tasks = random.Random(seed), scale(200, 2000)
    kills, evaluations = 0, []
    with Pool(JOB, {}, workers=2, retries=1000) as pool:
        for _, evaluation in pool.run([{"do": "sleep", "seconds": 0.01}] * tasks):
            evaluations.append(evaluation)
            victims = children_of(fork_server())
            if victims and chance.random() < 0.15:
                with suppress(ProcessLookupError):
                    os.kill(chance.choice(sorted(victims)), signal.SIGKILL)
                    kills += 1
    assert [one.status for one in evaluations] == ["ok"] * tasks
    again = sum(one.metrics.get("attempts", 1) - 1 for one in evaluations)
    assert 0 < again <= kills  # some were at their end when they were killed
    seen(kills, f"{tasks} of {tasks} trained, {again} of them begun again")


@pytest.mark.fault("F7", "a child is stopped (SIGSTOP): alive, but it answers nothing")
def test_f07_a_stopped_child_is_replaced(seen: Seen) -> None:
    seen(2, f"replaced {hung('stop'):.2f} s after the limit; the search goes on")


@pytest.mark.fault("F8", "a child hangs in Python, and in C, and ignores SIGTERM")
@pytest.mark.parametrize("do", ["spin", "compute_in_c"])
def test_f08_a_child_that_hangs_is_killed(do: str, seen: Seen) -> None:
    seen(2, f"killed {hung(do):.2f} s after the limit; no zombie, no orphan")


def hung(do: str) -> float:
    """Let two children hang in turn; return the longest time by which one exceeded its limit."""
    with Pool(JOB, {}, workers=2, time_limit=0.5) as pool:
        begun = time.monotonic()
        evaluations = evaluate(pool, {"do": do}, ANSWER, {"do": do})
        assert time.monotonic() - begun < 2 * (0.5 + 3)
        assert children_of(fork_server()) == set()
    assert [one.status for one in evaluations] == ["timeout", "ok", "timeout"]
    assert evaluations[0].error == "took longer than the time limit of 0.5 s"
    assert 0.5 <= evaluations[0].seconds < 3.5
    assert "attempts" not in evaluations[0].metrics
    return max(one.seconds for one in evaluations) - 0.5


@pytest.mark.fault("F9", "a child takes all memory it can, under a limit of 0.2 GiB")
def test_f09_memory_limit_stops_one_child_and_touches_nobody_else(seen: Seen) -> None:
    with Pool(JOB, {}, workers=2, memory_limit=0.2, time_limit=60) as pool:
        evaluate(pool, ANSWER)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        full, other = evaluate(pool, {"do": "fill_memory"}, {"do": "sleep", "seconds": 0.5})
        growth = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert (full.status, other.status) == ("oom", "ok")
    assert last_line(full) == "needs more memory than the memory limit of 0.2 GiB"
    assert "MemoryError" in full.error
    assert growth < 50 * 1024
    seen(1, f"status oom; the parent grew by {growth / 1024:.1f} MiB")


@pytest.mark.fault("F9", "a child dies of std::bad_alloc")
def test_f09_a_crash_for_lack_of_memory_is_final(pool: Pool, seen: Seen) -> None:
    says = "terminate called after throwing an instance of 'std::bad_alloc'"
    (crashed,) = evaluate(pool, {"do": "abort", "says": says})
    assert (crashed.status, dict(crashed.metrics)) == ("oom", {})
    seen(1, "status oom, not begun again")


@pytest.mark.fault("F10", "the system kills a child (SIGKILL) while it takes memory")
@pytest.mark.parametrize(("deaths", "status", "attempts"), [(2, "ok", 3), (9, "killed", 3)])
def test_f10_a_killed_child_begins_again(
    deaths: int, status: str, attempts: int, pool: Pool, tmp_path: Path, seen: Seen
) -> None:
    count = tmp_path / "count"
    evaluation, other = evaluate(
        pool, {"do": "die_at_first", "deaths": deaths, "count": str(count)}, ANSWER
    )
    assert (evaluation.status, evaluation.metrics) == (status, {"attempts": attempts})
    assert count.read_text() == "x" * attempts
    assert other.metrics.get("attempts") is None
    seen(min(deaths, attempts), f"status {status} after {attempts} attempts")


def returning(result: Any) -> dict[str, Any]:
    return {"do": "return_it", "it": result}


@pytest.mark.fault("F12", "a child raises, exits or returns nonsense, in every way")
def test_f12_whatever_a_job_raises_or_returns_is_an_evaluation(pool: Pool, seen: Seen) -> None:
    reasons: dict[str, dict[str, Any]] = {
        "ValueError: why": {"do": "fail", "error": "ValueError"},
        "KeyboardInterrupt: why": {"do": "fail", "error": "KeyboardInterrupt"},
        "SystemExit: 3": {"do": "leave"},
        "ended by itself with exit code 3 and without a result": {"do": "leave_at_once"},
        "RecursionError: maximum recursion depth exceeded": {"do": "recur"},
        "KeyError: 'unheard of'": {"do": "unheard of"},
        f"{INVALID}: accuracy must be a fraction of 1, not nan": returning("nan"),
        "nasgym.errors.InvalidInput: accuracy must be a fraction of 1, not 93": returning(
            {"accuracy": 93}
        ),
        "ValueError: Out of range float values are not JSON": returning("inf"),
        f"{INVALID}: status 'fine' is none of": returning({"status": "fine"}),
        "TypeError: Object of type set is not JSON": returning("set"),
        "TypeError: nasgym.evaluation.evaluation.Evaluation() argument": returning(None),
        "TypeError: '<=' not supported": returning({"accuracy": "1"}),
        "TypeError: Evaluation.__init__() got an": returning({"loss": 1}),
    }
    *failed, other = evaluate(pool, *reasons.values(), ANSWER)
    assert other.status == "ok"
    for reason, evaluation in zip(reasons, failed, strict=True):
        assert last_line(evaluation).startswith(reason)
        assert (evaluation.status, evaluation.accuracy) == ("exception", 0.0)
        assert len(evaluation.error) <= LONGEST_ERROR
        assert "attempts" not in evaluation.metrics
    seen(len(reasons), "all are data, with the traceback and at most 4,000 characters")


@pytest.mark.fault("F12", "a child crashes: SIGSEGV, SIGABRT")
@pytest.mark.parametrize(
    ("do", "name", "words"),
    [
        ("read_address_zero", "SIGSEGV", "in read_address_zero"),
        ("abort", "SIGABRT", "Fatal Python error: Aborted"),
    ],
)
def test_f12_a_crash_is_repeated_then_final_and_tells_where(
    do: str, name: str, words: str, pool: Pool, seen: Seen
) -> None:
    crashed, other = evaluate(pool, {"do": do}, ANSWER)
    assert (crashed.status, other.status) == ("killed", "ok")
    assert crashed.metrics == {"attempts": 3}
    assert words in crashed.error
    assert last_line(crashed).startswith(f"killed by {name}")
    seen(3, "status killed after 3 attempts; says where")


class Failing:
    """Runs the given jobs in turn instead of training, until `mended` is set."""

    mended = False

    def __init__(self, *does: dict[str, Any]) -> None:
        self.does = does

    def evaluate(self, architectures: Sequence[Any]) -> list[Evaluation]:
        if self.mended:
            return [Evaluation(0.5) for _ in architectures]
        with Pool(JOB, {}, workers=2) as pool:
            return evaluate(pool, *(self.does * len(architectures))[: len(architectures)])


@pytest.mark.fault("F12", "every child of an environment fails")
def test_f12_an_environment_shows_the_reason_and_never_raises(seen: Seen) -> None:
    errors = {"KeyboardInterrupt: why": {"do": "fail", "error": "KeyboardInterrupt"}}
    errors |= {"SystemExit: 3": {"do": "leave"}, "killed by SIGABRT (Aborted)": {"do": "abort"}}
    for reason, task in errors.items():
        env = NASEnv(Stack(), Failing(task))
        env.reset(seed=0)
        terminated = False
        while not terminated:
            _, reward, terminated, _, info = env.step(np.int64(0))
        assert reward == 0.0 and info["status"] != "ok"
        assert info["error"].splitlines()[-1] == reason
    seen(len(errors), "reward 0, status and reason in info")


@pytest.mark.fault("F13", "every child of a search fails")
def test_f13_a_hopeless_search_stops_and_can_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], seen: Seen
) -> None:
    evaluator = Failing({"do": "fail", "error": "ValueError"})
    command = ["search", "--out", tmp_path / "run"]

    def make(num_envs: int = 1, **options: Any) -> NASVectorEnv:
        return NASVectorEnv(Stack(), evaluator, num_envs, **options)

    gym.register("NAS-Failing-v0", vector_entry_point=make)
    options = ["NAS-Failing-v0", "--agent", "random", "--children", "100", "--num-envs", "4"]
    code, _, error = run(capsys, *command, *options)
    assert code == 2 and error.count("\n") == 1
    failed = "20 of the last 20 children failed, the last with status 'exception': ValueError: why"
    assert error.startswith(f"nasgym: {failed} - correct that, then resume with: ")
    with closing(Archive(tmp_path / "run" / "archive.db", read_only=True)) as archive:
        trained = sum(not trial.cached for trial in archive)
    assert 20 <= trained < 24  # the last wave is recorded as a whole
    evaluator.mended = True
    assert run(capsys, *command)[0] == 0
    with closing(Archive(tmp_path / "run" / "archive.db", read_only=True)) as archive:
        assert len(archive) == 100
        assert sum(trial.status == "exception" and not trial.cached for trial in archive) == trained
    seen(trained, "stopped with one line and exit code 2; went on when mended")


@pytest.mark.fault("F14", "kill -9 of the parent while two children train")
@pytest.mark.parametrize(
    ("job", "fork", "processes"),
    [(JOB, False, 3), (JOB, True, 4), ("tests.jobs:slow_setup", False, 1)],
    ids=["amid training", "beside a fork that holds all files open", "amid setup"],
)
def test_f14_workers_die_with_their_parent(
    job: str, fork: bool, processes: int, tmp_path: Path, seen: Seen
) -> None:
    begun = tmp_path / "begun"
    script = f"from tests import jobs; jobs.run_for_ever({job!r}, {str(begun)!r}, {fork})"
    path = os.pathsep.join([str(ROOT), *filter(None, sys.path)])
    with subprocess.Popen([sys.executable, "-c", script], env={"PYTHONPATH": path}) as parent:
        assert until(lambda: begun.exists() and len(descendants_of(parent.pid)) == processes, 20)
        descendants = descendants_of(parent.pid)
        parent.kill()
    killed = time.monotonic()
    survivors = 1 if fork else 0
    died = until(lambda: sum(not gone({pid}) for pid in descendants) == survivors, 1)
    took = time.monotonic() - killed
    for pid in descendants:
        if not gone({pid}):
            os.kill(pid, signal.SIGKILL)
    assert died
    seen(1, f"all gone {1000 * took:.0f} ms later")
