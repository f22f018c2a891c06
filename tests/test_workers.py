"""The pool of worker processes when children, fork servers and parents fail."""

import itertools
import multiprocessing
import os
import pkgutil
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from nasgym.evaluation.evaluation import Evaluation
from nasgym.execution.local import Pool, WorkerError
from tests.killing import ROOT
from tests.pools import ANSWER, JOB, evaluate, family, fork_server, last_line
from tests.processes import children_of, gone, until

pytestmark = [
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks processes up in /proc"),
    pytest.mark.usefixtures("nothing_left"),
]


def test_results_are_those_of_the_job_in_this_process() -> None:
    run = pkgutil.resolve_name(JOB)({})
    tasks = [{"do": "answer", "seed": seed} for seed in range(20)]
    with Pool(JOB, {}, workers=3) as pool:
        for _ in range(2):
            assert evaluate(pool, *tasks) == [Evaluation.from_plain(run(task)) for task in tasks]
        assert list(pool.run([])) == []


def test_job_is_set_up_once_with_its_settings_and_the_path_of_this_process() -> None:
    with Pool("tests.jobs:counted", {"recipe": ["short", 1]}, workers=2) as pool:
        reports = [evaluation.metrics for evaluation in evaluate(pool, {}, {}, {})]
    assert {metrics["fork_server"] for metrics in reports} != {os.getpid()}
    assert all(metrics == reports[0] for metrics in reports)
    assert reports[0]["settings"] == {"recipe": ["short", 1]}
    assert str(ROOT) in reports[0]["path"]


def test_largest_cost_begins_first_and_equal_costs_in_order() -> None:
    tasks = [{"do": "answer", "seed": seed} for seed in range(6)]
    with Pool(JOB, {}) as pool:
        assert [index for index, _ in pool.run(tasks, [1, 5, 3, 5, 2, 1])] == [1, 3, 2, 4, 0, 5]
        assert [index for index, _ in pool.run(tasks)] == [0, 1, 2, 3, 4, 5]
        with pytest.raises(ValueError, match="6 tasks need as many costs, not 1"):
            pool.run(tasks, [1])


def test_results_come_in_the_order_of_finishing() -> None:
    tasks = [{"do": "sleep", "seconds": seconds} for seconds in (0.8, 0.0, 0.4)]
    with Pool(JOB, {}, workers=3) as pool:
        assert [index for index, _ in pool.run(tasks)] == [1, 2, 0]


def test_two_children_never_have_the_same_slot_at_once() -> None:
    tasks = [{"do": "sleep", "seconds": 0.02 * (seed % 3)} for seed in range(20)]
    with Pool(JOB, {}, workers=3) as pool:
        spans = sorted(evaluation.metrics["span"] for evaluation in evaluate(pool, *tasks))
    assert {slot for slot, _, _ in spans} == {0, 1, 2}
    for (slot, _, end), (next_slot, begin, _) in itertools.pairwise(spans):
        assert slot != next_slot or end <= begin


@pytest.mark.parametrize("fault", [signal.SIGKILL, signal.SIGSTOP])
def test_a_lost_fork_server_is_replaced_and_its_children_begin_again(
    fault: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nasgym.execution.local.PING_AFTER", 0.2)
    monkeypatch.setattr("nasgym.execution.local.ANSWER_WITHIN", 1.0)
    with Pool(JOB, {}, workers=2) as pool:
        results = pool.run([{"do": "sleep", "seconds": 0}, *[{"do": "sleep", "seconds": 0.5}] * 3])
        next(results)
        lost = fork_server()
        assert until(lambda: len(children_of(lost)) == 2, 5)
        orphans = children_of(lost)
        os.kill(lost, fault)
        evaluations = [evaluation for _, evaluation in results]
        assert fork_server() != lost
    assert gone({lost, *orphans})
    assert [one.status for one in evaluations] == ["ok"] * 3
    assert sorted(one.metrics.get("attempts", 1) for one in evaluations) == [1, 2, 2]


def test_a_task_that_always_kills_the_fork_server_fails() -> None:
    with Pool(JOB, {}, retries=1) as pool:
        fatal, other = evaluate(pool, {"do": "kill_fork_server"}, ANSWER)
    assert (fatal.status, fatal.metrics["attempts"], other.status) == ("killed", 2, "ok")
    assert fatal.error == "the process that forked it was lost: killed by SIGKILL (Killed)"


@pytest.mark.parametrize(
    ("job", "reason"),
    [
        ("no_such_module:job", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("tests.jobs:nothing", "AttributeError: module 'tests.jobs' has no attribute 'nothing'"),
        ("tests.jobs:without_data", "FileNotFoundError: no data in /nowhere: run `fetch`"),
        ("tests.jobs:killed_in_setup", "killed by SIGKILL (Killed)"),
    ],
)
def test_a_job_that_cannot_start_is_one_clear_error(job: str, reason: str) -> None:
    with Pool(job, {}, workers=2) as pool, pytest.raises(WorkerError) as caught:
        list(pool.run([{}, {}]))
    assert str(caught.value) == f"the job {job} cannot start: {reason}"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"job": "jobs.any_of_these"}, "named 'package.module:function', not 'jobs.any_of_these'"),
        ({"workers": 0}, "0 workers"),
        ({"retries": -1}, "retries must be 0 or more, not -1"),
        ({"time_limit": 0}, "time_limit must be above 0, or None for no limit, not 0"),
        ({"memory_limit": float("nan")}, "memory_limit must be above 0"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Pool(**{"job": JOB, "settings": {}, **options})


def test_a_system_without_fork_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "fork")
    with pytest.raises(OSError, match="this system lacks"):
        Pool(JOB, {})


def test_an_abandoned_run_leaves_nothing_behind() -> None:
    spinning = [ANSWER, {"do": "spin"}, {"do": "spin"}]
    with Pool(JOB, {}, workers=2) as pool:
        for _ in pool.run(spinning):
            orphans = children_of(fork_server())
            break
        assert gone(orphans)
        held = pool.run(spinning)  # a reference keeps it open, as a traceback would
        next(held)
        (evaluation,) = evaluate(pool, ANSWER)
        assert evaluation.status == "ok"
        with pytest.raises(RuntimeError, match="has ended this run"):
            next(held)
        assert evaluate(pool, ANSWER) == [evaluation]


def test_close_kills_within_a_second_and_for_good() -> None:
    pool = Pool(JOB, {}, workers=2)
    results = pool.run([{"do": "answer", "seed": 0}, {"do": "stop"}, {"do": "start_sleeper"}])
    sleeper = {evaluation.metrics.get("pid") for _, evaluation in (next(results), next(results))}
    everyone = {fork_server(), *children_of(fork_server()), *filter(None, sleeper)}
    assert len(everyone) == 3
    begun = time.monotonic()
    pool.close()
    pool.close()
    assert time.monotonic() - begun < 1
    assert gone(everyone)
    with pytest.raises(RuntimeError, match="closing the pool"):
        next(results)
    with pytest.raises(RuntimeError, match="closed"):
        pool.run([ANSWER])


def test_a_stopped_fork_server_is_closed_within_a_second_too() -> None:
    with Pool(JOB, {}) as pool:
        evaluate(pool, ANSWER)
        os.kill(fork_server(), signal.SIGSTOP)
        begun = time.monotonic()
    assert time.monotonic() - begun < 1


def test_an_interrupted_start_leaves_nothing_behind(tmp_path: Path) -> None:
    begun = tmp_path / "begun"

    def interrupt() -> None:
        until(begun.exists, 20)
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in the background
    thread = threading.Thread(target=interrupt)
    thread.start()
    with (
        Pool("tests.jobs:slow_setup", {"begun": str(begun)}) as pool,
        pytest.raises(KeyboardInterrupt),
    ):
        list(pool.run([{}]))
    thread.join()
    signal.signal(signal.SIGINT, before)


def test_a_dropped_pool_ends_its_processes() -> None:
    pool = Pool(JOB, {})
    evaluate(pool, ANSWER)
    assert family()
    del pool
    assert not family()


def test_processes_that_a_child_started_end_with_it(pool: Pool) -> None:
    (evaluation,) = evaluate(pool, {"do": "start_sleeper"})
    assert until(lambda: gone({evaluation.metrics["pid"]}), 1)


def test_output_of_a_child_is_discarded(pool: Pool, capfd: pytest.CaptureFixture[str]) -> None:
    assert evaluate(pool, *[{"do": "chatter"}] * 4) == [Evaluation(0.5)] * 4
    assert capfd.readouterr() == ("", "")


def test_a_result_may_be_large_but_not_without_limit(pool: Pool) -> None:
    metrics = {"curve": "x" * 2**20}
    assert evaluate(pool, {"do": "return_it", "it": {"metrics": metrics}}) == [
        Evaluation(metrics=metrics)
    ]
    (refused,) = evaluate(pool, {"do": "return_much"})
    assert last_line(refused).startswith("nasgym.errors.InvalidInput: a message of 16,777,")


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_pool_works_inside_a_daemonic_process(method: str) -> None:
    context: Any = multiprocessing.get_context(method)
    receiver, sender = context.Pipe(duplex=False)
    target = pkgutil.resolve_name("tests.jobs:run_in_daemon")
    process = context.Process(target=target, args=(sender,), daemon=True)
    process.start()
    assert receiver.poll(30)
    run = pkgutil.resolve_name(JOB)({})
    assert receiver.recv() == {
        seed: run({"do": "answer", "seed": seed})["accuracy"] for seed in range(4)
    }
    process.join()


def test_a_fork_of_the_owner_can_neither_use_nor_close_the_pool(pool: Pool) -> None:
    if (pid := os.fork()) == 0:
        try:
            pool.run([ANSWER])
        except RuntimeError as error:
            pool.close()
            os._exit(7 if "make one here" in str(error) else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 7
    assert evaluate(pool, ANSWER)[0].status == "ok"
