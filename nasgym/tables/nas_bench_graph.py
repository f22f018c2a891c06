"""NAS-Bench-Graph: graph neural networks trained on nine data sets (Qin et al. 2022).

The values come with the package nas-bench-graph (`pip install nasgym[bench]`), which also knows
which strings mean the same network. The one without any operation was not trained: its nine
strings bring the accuracy of guessing.
"""

from functools import cache
from typing import Any

import numpy as np

from nasgym.spaces.nas_bench import NASBenchGraphArchitecture, NASBenchGraphSpace
from nasgym.tables.table import Table, TableError

CLASSES = {
    **{"cora": 7, "citeseer": 6, "pubmed": 3, "cs": 15, "physics": 5, "photo": 8},
    **{"computers": 10, "arxiv": 40, "proteins": 2},
}
PROTEINS = ("gcn", "sage", "arma", "fc", "skip")

PASSES = 1_000
"""The package has no training times. What is charged is so many times a network's latency."""


def load(bench: str = "cora") -> Table:
    """Return the table of a data set: agents are told the mean validation accuracy of 3 seeds."""
    if bench not in CLASSES:
        raise TableError(f"bench {bench!r} is none of {', '.join(CLASSES)}")
    package = _package()
    space = NASBenchGraphSpace(PROTEINS) if bench == "proteins" else NASBenchGraphSpace()
    known = package.light_read(bench)
    untrained = {"valid_perf": 1 / CLASSES[bench], "perf": 1 / CLASSES[bench]}
    rows = [known.get(key, untrained | {"latency": 0, "para": 0}) for key in _keys(space)]
    valid, test, latency, millions = (
        np.array([row[name] for row in rows], float)
        for name in ("valid_perf", "perf", "latency", "para")
    )
    return Table(
        name=f"nas-bench-graph {bench}",
        space=space,
        reward=valid,
        clean=valid,
        test=test,
        seconds=latency * PASSES,
        chance=1 / CLASSES[bench],
        metrics={"parameters": (millions * 1e6).round().astype(int), "latency": latency},
    )


def _package() -> Any:
    try:
        import nas_bench_graph
    except ImportError:
        raise TableError(
            "NAS-Bench-Graph needs a package of its own: pip install nas-bench-graph"
        ) from None
    return nas_bench_graph


@cache
def _keys(space: NASBenchGraphSpace) -> list[int]:
    """Return the package's key of each string of `space`."""
    return [_key(space.decode(tokens)) for tokens in space]


def _key(architecture: NASBenchGraphArchitecture) -> int:
    kind = _package().Arch
    same = kind(list(architecture.links), list(architecture.operations)).regularize()
    same.move_skip_op()
    same.equalpart_sort()
    key: int = same.hash_arch()
    return key
