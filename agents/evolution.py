"""Regularized evolution (Real et al. 2019, algorithm 1): mutate the best, discard the oldest."""

import json
from collections import deque
from collections.abc import Sequence

import numpy as np

from nasgym.agents.base import AskTellAgent, generator_from, generator_state
from nasgym.archive import Trial
from nasgym.errors import InvalidInput
from nasgym.options import check_options, types_of
from nasgym.spaces.base import SearchSpace, Tokens


class RegularizedEvolution(AskTellAgent):
    """Keep a queue of `population` strings; mutate the best of `sample` strings drawn from it."""

    one_by_one = True

    def __init__(self, seed: int = 0, *, population: int = 50, sample: int = 10) -> None:
        """`population` and `sample` are P and S in the paper; small budgets need smaller ones."""
        check_options({"population": population, "sample": sample}, types_of(RegularizedEvolution))
        if not 1 <= sample <= population:
            raise InvalidInput(f"sample must be from 1 to population ({population}), not {sample}")
        self.size, self.tournament = population, sample
        self.rng = np.random.default_rng(seed)
        self.population: deque[tuple[Tokens, float]] = deque(maxlen=population)

    def propose(self, space: SearchSpace, count: int) -> list[Tokens]:
        """Return `count` strings: random until the population is full, then mutated parents."""
        return [self._child(space) for _ in range(count)]

    def _child(self, space: SearchSpace) -> Tokens:
        if len(self.population) < self.size:
            return space.sample(self.rng)
        drawn = self.rng.integers(self.size, size=self.tournament)
        parent, _ = max((self.population[index] for index in drawn), key=lambda pair: pair[1])
        return space.mutate(parent, self.rng)

    def learn(self, trials: Sequence[Trial]) -> None:
        """Append the new children to the population; the oldest drop out."""
        self.population.extend((trial.tokens, trial.reward) for trial in trials)

    def state(self) -> bytes:
        """Return the population and the generator's state."""
        return json.dumps([list(self.population), generator_state(self.rng).decode()]).encode()

    def restore(self, state: bytes) -> None:
        """Load the population and generator that `state` returned."""
        population, generator = json.loads(state)
        self.population.clear()
        self.population.extend((tuple(tokens), reward) for tokens, reward in population)
        self.rng = generator_from(generator.encode())
