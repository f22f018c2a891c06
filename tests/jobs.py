"""Jobs for the tests of the worker processes: they answer, sleep, crash and fill the memory."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from nasgym.execution.child import Job
from nasgym.execution.local import Pool
from tests.processes import stat


def answer(task: Mapping[str, Any]) -> dict[str, Any]:
    accuracy = float(np.random.default_rng(task["seed"]).random())
    return {"accuracy": accuracy, "metrics": {"curve": [accuracy / 3, accuracy], "name": "é\n"}}


def sleep(task: Mapping[str, Any]) -> dict[str, Any]:
    begun = time.monotonic()
    time.sleep(task["seconds"])
    span = [task["slot"], begun, time.monotonic()]
    return {"accuracy": 0.5, "metrics": {"span": span, "pid": os.getpid()}}


def spin(task: Mapping[str, Any]) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while True:
        pass


def compute_in_c(task: Mapping[str, Any]) -> NoReturn:
    """Hang in one C call, during which neither Python nor a signal handler runs."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise AssertionError(3 ** (10**9))


def stop(task: Mapping[str, Any]) -> dict[str, Any]:
    os.kill(os.getpid(), signal.SIGSTOP)
    return {"accuracy": 1.0}


def fill_memory(task: Mapping[str, Any]) -> NoReturn:
    kept = []
    while True:
        kept.append(np.ones(2**20))


def recur(task: Mapping[str, Any]) -> Any:
    return recur(task)


def fail(task: Mapping[str, Any]) -> NoReturn:
    raise {"ValueError": ValueError, "KeyboardInterrupt": KeyboardInterrupt}[task["error"]]("why")


def leave(task: Mapping[str, Any]) -> NoReturn:
    sys.exit(3)


def leave_at_once(task: Mapping[str, Any]) -> NoReturn:
    print("about to leave", file=sys.stderr)
    os._exit(3)


def read_address_zero(task: Mapping[str, Any]) -> Any:
    return ctypes.string_at(0)


def abort(task: Mapping[str, Any]) -> None:
    print(task.get("says", ""), file=sys.stderr)
    os.abort()


def return_it(task: Mapping[str, Any]) -> Any:
    """Return the value that the task names, or one that JSON cannot express."""
    if task["it"] == "set":
        return {"metrics": {1, 2}}
    if task["it"] in ("nan", "inf"):
        value = float(task["it"])
        return {"accuracy": value} if value != value else {"metrics": {"nll": value}}
    return task["it"]


def return_much(task: Mapping[str, Any]) -> dict[str, Any]:
    return {"metrics": {"curve": "x" * 2**24}}


def die_at_first(task: Mapping[str, Any]) -> dict[str, Any]:
    """Die by SIGKILL in the first attempts, as many as "deaths"; then answer. A file counts."""
    with Path(task["count"]).open("a+") as file:
        file.write("x")
        attempts = file.tell()
    if attempts <= task["deaths"]:
        taken = np.ones(2**22)
        assert taken.nbytes
        os.kill(os.getpid(), signal.SIGKILL)
    return {"accuracy": 0.5}


def kill_fork_server(task: Mapping[str, Any]) -> None:
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(60)


def whose(task: Mapping[str, Any]) -> dict[str, Any]:
    """Report the pids of the parent process and of the process that owns it."""
    return {"metrics": {"fork_server": os.getppid(), "owner": stat(os.getppid())[1]}}


def kill_owner(task: Mapping[str, Any]) -> None:
    """Kill the process that owns the parent process."""
    os.kill(stat(os.getppid())[1], signal.SIGKILL)
    time.sleep(60)


def chatter(task: Mapping[str, Any]) -> dict[str, Any]:
    for stream in (1, 2):
        os.write(stream, b'{"ticket": 0, "evaluation": {"accuracy": 1.0}}\n' * 5000)
    print("to be flushed never", end="")
    subprocess.run(["echo", "more"], check=True)
    return {"accuracy": 0.5}


def start_sleeper(task: Mapping[str, Any]) -> dict[str, Any]:
    return {"metrics": {"pid": subprocess.Popen(["sleep", "60"]).pid}}


def any_of_these(settings: Mapping[str, Any]) -> Job:
    """Return a job that calls the function named "do" in its task."""
    return lambda task: globals()[task["do"]](task)


def counted(settings: Mapping[str, Any]) -> Job:
    """Return a job that reports the process it was set up in."""
    here = os.getpid()
    return lambda task: {"metrics": {"fork_server": here, "settings": settings, "path": sys.path}}


def without_data(settings: Mapping[str, Any]) -> Job:
    print("setting up")
    raise FileNotFoundError("no data in /nowhere: run `fetch`")


def killed_in_setup(settings: Mapping[str, Any]) -> Job:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def slow_setup(settings: Mapping[str, Any]) -> Job:
    Path(settings["begun"]).touch()
    time.sleep(60)
    raise AssertionError


def run_in_daemon(connection: Connection) -> None:
    """Run a pool and send the accuracies, as the process of a vector environment would."""
    with Pool("tests.jobs:any_of_these", {}, workers=2) as pool:
        tasks = [{"do": "answer", "seed": seed} for seed in range(4)]
        connection.send({index: one.accuracy for index, one in pool.run(tasks)})


def run_for_ever(job: str, begun: str, fork: bool) -> None:
    """Run two children for ever, optionally beside a fork that holds all files open."""
    results = Pool(job, {"begun": begun}, workers=2).run(
        [{"do": "answer", "seed": 0}, *[{"do": "spin"}] * 2]
    )
    next(results)
    Path(begun).touch()
    if fork and os.fork() == 0:
        time.sleep(60)
        os._exit(0)
    next(results)
