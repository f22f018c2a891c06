"""Local search: climb from neighbour to neighbour, start again at the top (White et al. 2020)."""

import itertools
import json
from collections.abc import Sequence

import numpy as np

from nasgym.agents.base import AskTellAgent, generator_from, generator_state
from nasgym.archive import Trial
from nasgym.spaces.base import SearchSpace, Tokens

DRAWS = 100
"""So many strings are drawn in search of an unseen one before the space is looked through."""


class LocalSearch(AskTellAgent):
    """First-improvement hill climbing with restarts, which proposes no string twice.

    The neighbours of the current string (`SearchSpace.neighbours`) are tried in random order, and
    the first that earns more becomes current; a string seen before costs no child. When no
    neighbour is better, the search starts again from a random string. Places in a batch that no
    neighbour fills go to random strings too, which are moved to if they earn more.
    """

    def __init__(self, seed: int = 0) -> None:
        """Let `seed` decide where to start and which neighbours come first."""
        self.rng = np.random.default_rng(seed)
        self.current: Tokens | None = None
        self.seen: dict[Tokens, float] = {}

    def propose(self, space: SearchSpace, count: int) -> list[Tokens]:
        """Return `count` strings: neighbours as far as there are unseen ones, then random ones."""
        strings = self._neighbours(space)[:count]
        if not strings:
            self.current = None
        while len(strings) < count:
            strings.append(self._start(space, strings))
        return strings

    def learn(self, trials: Sequence[Trial]) -> None:
        """Move to each trial that is better than where the ones before it led."""
        for trial in trials:
            self.seen[trial.tokens] = trial.reward
            if self.current is None or trial.reward > self.seen[self.current]:
                self.current = trial.tokens

    def state(self) -> bytes:
        """Return the current string, the rewards of all that were seen, and the generator."""
        generator = generator_state(self.rng).decode()
        return json.dumps([self.current, list(self.seen.items()), generator]).encode()

    def restore(self, state: bytes) -> None:
        """Go back to what `state` returned."""
        current, seen, generator = json.loads(state)
        self.current = None if current is None else tuple(current)
        self.seen = {tuple(tokens): reward for tokens, reward in seen}
        self.rng = generator_from(generator.encode())

    def _neighbours(self, space: SearchSpace) -> list[Tokens]:
        """Climb as far as that costs nothing; return the neighbours to train there."""
        while self.current is not None:
            unseen, better = self._look_around(self.current, space)
            if unseen or better is None:
                return unseen
            self.current = better
        return []

    def _look_around(
        self, current: Tokens, space: SearchSpace
    ) -> tuple[list[Tokens], Tokens | None]:
        """Go through the neighbours, shuffled, up to the first that is known to be better.

        Return the unseen ones met on the way, and that one, or None. To prefer it to them would
        wall in what lies behind them: on NAS-Bench-Macro 12 of 100 searches never met the optimum.
        """
        neighbours, unseen = space.neighbours(current), []
        for index in self.rng.permutation(len(neighbours)):
            tokens = neighbours[index]
            if tokens not in self.seen:
                unseen.append(tokens)
            elif self.seen[tokens] > self.seen[current]:
                return unseen, tokens
        return unseen, None

    def _start(self, space: SearchSpace, others: Sequence[Tokens]) -> Tokens:
        """Draw an unseen string that is none of `others`; any string if there is none."""
        drawn = (space.sample(self.rng) for _ in range(DRAWS))
        for tokens in itertools.chain(drawn, space):
            if tokens not in self.seen and tokens not in others:
                return tokens
        return space.sample(self.rng)
