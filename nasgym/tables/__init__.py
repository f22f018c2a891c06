"""Tables: search tasks whose networks were all trained beforehand, by name."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from nasgym.tables import digits, nas_bench_201, nas_bench_graph, nas_bench_macro
from nasgym.tables.table import Lookup, Table, TableError

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
    if name not in TABLES:
        raise TableError(f"there is no table {name!r}; there are {', '.join(TABLES)}")
    known = inspect.signature(TABLES[name]).parameters
    for option in options:
        if option not in known:
            raise TableError(f"{name} has no option {option!r}; there are {', '.join(known)}")
    return TABLES[name](**options)


__all__ = ["TABLES", "Lookup", "Table", "TableError", "load"]
