"""Agents: whatever searches an environment of this project, found by name.

The names are entry points of the group "nasgym.agents", so any installed package can add its own.
"""

if __name__ == "agents":
    raise ImportError("import this folder as nasgym.agents; `agents` is another package's name")

from importlib.metadata import EntryPoint, entry_points
from typing import Any

from nasgym.agents.base import Agent, AskTellAgent, SearchOnly
from nasgym.options import did_you_mean

GROUP = "nasgym.agents"


def registered() -> dict[str, EntryPoint]:
    """Return the agents that are installed, by name; none is imported yet."""
    return {point.name: point for point in sorted(entry_points(group=GROUP))}


def make(name: str, seed: int = 0, **options: Any) -> Agent:
    """Make the agent called `name` with its own `options`.

    `name` may also be "package.module:Class". Raises ValueError, in one line, for a name or an
    option there is not.
    """
    points = registered()
    if ":" in name:
        point = EntryPoint(name, name, GROUP)
    elif name in points:
        point = points[name]
    else:
        raise ValueError(f"there is no agent {name!r}{did_you_mean(name, list(points))}")
    try:
        kind = point.load()
    except (ImportError, AttributeError) as error:
        raise ValueError(f"agent {name!r} cannot be loaded: {error}") from error
    try:
        agent = kind(seed=seed, **options)
    except TypeError as error:
        raise ValueError(f"agent {name!r} does not take these options: {error}") from error
    return agent if isinstance(agent, Agent) else SearchOnly(agent)


__all__ = ["Agent", "AskTellAgent", "make", "registered"]
