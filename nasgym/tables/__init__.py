"""Tables: search tasks whose networks were all trained beforehand, by name."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from nasgym.spaces import PRESETS
from nasgym.spaces.base import SearchSpace
from nasgym.spaces.tables import NASBench201Space, NASBenchMacroSpace
from nasgym.tables import digits, nas_bench_201, nas_bench_graph, nas_bench_macro
from nasgym.tables.table import Table, TableError, TableEvaluator

TABLES: Mapping[str, Callable[..., Table]] = {
    "nas-bench-201": nas_bench_201.load,
    "nas-bench-macro": nas_bench_macro.load,
    "nas-bench-graph": nas_bench_graph.load,
    "digits": digits.load,
}
"""What loads each table, by its name."""


def load(name: str, **options: Any) -> Table:
    """Return the table called `name`; `options` are those of its own `load`.

    Raises TableError or FileNotFoundError, in one line, for a name or an option there is not, and
    for a file that is missing, damaged or something else.
    """
    _check(name, options)
    return TABLES[name](**options)


SPACES: Mapping[str, Callable[..., SearchSpace]] = {
    "nas-bench-201": lambda **_: NASBench201Space(),
    "nas-bench-macro": lambda **_: NASBenchMacroSpace(),
    "nas-bench-graph": nas_bench_graph.search_space,
    "digits": lambda **_: PRESETS["digits-table"],
}
"""Functions that return the space of each table, given the options of `load`."""


def search_space(name: str, **options: Any) -> SearchSpace:
    """Return the space of the table called `name`, without the table; see `load`."""
    _check(name, options)
    return SPACES[name](**options)


def _check(name: str, options: Mapping[str, Any]) -> None:
    """Raise TableError unless there is a table `name` that takes `options`."""
    if name not in TABLES:
        raise TableError(f"there is no table {name!r}; there are {', '.join(TABLES)}")
    known = inspect.signature(TABLES[name]).parameters
    for option in options:
        if option not in known:
            raise TableError(f"{name} has no option {option!r}; there are {', '.join(known)}")


__all__ = ["TABLES", "Table", "TableError", "TableEvaluator", "load", "search_space"]
