"""Agents: whatever searches an environment of this project, found by name.

The names are entry points of the group "nasgym.agents", so any installed package can add its own.
"""

if __name__ == "agents":
    raise ImportError("import this folder as nasgym.agents; `agents` is another package's name")

from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from nasgym.agents.base import Agent, AskTellAgent, SearchOnly
from nasgym.errors import InvalidInput
from nasgym.options import check_options, did_you_mean, types_of

GROUP = "nasgym.agents"


def registered() -> dict[str, EntryPoint]:
    """Return the agents that are installed, by name; none is imported yet."""
    return {point.name: point for point in sorted(entry_points(group=GROUP))}


def load(name: str) -> Callable[..., Any]:
    """Return the class of the agent called `name`, or what "package.module:Class" names.

    Raises InvalidInput, in one line, for an unknown name or a class that cannot be imported.
    """
    points = registered()
    if ":" in name:
        point = EntryPoint(name, name, GROUP)
    elif name in points:
        point = points[name]
    else:
        raise InvalidInput(f"there is no agent {name!r}{did_you_mean(name, list(points))}")
    try:
        kind: Callable[..., Any] = point.load()
    except (ImportError, AttributeError) as error:
        raise InvalidInput(f"agent {name!r} cannot be loaded: {error}") from error
    return kind


def make(name: str, seed: int = 0, **options: Any) -> Agent:
    """Make the agent called `name` with its own `options`.

    `name` may also be "package.module:Class", of any class with a method `search(env, budget)`.
    Raises InvalidInput, in one line, for an unknown name or option, or a value of the wrong type.
    """
    kind = load(name)
    known = types_of(kind)
    checked = check_options({"seed": seed, **options}, known, f"agent {name!r}")
    agent = kind(**checked)
    return agent if isinstance(agent, Agent) else SearchOnly(agent)


def resolve_options(name: str, options: Mapping[str, Any], budget: int) -> dict[str, Any]:
    """Return `options` of the agent called `name` with all that depends on the budget decided."""
    kind = load(name)
    if isinstance(kind, type) and issubclass(kind, Agent):
        return kind.resolve_options(dict(options), budget)
    return dict(options)


__all__ = ["Agent", "AskTellAgent", "load", "make", "registered", "resolve_options"]
