"""What both environments share: a space under its ceiling, an evaluator, and the archive."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from itertools import takewhile
from pathlib import Path
from typing import Any

from nasgym.archive import MAIN, Archive, Origin, Proposal, Trial
from nasgym.environments.transitions import Moves
from nasgym.evaluation.cache import Cached
from nasgym.evaluation.constraints import Limited
from nasgym.evaluation.evaluation import Evaluation
from nasgym.evaluation.evaluator import Evaluator
from nasgym.evaluation.rewards import Reward, reward_named, reward_of
from nasgym.spaces.base import SearchSpace, Tokens, deepest
from nasgym.spaces.plain import plain

SECONDS_BETWEEN_STATES = 2.0
"""An agent's state is saved at most this often; what it did since is replayed from the archive."""

SHARE_OF_SAVING = 0.05
"""The most of its time that a search spends on saving states, however large they are."""

SECONDS_GATHERED = 0.01
"""How long `Task.gathering` puts children off: about what a write to a disk takes."""


class ReplayError(Exception):
    """A resumed agent proposed something else than it had; the message is one line for the user."""


class BudgetSpent(Exception):
    """The budget of children is spent; see `Task.limited_to`."""


@dataclass(frozen=True)
class Written:
    """A string and what it means."""

    tokens: Tokens
    """The string."""
    architecture: Any
    """What it was decoded to."""
    child: Any
    """Its canonical form."""
    key: str
    """What the child's evaluation is stored under."""

    def episode(self, evaluation: Evaluation, reward: Reward) -> tuple[Tokens, Any, float, str]:
        """Return what the archive records when the child is finished."""
        return self.tokens, plain(self.architecture), reward_of(evaluation, reward), self.key


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
        run: str | None = None,
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
        self._space_with = lru_cache(maxsize=None)(space.with_layers)
        self.grow_by = grow_by
        self.grow_every = grow_every
        if grow_by:
            self._space_with(space.layers)  # a space of one depth cannot grow: say so now
        self._lent = isinstance(archive, Archive)
        self.archive = _opened(archive, run, getattr(evaluator, "resource_limits", ""))
        self.trials = len(self.archive)
        self.proposals = self.archive.proposed()
        self.under_way = 0
        """Strings that were submitted and whose trials `finished` has not returned."""
        self.budget: int | None = None
        self.seconds: float | None = None
        self.listeners: list[Callable[[Trial], None]] = []
        self.actions = deepest(space).max_options
        self._moves_in = lru_cache(maxsize=None)(partial(Moves.of, actions=self.actions))
        self._cached = Cached(asked, self.archive, getattr(asked, "context", ""))
        self._saved_at = float("-inf")
        self._saving_took = 0.0
        self._recorded = self.trials
        self._known: deque[Proposal] = deque()
        self._awaited: dict[str, list[tuple[Written, Origin]]] = {}
        self._unbegun: dict[str, Any] = {}
        self._fresh: list[Proposal] = []
        self._gathers, self._began_at = False, 0.0
        self._spent = [0.0]

    @property
    def space(self) -> SearchSpace:
        """The space under the current ceiling.

        With `grow_by` the ceiling is min(layers + grow_by * (trials // grow_every), max_layers)
        (Zoph & Le 2017, section 4.1).
        """
        return self._space_after(self.trials)

    def _space_after(self, trials: int) -> SearchSpace:
        base = self.base_space
        if not self.grow_by or base.layers is None or base.max_layers is None:
            return base
        steps = trials // self.grow_every
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
        if self._seconds_are_spent():
            raise BudgetSpent(f"all {self.seconds:g} seconds are spent")

    def _seconds_are_spent(self) -> bool:
        if self.seconds is None:
            return False
        while len(self._spent) <= self.trials:
            for each in self.archive.seconds(len(self._spent) - 1, self.trials):
                self._spent.append(self._spent[-1] + each)
        return self._spent[self.trials] >= self.seconds

    def _train(self, space: SearchSpace, strings: Sequence[Tokens]) -> list[Trial]:
        if not strings:
            return []
        written = [self._read(space, tokens) for tokens in strings]
        children, keys = zip(*((one.child, one.key) for one in written), strict=True)
        evaluations = self._cached.evaluate(children, keys)
        return self.archive.record(
            [one.episode(each, self.reward) for one, each in zip(written, evaluations, strict=True)]
        )

    def _read(self, space: SearchSpace, tokens: Tokens) -> Written:
        architecture = space.decode(tokens)
        child = space.canonical(architecture)
        return Written(tuple(tokens), architecture, child, self._cached.key(child))

    # Without waves ----------------------------------------------------------------------------

    @property
    def capacity(self) -> int:
        """How many children are trained at the same time."""
        return getattr(self.evaluator, "workers", self.num_envs)

    def wants(self, budget: int) -> bool:
        """Return whether a string is to be submitted now, rather than waited for a child.

        That is while a worker would be idle and the budget leaves room for it; and while a search
        is resumed, wherever one was submitted before.
        """
        if self._known:
            return self._known[0].origin.trials == self.trials
        if self.trials < self._recorded or self._seconds_are_spent():
            return False
        return self.idle > 0 and self.trials + self.under_way < budget

    @property
    def idle(self) -> int:
        """How many workers have no child to train."""
        return self.capacity - len(self._awaited)

    def expected(self) -> list[Proposal]:
        """Return the strings that a resumed search submits at this point, those of one replica."""
        if not self._known:
            return []
        now = self.trials, self._known[0].origin.replica
        return list(
            takewhile(lambda one: (one.origin.trials, one.origin.replica) == now, self._known)
        )

    def submit(
        self, strings: Sequence[Tokens], *, replica: int | None = None, version: int | None = None
    ) -> list[int]:
        """Begin to train a child for each string; return the numbers of these proposals.

        They are in the archive before that, with `replica` and `version`: see `Origin`. A search
        that is resumed must submit the same strings again, and no finished child is trained again.
        Raises ValueError for a string that is not in the space, ReplayError for another string.
        """
        space = self.space
        for tokens in strings:
            for _ in space.walk(tokens):
                pass
        numbers = range(self.proposals, self.proposals + len(strings))
        proposals = [
            Proposal(tuple(tokens), Origin(number, self.trials, replica, version))
            for tokens, number in zip(strings, numbers, strict=True)
        ]
        known = [self._known.popleft() for _ in proposals[: len(self._known)]]
        for before, again in zip(known, proposals, strict=False):
            if (before.tokens, before.origin) != (again.tokens, again.origin):
                raise ReplayError(
                    f"proposal {before.origin.proposal} cannot be replayed: the agent proposed "
                    f"{again.tokens}, the archive holds {before.tokens}; was it made with another "
                    f"agent, seed or version?"
                )
        fresh = proposals[len(known) :]
        self._fresh += fresh
        self.proposals += len(proposals)
        self.under_way += len(proposals)
        self._await([one for one in (*known, *fresh) if not one.finished])
        if not self._gathers or time.monotonic() > self._began_at + SECONDS_GATHERED:
            self._begin()
        return list(numbers)

    @contextmanager
    def gathering(self) -> Iterator[None]:
        """Have what is submitted inside noted in the archive in one go, and begin after that.

        Workers that are free at the same time cost the disk one write then, not one each. Where
        an agent takes its time, its strings begin every SECONDS_GATHERED.
        """
        self._gathers, self._began_at = True, time.monotonic()
        try:
            yield
        finally:
            self._gathers = False
            self._begin()

    def finished(self) -> list[Trial]:
        """Wait for children and return their trials, at least one unless none is under way.

        While a search is resumed, return the next trial that was recorded before.
        """
        trials: list[Trial] = []
        if self.trials < self._recorded:
            trials = self.archive[self.trials : self.trials + 1]
        else:
            trials = self._kept(self._cached.finished())
            for trial in trials:
                for listener in self.listeners:
                    listener(trial)
        self.trials += len(trials)
        self.under_way -= len(trials)
        return trials

    def _await(self, proposals: Sequence[Proposal]) -> None:
        """Expect the children of `proposals`, which `_begin` begins with."""
        for proposal in proposals:
            written = self._read(self._space_after(proposal.origin.trials), proposal.tokens)
            self._awaited.setdefault(written.key, []).append((written, proposal.origin))
            self._unbegun[written.key] = written.child

    def _begin(self) -> None:
        """Note what was proposed, and begin with what is awaited and not under way."""
        fresh, self._fresh = self._fresh, []
        children, self._unbegun = self._unbegun, {}
        if fresh:
            self.archive.propose(fresh)
        self._cached.submit(list(children.values()), list(children))
        self._began_at = time.monotonic()

    def _kept(self, finished: Mapping[str, Evaluation]) -> list[Trial]:
        """Store children and record their trials, in one write; return the trials."""
        trials: list[Trial] = []
        try:
            with self.archive.together():
                for key, evaluation in finished.items():
                    kept = self.archive.store(key, evaluation)
                    trials += self._record(self._awaited.pop(key), kept)
        except BaseException:  # a reward's, or a signal: what was trained is kept all the same
            for key, evaluation in finished.items():
                self.archive.store(key, evaluation)
            raise
        return trials

    def _record(
        self, awaited: Sequence[tuple[Written, Origin]], evaluation: Evaluation
    ) -> list[Trial]:
        """Record the trials of all strings that are one child."""
        episodes = [written.episode(evaluation, self.reward) for written, _ in awaited]
        return self.archive.record(episodes, [origin for _, origin in awaited])

    # Resuming ---------------------------------------------------------------------------------

    def resume(self, trials: int, proposals: int = 0) -> None:
        """Go back to where so many trials were finished; those after it are replayed.

        A replayed trial is not trained or recorded again: the agent must propose the same string,
        and gets the same answer. `proposals` is how many were made by then in a search without
        waves; those that have no trial yet begin to be trained again.
        """
        self.trials, self.proposals = trials, proposals
        self._recorded = len(self.archive)
        self._awaited, self._unbegun, self._fresh = {}, {}, []
        open_then = self.archive.proposals(trials)
        before = [one for one in open_then if one.origin.proposal < proposals]
        self._known = deque(open_then[len(before) :])
        self.under_way = len(before)
        self._await([one for one in before if not one.finished])
        self._begin()

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
        pause = max(SECONDS_BETWEEN_STATES, self._saving_took / SHARE_OF_SAVING)
        if time.monotonic() - self._saved_at < pause:
            return
        self.save(state)

    def save(self, state: Callable[[], bytes | None]) -> None:
        """Save what `state` returns beside the trials, now."""
        began = time.monotonic()
        data = state()
        if data is not None:
            self.archive.save_agent(self.trials, data, self.proposals)
        self._saved_at = time.monotonic()
        self._saving_took = self._saved_at - began

    def close_task(self) -> None:
        """Stop the evaluator's workers, and close the archive unless it was given as an object."""
        close = getattr(self.evaluator, "close", None)
        if close is not None:
            close()
        if not self._lent:
            self.archive.close()


def _opened(archive: Archive | str | Path | None, run: str | None, resource_limits: str) -> Archive:
    """Return the archive that is meant, with a run that is this process's alone."""
    if isinstance(archive, Archive):
        if run not in (None, archive.run):
            raise ValueError(f"this archive was opened for run {archive.run!r}, not {run!r}")
        return archive
    if archive is None:
        return Archive(run=run or MAIN)
    return Archive.claimed(archive, run, resource_limits=resource_limits)
