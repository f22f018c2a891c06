"""The plan of a search: the contents of `search.json`."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from nasgym.agents import Agent, resolve_options
from nasgym.environments.options import ProblemOptions
from nasgym.environments.registry import ENVIRONMENTS, problem
from nasgym.environments.vector import NASVectorEnv
from nasgym.errors import InvalidInput, NasgymError
from nasgym.options import from_options

RECORDING = ("archive", "run")
"""Options of an environment that say where it records; they do not change the task."""

LIMITS = ("time_limit", "memory_limit")
"""Options of an environment that may change when a search resumes: they decide no result."""

WITH_PRESETS = ("reinforce", "reinforce_async")
"""Agents whose plans name a preset. Plans without one are older: they meant "paper"."""


class SearchError(NasgymError):
    """A search that cannot start or resume; the message is one line."""


@dataclass(frozen=True)
class Plan:
    """Everything needed to run a search again: the contents of `search.json`."""

    env: str
    """Id of the environment."""
    agent: str
    """Name of the agent."""
    children: int
    """Budget: the number of children to finish."""
    seed: int = 0
    """Seed of the agent. The seed of the children is an option of the environment."""
    num_envs: int = 8
    """Episodes in a wave; their children are trained as one batch."""
    workers: int | str | None = None
    """Children trained at the same time, or the cluster that trains them: "ray", "auto" or
    "ray://host:port". None: one a core. Results do not depend on it."""
    env_options: Mapping[str, Any] = field(default_factory=dict)
    """Options of the environment, plain data."""
    agent_options: Mapping[str, Any] = field(default_factory=dict)
    """Options of the agent, plain data."""
    asynchronous: bool = False
    """Whether to propose a string as soon as a worker is free, instead of in waves."""
    seconds: float | None = None
    """Budget: the search also ends when the seconds of all its trials reach this. A repeated child
    counts again, as in the protocols of published tables."""

    def __post_init__(self) -> None:
        if self.seconds is not None and not self.seconds > 0:
            raise InvalidInput(f"seconds must be above 0, not {self.seconds}")
        for name in ("children", "num_envs"):
            if getattr(self, name) < 1:
                raise InvalidInput(f"{name} must be at least 1, not {getattr(self, name)}")

    @property
    def task_options(self) -> dict[str, Any]:
        """Return the options of the environment without those that say where it records."""
        named = self.env_options.items()
        return {name: value for name, value in named if name not in RECORDING}

    @property
    def options(self) -> dict[str, Any]:
        """Return all options that make the environment: those of its id and those of the plan."""
        return {**ENVIRONMENTS.get(self._id, {}), **self.task_options}

    @property
    def _id(self) -> str:
        """The id of the environment without this package's name, which Gymnasium allows."""
        return self.env.removeprefix("nasgym:")

    def problem(self) -> ProblemOptions | None:
        """Return the typed options of the environment; None if it is not one of ours."""
        if self._id not in ENVIRONMENTS:
            return None
        workers = {} if self.workers is None else {"workers": self.workers}
        return problem(self._id, {**self.task_options, **workers})

    def search_of(self, agent: Agent) -> Callable[[NASVectorEnv, int], None]:
        """Return the method of `agent` that searches as planned, in waves or asynchronously."""
        return agent.search_asynchronously if self.asynchronous else agent.search

    def resolved(self, known: "Plan | None" = None) -> "Plan":
        """Return the plan with a concrete preset of the agent, that of the `known` plan if any.

        Raises InvalidInput for an unknown agent.
        """
        options = dict(self.agent_options)
        if known is not None and known.agent == self.agent and "preset" in known.agent_options:
            options.setdefault("preset", known.agent_options["preset"])
        resolved = resolve_options(self.agent, options, self.children)
        return replace(self, agent_options=resolved)


def read_plan(text: str | bytes, where: str) -> Plan:
    """Return the plan in `text`, JSON from `where`; raise SearchError if it is damaged."""
    try:
        plan = from_options(Plan, json.loads(text))
    except (ValueError, RecursionError) as error:
        raise SearchError(f"{where} is damaged: {error}") from None
    if plan.agent in WITH_PRESETS and "preset" not in plan.agent_options:
        return replace(plan, agent_options={**plan.agent_options, "preset": "paper"})
    return plan


def placed(plan: Plan, known: Plan | None, folder: Path) -> Plan:
    """Return `plan` with the absolute path of a shared archive and the name of its run."""
    shared = plan.env_options.get("archive")
    if shared is None:
        return plan
    before = {} if known is None else known.env_options
    named = {"run": before.get("run", folder.resolve().name), **plan.env_options}
    path = str(Path(str(shared)).absolute())
    return replace(plan, env_options={**named, "archive": path})


def merge_plans(known: Plan | None, plan: Plan | None, folder: str) -> Plan:
    """Return the plan to follow in `folder`, where `known` was followed so far.

    Budget and workers may change, and so may LIMITS; raises SearchError for any other difference.
    """
    if known is None or plan is None:
        merged = plan or known
        assert merged is not None
        return merged
    children = max(known.children, plan.children)
    seconds = max((each.seconds for each in (known, plan) if each.seconds), default=None)
    workers = known.workers if plan.workers is None else plan.workers
    grown: dict[str, Any] = {"children": children, "seconds": seconds, "workers": workers}
    merged = replace(plan, **grown)
    limits = {name: value for name, value in plan.env_options.items() if name in LIMITS}
    known = replace(known, env_options={**known.env_options, **limits})
    old, new = (json.loads(json.dumps(asdict(one))) for one in (replace(known, **grown), merged))
    for name, before in old.items():
        after = new[name]
        if before != after:
            if isinstance(before, dict):
                before, after = _differing(before, after), _differing(after, before)
            raise SearchError(
                f"{folder} holds a run with {name} {before!r}, not {after!r}: "
                f"leave the option out to resume it, or choose another --out"
            )
    return merged


def _differing(options: Mapping[str, Any], others: Mapping[str, Any]) -> dict[str, Any]:
    """Return the `options` that are missing or have another value among `others`."""
    return {
        name: value
        for name, value in options.items()
        if name not in others or others[name] != value
    }
