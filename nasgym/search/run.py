"""A run: an environment, an agent and a budget in a folder, going on wherever it was stopped."""

import json
import os
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

import gymnasium as gym
from filelock import FileLock, Timeout

from nasgym.agents import Agent, AskTellAgent, make
from nasgym.agents.base import resume
from nasgym.archive import MAIN, Archive, ArchiveError, Trial
from nasgym.environments.study import Task
from nasgym.evaluation.constraints import refused
from nasgym.files import write_atomically
from nasgym.search.plan import Plan, SearchError, _merged, _placed, _read_plan
from nasgym.search.signals import signals_raise

FAILURES_WATCHED = 20
"""The search stops when more than half of this many children in a row have failed."""


class Run:
    """A search and its folder: `search.json`, `archive.db`, `best.json` and figures."""

    def __init__(self, folder: str | Path, plan: Plan | None = None) -> None:
        """Open the run in `folder`, or begin one there with `plan`.

        A run that exists keeps its plan; the budget may grow, the number of workers change, and the
        limits of time and memory. The option "archive" of the environment records the run in an
        archive that others share, by the name of the folder or the option "run".
        Raises SearchError if `plan` says something else, or if there is neither plan nor run.
        """
        self.folder = Path(folder)
        known = self._read()
        if plan is None and known is None:
            raise SearchError(f"there is no run in {self.folder}: name an environment to begin one")
        self.plan = _merged(known, plan and _placed(plan, known, self.folder), str(self.folder))
        self.agent: Agent | None = None
        """The agent, once it searches."""

    def _read(self) -> Plan | None:
        path = self.folder / "search.json"
        try:
            return _read_plan(path.read_text(), str(path))
        except FileNotFoundError:
            return None

    @property
    def archive_path(self) -> Path:
        """Return where the trials are: in the folder, unless an archive is shared with others."""
        own, shared = self.folder / "archive.db", self.plan.env_options.get("archive")
        return own if shared is None or own.exists() else Path(str(shared))

    @property
    def name(self) -> str:
        """Return what the run is called in its archive."""
        return str(self.plan.env_options.get("run") or MAIN)

    def search(
        self, listeners: Callable[[Task], list[Callable[[Trial], None]]] = lambda _: []
    ) -> Agent:
        """Go on until the budget is spent, and return the agent.

        `listeners` is given the environment, at the number of trials where the search goes on, and
        returns what to call with every new trial. Raises SearchError if another process is at it,
        if more than half of the last children failed or the archive cannot be written; Interrupted
        on SIGINT, SIGTERM, SIGHUP.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._locked(), signals_raise():
            env, agent = self._begin()
            self.agent = agent
            try:
                plan = json.dumps(asdict(self.plan), indent=2)
                write_atomically(self.folder / "search.json", plan)
                env.listeners += [*listeners(env), self._watch_failures()]
                search = agent.search
                if self.plan.asynchronous:
                    search = cast(AskTellAgent, agent).search_asynchronously
                with env.limited_to(self.plan.children, self.plan.seconds):
                    search(env, self.plan.children)
                env.save(agent.state)
            except ArchiveError as error:
                raise SearchError(
                    f"{error} - mend that, then go on with: {self.command}"
                ) from error
            finally:
                env.close()
        return agent

    def _begin(self) -> tuple[Any, Agent]:
        """Return the environment and the agent as they were when the agent was last saved."""
        plan = self.plan
        agent = make(plan.agent, plan.seed, **plan.agent_options)
        if plan.asynchronous and not getattr(agent, "one_by_one", False):
            raise SearchError(
                f"{plan.agent} learns from batches and cannot search asynchronously: choose "
                f"random, evolution, model_based or reinforce_async, or leave --asynchronous out"
            )
        options = {**plan.env_options, "archive": str(self.archive_path)}
        if self.name != MAIN:
            options["run"] = self.name
        if plan.workers is not None:
            options["workers"] = plan.workers
        not_ours = f"{plan.env} is no environment that searches architectures"
        try:
            env = gym.make_vec(plan.env, num_envs=plan.num_envs, **options).unwrapped
        except TypeError as error:  # it takes no archive
            raise SearchError(f"{not_ours}: {error}") from None
        if not isinstance(env, Task):
            raise SearchError(not_ours)
        try:
            self._take(env.archive)
            if not self._resumed(agent, env):
                env.resume(0)
        except BaseException:
            env.close()
            raise
        return env, agent

    def _resumed(self, agent: Agent, env: Task) -> bool:
        """Go back to the agent's last state; raise SearchError if that is no state of its kind."""
        try:
            return resume(agent, env)
        except (KeyError, TypeError, ValueError) as error:
            raise SearchError(
                f"{self.archive_path} holds a state that is none of {self.plan.agent}'s: {error}"
            ) from error

    def _take(self, archive: Archive) -> None:
        """Note the plan in the archive, or raise SearchError if it holds another one's run."""
        where = f"{archive.path} (run {self.name!r})"
        if archive.run != self.name:
            raise SearchError(f"another process has {where} open: wait for it or stop it")
        plan, noted = replace(self.plan, env_options=self.plan.task_options), archive.plan()
        if noted:
            _merged(_read_plan(noted, where), plan, where)
        elif len(archive) and archive.path != self.folder / "archive.db":
            raise SearchError(f"{where} holds trials of no search: choose another --out")
        text = json.dumps(asdict(plan))
        if text != noted:
            archive.note_plan(text)

    def _watch_failures(self) -> Callable[[Trial], None]:
        recent: deque[Trial] = deque(maxlen=FAILURES_WATCHED)

        def watch(trial: Trial) -> None:
            if refused(trial) or trial.cached:  # nothing was trained
                return
            recent.append(trial)
            failed = [trial for trial in recent if trial.status != "ok"]
            if len(recent) == FAILURES_WATCHED and 2 * len(failed) > FAILURES_WATCHED:
                reason = (failed[-1].error.strip().splitlines() or [""])[-1]
                raise SearchError(
                    f"{len(failed)} of the last {FAILURES_WATCHED} children failed, the last with "
                    f"status {failed[-1].status!r}: {reason} - mend that, then go on with: "
                    f"{self.command}"
                )

        return watch

    @property
    def command(self) -> str:
        """Return the command that goes on with this run."""
        return f"nasgym search --out {self.folder}"

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the run's lock; the kernel frees it however the process ends."""
        owner, lock = self.folder / "search.pid", self.folder / "search.lock"
        try:
            with FileLock(lock, timeout=0):
                owner.write_text(str(os.getpid()))
                try:
                    yield
                finally:
                    if not (self.folder / "search.json").exists():  # it could not even begin
                        owner.unlink()
                        lock.unlink(missing_ok=True)
                        with suppress(OSError):  # there is something else in it
                            self.folder.rmdir()
        except Timeout:
            raise SearchError(
                f"process {owner.read_text()} is searching in {self.folder}: wait for it or stop it"
            ) from None

    # What it found ----------------------------------------------------------------------------

    def archive(self) -> Archive:
        """Open the run's archive for reading; raises ArchiveError if nothing was recorded yet."""
        return Archive(self.archive_path, run=self.name, read_only=True)

    def write_best(self, archive: Archive) -> Path | None:
        """Write `best.json`, the best child so far, and return where it is; None without one."""
        best = archive.best()
        if best is None:
            return None
        path = self.folder / "best.json"
        write_atomically(path, json.dumps({**asdict(best), "env": self.plan.env}, indent=2))
        return path


def archive_of(folder: Path) -> Archive:
    """Open the archive of the run in `folder` for reading; of `search.json` there is no need."""
    if (folder / "search.json").exists():
        return Run(folder).archive()
    return Archive(folder / "archive.db", read_only=True)
