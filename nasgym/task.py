"""What both environments share: a space under its ceiling, an evaluator, and the archive."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache, partial
from pathlib import Path

from nasgym.architecture import plain
from nasgym.archive import Archive, Trial
from nasgym.constraints import Limited
from nasgym.evaluation import Cached, Evaluator, Reward, reward_named, reward_of
from nasgym.moves import Moves
from nasgym.space import SearchSpace, Tokens, deepest

SECONDS_BETWEEN_STATES = 2.0
"""An agent's state is saved at most this often; what it did since is replayed from the archive."""


class ReplayError(Exception):
    """A resumed agent proposed something else than it had; the message is one line for the user."""


class BudgetSpent(Exception):
    """The budget of children is spent; see `Task.limited_to`."""


class Task:
    """A search task: strings go in, children are trained, trials are recorded and come out.

    Both environments are tasks, so an agent may also skip the tokens and `play` whole strings.
    """

    num_envs: int

    def __init__(
        self,
        space: SearchSpace,
        evaluator: Evaluator,
        *,
        reward: str | Reward = "accuracy",
        limits: Mapping[str, float] | None = None,
        archive: Archive | str | Path | None = None,
        grow_by: int = 0,
        grow_every: int = 1600,
    ) -> None:
        """See `NASEnv` for what the arguments mean."""
        if grow_by < 0 or grow_every < 1:
            raise ValueError(
                f"a ceiling grows by 0 or more layers every 1 or more children, "
                f"not by {grow_by} every {grow_every}"
            )
        asked = Limited(evaluator, limits) if limits else evaluator
        self.base_space = space
        self.evaluator = evaluator
        self.reward = reward_named(reward)
        self._lent = isinstance(archive, Archive)
        self.archive = archive if isinstance(archive, Archive) else Archive(archive)
        self.grow_by = grow_by
        self.grow_every = grow_every
        self.trials = len(self.archive)
        self.budget: int | None = None
        self.seconds: float | None = None
        self.listeners: list[Callable[[Trial], None]] = []
        self.actions = deepest(space).max_options
        self._space_with = lru_cache(maxsize=None)(space.with_layers)
        self._moves_in = lru_cache(maxsize=None)(partial(Moves.of, actions=self.actions))
        self._cached = Cached(asked, self.archive, getattr(asked, "context", ""))
        self._saved_at = float("-inf")
        if grow_by:
            self._space_with(space.layers)  # a space of one depth cannot grow: say so now

    @property
    def space(self) -> SearchSpace:
        """The space under the current ceiling.

        With `grow_by` the ceiling is min(layers + grow_by * (trials // grow_every), max_layers)
        (Zoph & Le 2017, section 4.1).
        """
        base = self.base_space
        if not self.grow_by or base.layers is None or base.max_layers is None:
            return base
        steps = self.trials // self.grow_every
        return self._space_with(min(base.layers + self.grow_by * steps, base.max_layers))

    def space_with(self, layers: int | None) -> SearchSpace:
        """Return the space at a depth of `layers`; None: under the current ceiling."""
        return self.space if layers is None else self._space_with(layers)

    def moves(self, space: SearchSpace) -> Moves:
        """Return what the environment's actions do in `space`, one of its depths."""
        return self._moves_in(space)

    def play(self, strings: Sequence[Tokens], layers: int | None = None) -> list[Trial]:
        """Finish an episode for each string and return their trials, in order.

        The children of one call train as one batch. Raises ValueError for a string that is not in
        the space, before anything is trained; BudgetSpent if the budget leaves no room for all of
        them, after as many as it has room for were finished.
        """
        self.check_seconds()
        space = self.space_with(layers)
        room = len(strings) if self.budget is None else max(0, self.budget - self.trials)
        spent, strings = len(strings) > room, strings[:room]
        for tokens in strings:
            for _ in space.walk(tokens):
                pass
        replayed = self._replay(strings)
        fresh = self._train(space, strings[len(replayed) :])
        self.trials += len(strings)
        for trial in fresh:
            for listener in self.listeners:
                listener(trial)
        if spent:
            raise BudgetSpent(f"all {self.budget} children are finished")
        return replayed + fresh

    @contextmanager
    def limited_to(self, budget: int, seconds: float | None = None) -> Iterator[None]:
        """Leave the block, as if it were finished, when `budget` children are.

        Or when the seconds of all trials, those looked up again too, add up to `seconds`: the
        budget of published tables. For agents whose own loop cannot stop at either.
        """
        before = self.budget, self.seconds
        self.budget, self.seconds = budget, seconds
        try:
            yield
        except BudgetSpent:
            pass
        finally:
            self.budget, self.seconds = before

    def check_seconds(self) -> None:
        """Raise BudgetSpent if the trials have taken as long as they may.

        `play` does so too, but then an agent has drawn strings that nobody trains, and its state is
        no longer the one that the next child would be drawn from.
        """
        if self.seconds is not None and self.archive.seconds(self.trials) >= self.seconds:
            raise BudgetSpent(f"all {self.seconds:g} seconds are spent")

    def _train(self, space: SearchSpace, strings: Sequence[Tokens]) -> list[Trial]:
        if not strings:
            return []
        architectures = [space.decode(tokens) for tokens in strings]
        children = [space.canonical(architecture) for architecture in architectures]
        keys = [self._cached.key(child) for child in children]
        evaluations = self._cached.evaluate(children, keys)
        return self.archive.record(
            [
                (tuple(tokens), plain(architecture), reward_of(evaluation, self.reward), key)
                for tokens, architecture, evaluation, key in zip(
                    strings, architectures, evaluations, keys, strict=True
                )
            ]
        )

    # Resuming ---------------------------------------------------------------------------------

    def resume(self, trials: int) -> None:
        """Go back to where `trials` trials were finished; those after it are replayed.

        A replayed trial is not trained or recorded again: the agent must propose the same string,
        and gets the same answer.
        """
        self.trials = trials

    def _replay(self, strings: Sequence[Tokens]) -> list[Trial]:
        """Return the recorded trials that the first of `strings` repeat."""
        if self.trials >= len(self.archive):
            return []
        recorded = self.archive[self.trials : self.trials + len(strings)]
        for trial, tokens in zip(recorded, strings, strict=False):
            if trial.tokens != tuple(tokens):
                raise ReplayError(
                    f"trial {trial.number} cannot be replayed: the agent proposed "
                    f"{tuple(tokens)}, the archive holds {trial.tokens}; was it made with "
                    f"another agent, seed or version?"
                )
        return recorded

    def checkpoint(self, state: Callable[[], bytes | None]) -> None:
        """Save what `state` returns beside the trials, unless that was done a moment ago."""
        if time.monotonic() - self._saved_at < SECONDS_BETWEEN_STATES:
            return
        self.save(state)

    def save(self, state: Callable[[], bytes | None]) -> None:
        """Save what `state` returns beside the trials, now."""
        data = state()
        if data is not None:
            self.archive.save_agent(self.trials, data)
        self._saved_at = time.monotonic()

    def close_task(self) -> None:
        """Stop the evaluator's workers, and close the archive unless it was given as an object."""
        close = getattr(self.evaluator, "close", None)
        if close is not None:
            close()
        if not self._lent:
            self.archive.close()
