"""The entropy of an agent's policy, as a run saved it: read, and nothing of the run executed."""

import sys
from collections.abc import Sequence

from nasgym.agents import Agent, make, registered
from nasgym.archive import Archive
from nasgym.search.plan import Plan


def saved_entropy(plan: Plan, archive: Archive) -> Sequence[tuple[int, float]]:
    """Return (children finished, nats a decision) of the agent's policy, nothing if not known.

    A plan is a file that anybody may have written. An agent that it names as "package.module:Class"
    is not imported for a look at the run; it is made only if this process has the class already.
    """
    if plan.agent not in registered() and not _is_loaded(plan.agent):
        return []
    for saved in archive.agent_states():
        try:
            agent = make(plan.agent, plan.seed, **plan.agent_options)
            agent.restore(saved.state)
            return agent.entropy()
        except Exception:  # the agent is anybody's; a look at the run does without
            return []
    return []


def _is_loaded(name: str) -> bool:
    """Return whether "package.module:Class" is an agent that is imported already."""
    module, _, attribute = name.partition(":")
    kind = getattr(sys.modules.get(module), attribute, None)
    return isinstance(kind, type) and issubclass(kind, Agent)
