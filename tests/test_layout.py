"""The layout: folders stand in the order of the data, and nothing imports against it."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

FLOORS = [
    ["errors", "crash_points"],
    ["files", "options"],
    ["spaces"],
    ["networks", "data", "evaluation"],
    ["execution", "archive", "tables", "drawing"],
    ["training", "tracking"],
    ["environments"],
    ["agents", "testing"],
    ["search"],
    ["analysis"],
    ["report"],
    ["benchmarks"],
    ["commands"],
]
"""Modules and folders of nasgym; each imports only from its own folder and from lower floors."""

FLOOR = {name: floor for floor, names in enumerate(FLOORS) for name in names}

SOURCES = sorted(
    path.relative_to(ROOT)
    for folder in ("nasgym", "agents", "benchmarks")
    for path in (ROOT / folder).rglob("*.py")
    if not path.is_relative_to(ROOT / "nasgym" / "agents")
    and not path.is_relative_to(ROOT / "nasgym" / "benchmarks")
)


def module(path: Path) -> str:
    """Return the dotted name under which a file is imported."""
    parts = path.with_suffix("").parts
    parts = parts if parts[0] == "nasgym" else ("nasgym", *parts)
    return ".".join(parts).removesuffix(".__init__")


MODULES = {module(path) for path in SOURCES}


def imports(path: Path) -> Iterator[str]:
    """Yield each module of ours that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("nasgym"):
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            yield from (name if name in MODULES else node.module for name in names)
        elif isinstance(node, ast.Import):
            yield from (each.name for each in node.names if each.name.startswith("nasgym"))


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_no_import_climbs(path: Path) -> None:
    own = module(path).split(".")[1:2]
    if not own or own == ["__main__"]:  # the package itself shows what all floors offer
        return
    for name in imports(path):
        other = name.split(".")[1:2]
        assert other, f"{path} imports the package that it is part of"
        assert other == own or FLOOR[other[0]] < FLOOR[own[0]], f"{path} imports {name}"


def test_every_folder_has_a_floor() -> None:
    names = {module(path).split(".")[1] for path in SOURCES if "." in module(path)}
    assert names - {"__main__"} == set(FLOOR)


def test_there_is_no_circle() -> None:
    """Also within a folder; the `__init__` of a folder imports from its files, not they from it."""
    graph = {module(path): set(imports(path)) & MODULES - {module(path)} for path in SOURCES}
    while free := {name for name, needs in graph.items() if not needs}:
        graph = {name: needs - free for name, needs in graph.items() if name not in free}
    assert not graph, f"these import each other: {graph}"


def test_folders_are_packages() -> None:
    for path in SOURCES:
        assert (ROOT / path).with_name("__init__.py").exists(), path
