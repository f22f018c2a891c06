"""Tables: search tasks whose networks were all trained beforehand, by name."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

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


def load(name: str, **options: Any) -> Table:
    """Return the table called `name`; `options` are those of its function in TABLES.

    Raises TableError for an unknown name, option or value, and for a damaged or wrong file, and
    FileNotFoundError for a missing file, in one line.
    """
    if name not in TABLES:
        raise TableError(f"there is no table {name!r}; there are {', '.join(TABLES)}")
    known = inspect.signature(TABLES[name]).parameters
    for option in options:
        if option not in known:
            raise TableError(f"{name} has no option {option!r}; there are {', '.join(known)}")
    return TABLES[name](**options)


__all__ = ["TABLES", "Table", "TableError", "TableEvaluator", "load"]
