"""The package: what a user installs has every module, under its right name, and nothing else."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
NOT_SOURCE = (".*", "__pycache__", "*.egg-info", "build", "dist", "runs", "wandb")

PROBE = """
import importlib.metadata, json, nasgym
agents = importlib.metadata.distribution("nasgym").entry_points.select(group="nasgym.agents")
print(json.dumps([nasgym.__file__, {agent.name: agent.load().__module__ for agent in agents}]))
"""


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    """Return what `command` prints; fail with all it said if it fails."""
    done = subprocess.run(
        command, cwd=cwd, env=os.environ | environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build an sdist and from it the wheel, in a copy of the tree so that nothing stale gets in."""
    tree = tmp_path_factory.mktemp("build") / "tree"
    shutil.copytree(ROOT, tree, symlinks=True, ignore=shutil.ignore_patterns(*NOT_SOURCE))
    run(sys.executable, "-m", "build", "--no-isolation", cwd=tree)
    [built] = (tree / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the wheel, and nothing else, into a folder."""
    folder = tmp_path_factory.mktemp("installed")
    pip = (sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--quiet")
    run(*pip, "--no-index", "--no-deps", "--target", folder, wheel, cwd=folder)
    return folder


def test_wheel_has_every_module_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    modules = {path.relative_to(ROOT) for path in (ROOT / "nasgym").rglob("*.py")}
    for folder in ("agents", "benchmarks"):
        modules |= {"nasgym" / path.relative_to(ROOT) for path in (ROOT / folder).rglob("*.py")}
    data = {
        *("nasgym/measured.json", "nasgym/py.typed", "nasgym/analysis/paper_tables.json"),
        *("nasgym/report/style.css", "nasgym/tables/digits.npz"),
    }
    assert names == {path.as_posix() for path in modules} | data


def test_installed_agents_load_under_their_own_names(installed: Path) -> None:
    file, agents = json.loads(
        run(sys.executable, "-c", PROBE, cwd=installed.parent, PYTHONPATH=str(installed))
    )
    assert Path(file).is_relative_to(installed)
    entry_points = PROJECT["entry-points"]["nasgym.agents"]
    assert agents.keys() == entry_points.keys()
    assert all(
        agents[name].startswith(value.partition(":")[0]) for name, value in entry_points.items()
    )


@pytest.mark.parametrize("name", PROJECT["scripts"])
def test_installed_command_runs(installed: Path, name: str) -> None:
    command = installed / "bin" / name
    assert "search" in run(command, "--help", cwd=installed.parent, PYTHONPATH=str(installed))


def test_constraints_pin_every_direct_dependency() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [Requirement(line) for line in lines if not line.startswith("#")]
    assert all(str(pin.specifier).startswith("==") for pin in pins)
    wanted = map(Requirement, PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"])
    assert {canonicalize_name(need.name) for need in wanted} <= {
        canonicalize_name(pin.name) for pin in pins
    }


def test_citation_and_package_have_one_version() -> None:
    assert f"version: {PROJECT['version']}" in (ROOT / "CITATION.cff").read_text().splitlines()
