"""Tables: search tasks whose networks were all trained beforehand, by name."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from nasgym.spaces import PRESETS
from nasgym.spaces.base import SearchSpace
from nasgym.spaces.nas_bench import NASBench201Space, NASBenchMacroSpace
from nasgym.tables import nas_bench_graph
from nasgym.tables.digits import load_digits_table
from nasgym.tables.nas_bench_201 import load_nas_bench_201
from nasgym.tables.nas_bench_graph import load_nas_bench_graph
from nasgym.tables.nas_bench_macro import load_nas_bench_macro
from nasgym.tables.table import Table, TableError, TableEvaluator

TABLES: Mapping[str, Callable[..., Table]] = {
    "nas-bench-201": load_nas_bench_201,
    "nas-bench-macro": load_nas_bench_macro,
    "nas-bench-graph": load_nas_bench_graph,
    "digits": load_digits_table,
}
"""The function that loads each table, by the table's name."""

SPACES: Mapping[str, SearchSpace] = {
    "nas-bench-201": NASBench201Space(),
    "nas-bench-macro": NASBenchMacroSpace(),
    "digits": PRESETS["digits-table"],
}
"""The spaces of the tables whose options do not change it."""


def load(name: str, **options: Any) -> Table:
    """Return the table called `name`; `options` are those of its function in TABLES.

    Raises TableError for an unknown name, option or value, and for a damaged or wrong file, and
    FileNotFoundError for a missing file, in one line.
    """
    _check_options(name, options)
    return TABLES[name](**options)


def search_space(name: str, **options: Any) -> SearchSpace:
    """Return the space of the table called `name`, without loading it; see `load`."""
    _check_options(name, options)
    if name == "nas-bench-graph":
        return nas_bench_graph.search_space(**options)
    return SPACES[name]


def _check_options(name: str, options: Mapping[str, Any]) -> None:
    """Raise TableError unless there is a table `name` that takes `options`."""
    if name not in TABLES:
        raise TableError(f"there is no table {name!r}; there are {', '.join(TABLES)}")
    known = inspect.signature(TABLES[name]).parameters
    for option in options:
        if option not in known:
            raise TableError(f"{name} has no option {option!r}; there are {', '.join(known)}")


__all__ = ["TABLES", "Table", "TableError", "TableEvaluator", "load", "search_space"]
