"""The preset "auto" of both REINFORCE agents: the preset that suits the budget."""

from collections.abc import Mapping
from typing import Any, Generic

from nasgym.agents.base import Agent
from nasgym.agents.settings import Settings, with_options
from nasgym.errors import InvalidInput

AUTO = "auto"

PAPER_FROM = 3_000
"""Smallest budget, in children, for which "auto" means "paper" instead of "short".

Rewards in percent of `reinforce` over 6 seeds (mean +- standard error), read from the archives of
`nasgym leaderboard --tasks ENV:num_envs=8 --agents reinforce:preset=short reinforce:preset=paper
--seeds 6 --budget 10000` after each budget:

    budget     best, short      best, paper     last 50, short   last 50, paper
    NAS-Digits-Table-v0
       500    94.70             94.11 +- 0.33    91.89 +- 0.05    52.57 +- 3.31
     1,000    94.70             94.70            91.56 +- 0.37    85.65 +- 0.30
     2,000    94.70             94.70            91.60 +- 0.31    90.35 +- 0.45
     3,000    94.70             94.70            87.32 +- 4.40    91.58 +- 0.07
    10,000    94.70             94.70            87.45 +- 4.42    91.82 +- 0.05
    NAS-Bench-201-v0
       500    91.50 +- 0.07     91.26 +- 0.05    90.21 +- 0.04    84.03 +- 0.67
     1,000    91.52 +- 0.08     91.51 +- 0.04    90.35 +- 0.08    89.29 +- 0.09
     2,000    91.52 +- 0.08     91.59 +- 0.01    90.45 +- 0.21    89.82 +- 0.03
     3,000    91.52 +- 0.08     91.59 +- 0.01    90.76 +- 0.26    89.97 +- 0.03
    10,000    91.59 +- 0.01     91.60 +- 0.01    90.81 +- 0.28    90.19 +- 0.01

From 3,000 children on "paper" finds as good a child on both tables, and no seed collapses; with
"short" the policy of one seed collapses on NAS-Digits-Table between 2,000 and 3,000 children.
"""


def preset_for(budget: int | None) -> str:
    """Return the preset for a budget of children; None, an unknown budget, counts as small."""
    return "short" if budget is None or budget < PAPER_FROM else "paper"


class PresetAgent(Agent, Generic[Settings]):
    """An agent whose settings are a preset, overridden by options.

    With "auto" the first `search` chooses the preset for its budget, before anything is drawn. The
    choice then stays, is saved with the agent's state, and is restored from there. Strings that are
    proposed before any `search` have no budget: the choice is "short".
    """

    settings: Settings

    def __init__(
        self, presets: Mapping[str, Settings], preset: str, options: Mapping[str, Any]
    ) -> None:
        """`options` that are None keep the value of the preset.

        Raises ValueError for an unknown preset or a wrong value.
        """
        if preset != AUTO and preset not in presets:
            raise InvalidInput(f"preset {preset!r} is none of {', '.join((AUTO, *presets))}")
        self._presets, self._options = presets, options
        self._chosen: str | None = None
        self._automatic = preset == AUTO
        self._use(preset_for(None) if self._automatic else preset)

    @classmethod
    def resolve_options(cls, options: dict[str, Any], budget: int) -> dict[str, Any]:
        """Return `options` with the preset for `budget` where the preset is "auto" or missing."""
        if options.get("preset", AUTO) != AUTO:
            return options
        return {**options, "preset": preset_for(budget)}

    def _use(self, preset: str) -> None:
        """Set the settings; agents extend this by what depends on them."""
        self.settings = with_options(self._presets[preset], self._options)

    def _choose_preset(self, budget: int | None) -> None:
        """With "auto", choose the preset for `budget` unless one is chosen already."""
        if self._automatic and self._chosen is None:
            self._chosen = preset_for(budget)
            self._use(self._chosen)

    def _preset_state(self) -> dict[str, str]:
        """Return the entry of the saved state that records an automatic choice; else nothing."""
        return {} if self._chosen is None else {"preset": self._chosen}

    def _restore_preset(self, state: Mapping[str, Any]) -> None:
        """With "auto", use the preset that `state` records.

        A state without a record comes from an explicit preset or from an older version, whose
        default was "paper".
        """
        if self._automatic:
            self._chosen = state.get("preset", "paper")
            self._use(self._chosen)
