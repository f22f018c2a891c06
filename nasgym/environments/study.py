"""The study: one search task and its state, shared by all episodes of an environment."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from nasgym.archive import MAIN, Archive, Origin, Proposal, Trial
from nasgym.environments.budget import Budget, BudgetSpent
from nasgym.environments.ceiling import Ceiling
from nasgym.environments.pipeline import Pipeline
from nasgym.environments.resume import Replay
from nasgym.errors import InvalidInput
from nasgym.evaluation.constraints import CostLimits
from nasgym.evaluation.evaluator import EvaluatesBatches, Evaluator, as_evaluator
from nasgym.evaluation.rewards import Reward, reward_named
from nasgym.spaces.base import SearchSpace, Tokens

SECONDS_BETWEEN_STATES = 2.0
"""An agent's state is saved at most this often; later steps are replayed from the archive."""

SHARE_OF_SAVING = 0.05
"""The largest share of its time that a search spends on saving states."""

SECONDS_GATHERED = 0.01
"""How long `Study.gathering` delays children: about the time of one write to a disk."""


class Study:
    """A search task: strings go in, children are trained, and recorded trials come out.

    An environment holds one as `env.study`. An agent may step the environment, or pass whole
    strings here: in batches (`play`), or one by one without waiting for a batch (`submit`,
    `finished`).
    """

    def __init__(
        self,
        space: SearchSpace,
        evaluator: Evaluator | EvaluatesBatches,
        *,
        num_envs: int = 1,
        reward: str | Reward = "accuracy",
        limits: Mapping[str, float] | None = None,
        archive: Archive | str | Path | None = None,
        run: str | None = None,
        grow_by: int = 0,
        grow_every: int = 1600,
    ) -> None:
        """Open the archive; see `NASEnv` for the arguments."""
        self.num_envs = num_envs
        self.ceiling = Ceiling(space, grow_by, grow_every)
        self.reward = reward_named(reward)
        self.evaluator = as_evaluator(evaluator)
        limited = CostLimits(self.evaluator, limits) if limits else self.evaluator
        self._owns_archive = not isinstance(archive, Archive)
        self.archive = _opened(archive, run, self.evaluator.resource_limits)
        self.budget = Budget(self.archive)
        self.listeners: list[Callable[[Trial], None]] = []
        """Called with every new trial."""
        self.trials = len(self.archive)
        """Trials that are finished, replayed ones included."""
        self.proposals = self.archive.proposed()
        """Strings that were submitted, replayed ones included."""
        self.in_flight = 0
        """Strings that were submitted and whose trials `finished` has not returned."""
        self._pipeline = Pipeline(limited, self.archive, self.reward)
        self._replay = Replay(self.archive)
        self._unwritten: list[Proposal] = []
        self._gathers, self._began_at = False, 0.0
        self._saved_at = float("-inf")
        self._saving_took = 0.0

    @property
    def space(self) -> SearchSpace:
        """The space under the current ceiling (see `Ceiling`)."""
        return self.ceiling.after(self.trials)

    # Budget -----------------------------------------------------------------------------------

    def limited_to(
        self, children: int, seconds: float | None = None
    ) -> AbstractContextManager[None]:
        """Leave the block without an error when `children` children or `seconds` are spent.

        For agents whose own loop cannot stop there; see `Budget.limited_to`.
        """
        return self.budget.limited_to(children, seconds)

    def check_seconds(self) -> None:
        """Raise BudgetSpent if the trials have used up the seconds of the budget.

        `play` also checks. An agent that checks before it samples keeps the state from which it
        samples the next child.
        """
        self.budget.check_seconds(self.trials)

    # In batches -------------------------------------------------------------------------------

    def play(self, strings: Sequence[Tokens], layers: int | None = None) -> list[Trial]:
        """Finish an episode for each string and return their trials, in order.

        The children of one call are trained as one batch, under the current ceiling or at a depth
        of `layers`. Raises ValueError for a string that is not in the space, before anything is
        trained; BudgetSpent if the budget is too small for all of them, after as many as it allows.
        """
        self.check_seconds()
        space = self.space if layers is None else self.ceiling.at(layers)
        left = self.budget.left(self.trials)
        allowed = strings if left is None else strings[:left]
        trials = self._replay.trials(self.trials, allowed)
        candidates = [self._pipeline.candidate(space, tokens) for tokens in allowed[len(trials) :]]
        fresh = self._pipeline.play(candidates) if candidates else []
        self.trials += len(allowed)
        self._tell(fresh)
        if len(allowed) < len(strings):
            raise BudgetSpent(f"all {self.budget.children} children are finished")
        return trials + fresh

    # Asynchronously ---------------------------------------------------------------------------

    @property
    def workers(self) -> int:
        """The number of children that are trained at the same time."""
        return self.evaluator.workers or self.num_envs

    @property
    def idle_workers(self) -> int:
        """The number of workers that have no child to train."""
        return self.workers - self._pipeline.in_training

    def should_submit(self, budget: int) -> bool:
        """Return whether to submit a string now instead of waiting for a child.

        True while a worker would be idle and the budget of children allows it. A resumed search
        submits where it submitted before.
        """
        if self._replay.pending:
            return bool(self._replay.due(self.trials))
        if self.trials < self._replay.end or self.budget.seconds_are_spent(self.trials):
            return False
        return self.idle_workers > 0 and self.trials + self.in_flight < budget

    def due_proposals(self) -> list[Proposal]:
        """Return the proposals of one replica that a resumed search must submit at this point."""
        return self._replay.due(self.trials)

    def submit(
        self, strings: Sequence[Tokens], *, replica: int | None = None, version: int | None = None
    ) -> list[int]:
        """Start to train a child for each string; return the numbers of these proposals.

        The archive holds the proposals first, with `replica` and `version` (see `Origin`). A
        resumed search must submit the same strings again; a finished child is not trained again.
        Raises ValueError for a string that is not in the space, ReplayError for a different string.
        """
        numbers = list(range(self.proposals, self.proposals + len(strings)))
        proposals = [
            Proposal(tuple(tokens), Origin(number, self.trials, replica, version))
            for tokens, number in zip(strings, numbers, strict=True)
        ]
        candidates = [
            self._pipeline.candidate(self.space, one.tokens, one.origin) for one in proposals
        ]
        repeated = self._replay.repeated(proposals)
        self._unwritten += proposals[len(repeated) :]
        self.proposals += len(proposals)
        self.in_flight += len(proposals)
        finished = {one.origin.proposal for one in repeated if one.finished}
        self._pipeline.queue(
            [one for one, number in zip(candidates, numbers, strict=True) if number not in finished]
        )
        if not self._gathers or time.monotonic() > self._began_at + SECONDS_GATHERED:
            self._begin()
        return numbers

    @contextmanager
    def gathering(self) -> Iterator[None]:
        """Write all proposals submitted inside in one transaction, then start their children.

        Workers that are free at the same time then cost one write to the disk. If the agent is
        slow, children start every SECONDS_GATHERED.
        """
        self._gathers, self._began_at = True, time.monotonic()
        try:
            yield
        finally:
            self._gathers = False
            self._begin()

    def finished(self) -> list[Trial]:
        """Wait for children and return their trials, at least one unless none is in flight.

        A resumed search gets the next recorded trial.
        """
        trials = self._replay.trial(self.trials)
        if not trials:
            trials = self._pipeline.finished()
            self._tell(trials)
        self.trials += len(trials)
        self.in_flight -= len(trials)
        return trials

    def _begin(self) -> None:
        """Write the new proposals to the archive, then start their children."""
        unwritten, self._unwritten = self._unwritten, []
        if unwritten:
            self.archive.propose(unwritten)
        self._pipeline.begin()
        self._began_at = time.monotonic()

    def _tell(self, trials: Sequence[Trial]) -> None:
        for trial in trials:
            for listener in self.listeners:
                listener(trial)

    # Resuming ---------------------------------------------------------------------------------

    def resume(self, trials: int, proposals: int = 0) -> None:
        """Go back to the point where `trials` trials were finished and `proposals` were made.

        Later trials are replayed: the agent must propose the same strings and gets the same
        results. Proposals from before that have no trial are trained again.
        """
        self.trials, self.proposals = trials, proposals
        self._unwritten = []
        self._pipeline.forget()
        before = self._replay.start(trials, proposals)
        self.in_flight = len(before)
        self._pipeline.queue(
            [
                self._pipeline.candidate(
                    self.ceiling.after(one.origin.trials), one.tokens, one.origin
                )
                for one in before
                if not one.finished
            ]
        )
        self._begin()

    def checkpoint(self, state: Callable[[], bytes | None]) -> None:
        """Save the agent's `state()` in the archive, unless it was saved a moment ago."""
        pause = max(SECONDS_BETWEEN_STATES, self._saving_took / SHARE_OF_SAVING)
        if time.monotonic() - self._saved_at >= pause:
            self.save(state)

    def save(self, state: Callable[[], bytes | None]) -> None:
        """Save the agent's `state()` in the archive now; None saves nothing."""
        began = time.monotonic()
        data = state()
        if data is not None:
            self.archive.save_agent(self.trials, data, self.proposals)
        self._saved_at = time.monotonic()
        self._saving_took = self._saved_at - began

    def close(self) -> None:
        """Stop the evaluator's workers, and close the archive unless it was given as an object."""
        self.evaluator.close()
        if self._owns_archive:
            self.archive.close()


def _opened(archive: Archive | str | Path | None, run: str | None, limits: str) -> Archive:
    """Return the archive, with a run that belongs to this process alone."""
    if isinstance(archive, Archive):
        if run not in (None, archive.run):
            raise InvalidInput(f"this archive was opened for run {archive.run!r}, not {run!r}")
        return archive
    if archive is None:
        return Archive(run=run or MAIN)
    return Archive.claimed(archive, run, resource_limits=limits)
