"""What an import costs and whom it collides with."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

LIGHT = [
    "nasgym",
    "nasgym.agents",
    "nasgym.agents.evolution",
    "nasgym.agents.random_search",
    "nasgym.archive",
    "nasgym.commands.main",
    "nasgym.analysis.comparison",
    "nasgym.evaluation.constraints",
    "nasgym.data",
    "nasgym.commands.console",
    "nasgym.drawing",
    "nasgym.environments.env",
    "nasgym.evaluation.evaluator",
    "nasgym.networks",
    "nasgym.networks.wiring",
    "nasgym.environments.transitions",
    "nasgym.analysis.pareto",
    "nasgym.environments.registry",
    "nasgym.analysis.paper_tables",
    "nasgym.search.run",
    "nasgym.spaces.base",
    "nasgym.spaces",
    "nasgym.environments.study",
    "nasgym.testing",
    "nasgym.tables",
    "nasgym.tracking",
    "nasgym.training.evaluator",
    "nasgym.environments.vector",
    "nasgym.execution.local",
]
HEAVY = ["matplotlib", "sb3_contrib", "scipy", "sklearn", "stable_baselines3", "torch", "wandb"]


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)


@pytest.mark.parametrize("module", LIGHT)
def test_heavy_libraries_are_imported_only_where_they_are_used(module: str) -> None:
    done = run_python(f"import sys, {module}; print(*sys.modules)")
    assert done.returncode == 0, done.stderr
    assert set(HEAVY).isdisjoint(done.stdout.split())


@pytest.mark.parametrize("folder", ["agents", "benchmarks"])
def test_folder_refuses_a_name_that_belongs_to_another_package(folder: str) -> None:
    done = run_python(f"import {folder}")
    assert done.stderr.splitlines()[-1].startswith(
        f"ImportError: import this folder as nasgym.{folder}; "
    )
