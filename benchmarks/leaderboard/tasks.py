"""The tasks of the leaderboard: environments, and how agents are measured in them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from nasgym.benchmarks.leaderboard.naming import parse_name


@dataclass(frozen=True)
class BenchmarkTask:
    """An environment, and for how long how many runs search it."""

    name: str
    """What the leaderboard calls it."""
    env: str
    """Id of the environment, or "module:id" where importing a module registers it."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Options of the environment, plain data."""
    num_envs: int = 1
    """Children a wave. One at a time shows what each child is worth to an agent; eight suit
    children that are really trained."""
    seeded: bool = False
    """Whether the environment's own `seed` is the run's, so that every run meets other noise."""
    seeds: int | None = None
    """Runs of each agent; None: as many as the leaderboard asks for."""
    children: int | None = None
    """Budget of a run; None: what the leaderboard asks for."""

    def __post_init__(self) -> None:
        for name in ("num_envs", "seeds", "children"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, int) and value >= 1):
                raise ValueError(f"{name} of task {self.name} must be at least 1, not {value!r}")

    def env_options(self, seed: int) -> dict[str, Any]:
        """Return the options of the environment in the run with `seed`."""
        return {**self.options, **({"seed": seed} if self.seeded else {})}


OWN_OPTIONS = ("num_envs", "seeded", "seeds", "children")
"""Options of the task itself; all others are the environment's."""

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
        # Really trained. The runs are what is parallel, so each trains on one core.
        BenchmarkTask("digits", "NAS-Digits-v0", {"workers": 1}, num_envs=8, seeds=3, children=150),
    )
}
"""Tasks by name. Rewards are those of a full training, averaged over seeds, unless the name says
otherwise; networks are scored by those always."""


def task_named(text: str) -> BenchmarkTask:
    """Return the task that `text` names: one of TASKS or the id of any environment.

    Options may follow: "NAS-Bench-201-v0:dataset=cifar100,epochs=12", "digits:seeds=5". Those in
    OWN_OPTIONS are the task's own, the others go to the environment.
    """
    name, options = parse_name(text)
    own = {key: value for key, value in options.items() if key in OWN_OPTIONS}
    rest = {key: value for key, value in options.items() if key not in OWN_OPTIONS}
    task = TASKS.get(name, BenchmarkTask(name, name))
    return replace(task, name=text, options={**task.options, **rest}, **own)
