"""Random search: the baseline that every other agent must beat."""

from collections.abc import Sequence

import numpy as np

from nasgym.agents.base import AskTellAgent, generator_from, generator_state
from nasgym.archive import Trial
from nasgym.errors import InvalidInput
from nasgym.spaces.base import SearchSpace, Tokens


class RandomSearch(AskTellAgent):
    """Draw decisions uniformly or, with `uniform="strings"`, whole strings uniformly."""

    one_by_one = True

    def __init__(self, seed: int = 0, *, uniform: str = "decisions") -> None:
        """`uniform` is "decisions" or "strings"; they differ only in spaces with branches."""
        if uniform not in ("decisions", "strings"):
            raise InvalidInput(f"uniform must be 'decisions' or 'strings', not {uniform!r}")
        self.uniform = uniform
        self.rng = np.random.default_rng(seed)

    def propose(self, space: SearchSpace, count: int) -> list[Tokens]:
        """Return `count` independent strings."""
        draw = space.sample if self.uniform == "decisions" else space.sample_uniform
        return [draw(self.rng) for _ in range(count)]

    def learn(self, trials: Sequence[Trial]) -> None:
        """Learn nothing."""

    def state(self) -> bytes:
        """Return the generator's state."""
        return generator_state(self.rng)

    def restore(self, state: bytes) -> None:
        """Load the generator state that `state` returned."""
        self.rng = generator_from(state)
