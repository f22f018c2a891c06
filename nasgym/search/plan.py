"""The plan of a search: the contents of `search.json`."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from nasgym.environments.registry import ENVIRONMENTS

RECORDING = ("archive", "run")
"""Options of an environment that say where it records, not what it is."""


LIMITS = ("time_limit", "memory_limit")
"""Options of an environment that may change while a search goes on: they decide no result."""


class SearchError(Exception):
    """A search that cannot start or go on; the message is one line for the user."""


@dataclass(frozen=True)
class Plan:
    """All that is needed to run a search again: the contents of `search.json`."""

    env: str
    """Id of the environment."""
    agent: str
    """Name of the agent."""
    children: int
    """Budget: how many children to finish."""
    seed: int = 0
    """Seed of the agent. (The children's is an option of the environment.)"""
    num_envs: int = 8
    """Episodes in a wave, whose children train as one batch."""
    workers: int | str | None = None
    """Children trained at the same time, or the cluster that trains them: "ray", "auto" or
    "ray://host:port". None: one a core. Results do not depend on it."""
    env_options: Mapping[str, Any] = field(default_factory=dict)
    """Options of the environment, plain data."""
    agent_options: Mapping[str, Any] = field(default_factory=dict)
    """Options of the agent, plain data."""
    asynchronous: bool = False
    """Whether a string is proposed as soon as a worker is free, not in waves."""
    seconds: float | None = None
    """Budget: the search also ends when the seconds of all its children reach this. A child that is
    proposed again is charged again, as in the protocols of published tables."""

    def __post_init__(self) -> None:
        if self.seconds is not None and not self.seconds > 0:
            raise ValueError(f"seconds must be above 0, not {self.seconds}")
        for name in ("children", "num_envs"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")

    @property
    def options(self) -> dict[str, Any]:
        """Return all options that make the environment: those its id stands for and the plan's."""
        return {**ENVIRONMENTS.get(self.env, {}), **self.task_options}

    @property
    def task_options(self) -> dict[str, Any]:
        """Return the plan's options of the environment but those that say where it records."""
        named = self.env_options.items()
        return {name: value for name, value in named if name not in RECORDING}


def _read_plan(text: str, where: str) -> Plan:
    try:
        return Plan(**json.loads(text))
    except (ValueError, TypeError) as error:
        raise SearchError(f"{where} is damaged: {error}") from None


def _placed(plan: Plan, known: Plan | None, folder: Path) -> Plan:
    """Return `plan` with all that says where it records: the whole path, and a name."""
    shared = plan.env_options.get("archive")
    if shared is None:
        return plan
    before = {} if known is None else known.env_options
    named = {"run": before.get("run", folder.resolve().name), **plan.env_options}
    path = str(Path(str(shared)).absolute())
    return replace(plan, env_options={**named, "archive": path})


def _merged(known: Plan | None, plan: Plan | None, folder: str) -> Plan:
    """Return the plan to follow in a folder where `known` was followed so far."""
    if known is None or plan is None:
        merged = plan or known
        assert merged is not None
        return merged
    children = max(known.children, plan.children)
    seconds = max((each.seconds for each in (known, plan) if each.seconds), default=None)
    workers = plan.workers or known.workers
    grown: dict[str, Any] = {"children": children, "seconds": seconds, "workers": workers}
    merged = replace(plan, **grown)
    limits = {name: value for name, value in plan.env_options.items() if name in LIMITS}
    known = replace(known, env_options={**known.env_options, **limits})
    for name, value in asdict(replace(known, **grown)).items():
        if asdict(merged)[name] != value:
            raise SearchError(
                f"{folder} holds a run with {name} {value!r}, not {asdict(merged)[name]!r}: "
                f"leave the option out to go on with it, or choose another --out"
            )
    return merged
