"""NAS-Bench-Graph: graph neural networks trained on nine data sets (Qin et al. 2022).

The values come with the package nas-bench-graph (`pip install nasgym[bench]`), which also
identifies equal networks. The network without any operation was not trained; its nine strings have
the accuracy of guessing.
"""

from functools import cache
from typing import Any

import numpy as np

from nasgym.spaces.nas_bench import NASBenchGraphArchitecture, NASBenchGraphSpace
from nasgym.tables.table import Table, TableError

CLASSES = dict(
    cora=7, citeseer=6, pubmed=3, cs=15, physics=5, photo=8, computers=10, arxiv=40, proteins=2
)
"""Data sets, and their numbers of classes."""

PROTEINS = ("gcn", "sage", "arma", "fc", "skip")
"""The operations of the data set "proteins", which has only these five."""

PASSES = 1_000
"""The package has no training times. They are estimated as this multiple of the latency."""


def search_space(bench: str = "cora") -> NASBenchGraphSpace:
    """Return the space of a data set."""
    return NASBenchGraphSpace(PROTEINS) if bench == "proteins" else NASBenchGraphSpace()


def load_nas_bench_graph(bench: str = "cora") -> Table:
    """Return the table of a data set; the reward is the mean validation accuracy over 3 seeds."""
    if bench not in CLASSES:
        raise TableError(f"bench must be one of {', '.join(CLASSES)}, not {bench!r}")
    package = _package()
    space = search_space(bench)
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
        raise TableError("NAS-Bench-Graph needs its package: pip install nas-bench-graph") from None
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
