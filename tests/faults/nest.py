"""A process that has imported everything a search needs, and forks a search per line of input.

So tests can kill a search a few hundred times and import torch once. Each fork is an ordinary
process with its own files and its own lock on the folder.

python -m tests.faults.nest AGENT ...
"""

import importlib
import json
import os
import resource
import sys
from collections.abc import Mapping
from typing import Any, NoReturn

from nasgym import crash_points as faults
from nasgym.agents import registered
from nasgym.execution.json_process import die_with_parent
from tests import free_search

IMPORTED_LATE = (
    "matplotlib.pyplot",
    "nasgym.report.figures",
    "nasgym.report",
    "torch._dynamo",
    "tyro.extras",
)


def main() -> None:
    free_search.register()
    for agent in sys.argv[1:]:
        registered()[agent].load()
    for module in IMPORTED_LATE:
        importlib.import_module(module)
    nest = os.getpid()
    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            live(json.loads(line), nest)
        print(pid, flush=True)
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)


def live(order: Mapping[str, Any], nest: int) -> NoReturn:
    """Run one search in this process, and exit."""
    die_with_parent(nest)
    code = 1
    try:
        for stream, name in enumerate((os.devnull, order["output"], order["errors"])):
            os.dup2(os.open(name, os.O_RDWR | os.O_CREAT | os.O_TRUNC), stream)
        os.environ.update(order["environment"])
        if size := os.environ.get("LARGEST_FILE"):
            resource.setrlimit(resource.RLIMIT_FSIZE, (int(size), resource.RLIM_INFINITY))
        faults._POINT = os.environ.get("NASGYM_CRASH_AT", "")
        free_search.search(*order["arguments"])
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
