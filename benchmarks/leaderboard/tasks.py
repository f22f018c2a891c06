"""The tasks of the leaderboard: environments, with the number and the size of their runs."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from nasgym.benchmarks.leaderboard.naming import parse_name
from nasgym.errors import InvalidInput


@dataclass(frozen=True)
class BenchmarkTask:
    """An environment, and the number, budget and wave size of its runs."""

    name: str
    """Name on the leaderboard."""
    env: str
    """Id of the environment, or "module:id" where importing a module registers it."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Options of the environment, plain data."""
    num_envs: int = 1
    """Children per wave. With one, an agent learns from every child; with eight, children that are
    really trained take less time."""
    seeded: bool = False
    """Whether the environment gets the run's seed, so that every run has different noise."""
    seeds: int | None = None
    """Runs of each agent; None: the leaderboard's number."""
    children: int | None = None
    """Budget of a run; None: the leaderboard's budget."""

    def __post_init__(self) -> None:
        for name in ("num_envs", "seeds", "children"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, int) and value >= 1):
                raise InvalidInput(f"{name} of task {self.name} must be at least 1, not {value!r}")

    def env_options(self, seed: int) -> dict[str, Any]:
        """Return the environment's options for the run with `seed`."""
        return {**self.options, **({"seed": seed} if self.seeded else {})}


OWN_OPTIONS = ("num_envs", "seeded", "seeds", "children")
"""Options of the task itself; all others go to the environment."""

TASKS = {
    task.name: task
    for task in (
        BenchmarkTask("nas-bench-201/cifar10", "NAS-Bench-201-v0", {"dataset": "cifar10"}),
        BenchmarkTask("nas-bench-201/cifar100", "NAS-Bench-201-v0", {"dataset": "cifar100"}),
        BenchmarkTask(
            "nas-bench-201/cifar10/12-epochs",
            "NAS-Bench-201-v0",
            {"dataset": "cifar10", "epochs": 12},
        ),
        BenchmarkTask(
            "nas-bench-201/cifar100/12-epochs",
            "NAS-Bench-201-v0",
            {"dataset": "cifar100", "epochs": 12},
        ),
        BenchmarkTask("nas-bench-macro", "NAS-Bench-Macro-v0"),
        BenchmarkTask("nas-bench-graph", "NAS-Bench-Graph-v0"),
        BenchmarkTask("digits-table", "NAS-Digits-Table-v0"),
        BenchmarkTask("digits-table/noisy", "NAS-Digits-Table-v0", {"noise": "seed"}, seeded=True),
        # Really trained, on one core each, because the runs themselves are parallel.
        BenchmarkTask("digits", "NAS-Digits-v0", {"workers": 1}, num_envs=8, seeds=3, children=150),
    )
}
"""Tasks by name. Unless the name says otherwise, the reward is the mean over seeds after full
training; the score always is."""


def task_named(text: str) -> BenchmarkTask:
    """Return the task that `text` names: one of TASKS or the id of any environment.

    Options may follow: "NAS-Bench-201-v0:dataset=cifar100,epochs=12", "digits:seeds=5". Those in
    OWN_OPTIONS belong to the task; the others go to the environment.
    """
    name, options = parse_name(text)
    own = {key: value for key, value in options.items() if key in OWN_OPTIONS}
    rest = {key: value for key, value in options.items() if key not in OWN_OPTIONS}
    task = TASKS.get(name, BenchmarkTask(name, name))
    return replace(task, name=text, options={**task.options, **rest}, **own)
