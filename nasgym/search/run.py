"""A run: a search that lives in a folder and resumes wherever it was stopped."""

import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from importlib import import_module
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import gymnasium as gym

from nasgym.agents import Agent, make
from nasgym.agents.base import resume
from nasgym.archive import MAIN, Archive, ArchiveError, Trial
from nasgym.environments.study import Study
from nasgym.environments.vector import NASVectorEnv
from nasgym.evaluation.constraints import refused
from nasgym.files import LockHeldError, ProcessLock, write_atomically
from nasgym.options import ANY_NAME, types_of
from nasgym.search.plan import Plan, SearchError, merge_plans, placed, read_plan
from nasgym.search.signals import signals_raise

FAILURES_WATCHED = 20
"""The search stops when more than half of this many children in a row have failed."""


class Run:
    """A search and its folder: `search.json`, `archive.db`, `best.json` and figures."""

    def __init__(self, folder: str | Path, plan: Plan | None = None) -> None:
        """Open the run in `folder`, or begin one there with `plan`.

        A run that exists keeps its plan; the budget may grow, and the number of workers and the
        limits of time and memory may change. The option "archive" of the environment records the
        run in a shared archive, by the name of the folder or the option "run".
        Raises SearchError if `plan` differs otherwise, or if there is neither plan nor run.
        """
        self.folder = Path(folder)
        known = self._read()
        if plan is None and known is None:
            raise SearchError(f"there is no run in {self.folder}: name an environment to begin one")
        if plan is not None:
            plan = placed(plan.resolved(known), known, self.folder)
        self.plan = merge_plans(known, plan, str(self.folder))
        self.agent: Agent | None = None
        """The agent, once it searches."""

    def _read(self) -> Plan | None:
        path = self.folder / "search.json"
        try:
            return read_plan(path.read_bytes(), str(path))
        except FileNotFoundError:
            return None

    @property
    def archive_path(self) -> Path:
        """Return the archive of the trials: in the folder, unless it is shared."""
        own, shared = self.folder / "archive.db", self.plan.env_options.get("archive")
        return own if shared is None or own.exists() else Path(str(shared))

    @property
    def name(self) -> str:
        """Return the name of the run in its archive."""
        return str(self.plan.env_options.get("run") or MAIN)

    def search(
        self, listeners: Callable[[Study], list[Callable[[Trial], None]]] = lambda _: []
    ) -> Agent:
        """Search until the budget is spent, and return the agent.

        `listeners` gets the study, at the trial where the search resumes, and returns
        functions to call with every new trial. Raises SearchError if another process searches in
        the folder, more than half of the last children failed, or the archive cannot be written;
        Interrupted on SIGINT, SIGTERM, SIGHUP.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._locked(), signals_raise():
            env, agent = self._begin()
            study, self.agent = env.study, agent
            try:
                plan = json.dumps(asdict(self.plan), indent=2)
                write_atomically(self.folder / "search.json", plan)
                study.listeners += [*listeners(study), self._watch_failures()]
                with study.limited_to(self.plan.children, self.plan.seconds):
                    self.plan.search_of(agent)(env, self.plan.children)
                study.save(agent.state)
            except ArchiveError as error:
                raise SearchError(
                    f"{error} - correct that, then resume with: {self.command}"
                ) from error
            finally:
                env.close()
        return agent

    def _begin(self) -> tuple[NASVectorEnv, Agent]:
        """Return the environment and the agent at the point where the agent was last saved."""
        plan = self.plan
        agent = make(plan.agent, plan.seed, **plan.agent_options)
        if plan.asynchronous and not agent.one_by_one:
            raise SearchError(
                f"{plan.agent} learns from batches and cannot search asynchronously: choose "
                f"random, evolution, model_based or reinforce_async, or leave --asynchronous out"
            )
        options = {**plan.env_options, "archive": str(self.archive_path)}
        if self.name != MAIN:
            options["run"] = self.name
        if plan.workers is not None:
            options["workers"] = plan.workers
        env = make_env(plan.env, plan.num_envs, options)
        try:
            self._take(env.archive)
            if not self._resumed(agent, env.study):
                env.study.resume(0)
        except BaseException:
            env.close()
            raise
        return env, agent

    def _resumed(self, agent: Agent, study: Study) -> bool:
        """Restore the agent's last state; raise SearchError if another kind of agent saved it."""
        try:
            return resume(agent, study)
        except (KeyError, TypeError, ValueError) as error:
            raise SearchError(
                f"{self.archive_path} holds the state of an agent other than "
                f"{self.plan.agent}: {error}"
            ) from error

    def _take(self, archive: Archive) -> None:
        """Note the plan in the archive; raise SearchError if the run there has another plan."""
        where = f"{archive.path} (run {self.name!r})"
        if archive.run != self.name:
            raise SearchError(f"another process has {where} open: wait for it or stop it")
        plan, noted = replace(self.plan, env_options=self.plan.task_options), archive.plan()
        if noted:
            merge_plans(read_plan(noted, where), plan, where)
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
                    f"status {failed[-1].status!r}: {reason} - correct that, then resume with: "
                    f"{self.command}"
                )

        return watch

    @property
    def command(self) -> str:
        """Return the command that resumes this run."""
        return f"nasgym search --out {self.folder}"

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold the lock of the run; the kernel frees it when the process ends."""
        try:
            lock = ProcessLock(self.folder / "search.lock", self.folder / "search.pid")
        except LockHeldError as held:
            raise SearchError(
                f"process {held.owner} is searching in {self.folder}: wait for it or stop it"
            ) from None
        with lock:
            try:
                yield
            finally:
                if not (self.folder / "search.json").exists():  # it could not even begin
                    lock.delete()
                    with suppress(OSError):  # the folder holds other files
                        self.folder.rmdir()

    # Results ----------------------------------------------------------------------------------

    def archive(self) -> Archive:
        """Open the run's archive for reading; raises ArchiveError if nothing was recorded yet."""
        return Archive(self.archive_path, run=self.name, read_only=True)

    def write_best(self, archive: Archive) -> Path | None:
        """Write `best.json`, the best child so far, and return its path; None if there is none."""
        best = archive.best()
        if best is None:
            return None
        path = self.folder / "best.json"
        write_atomically(path, json.dumps({**asdict(best), "env": self.plan.env}, indent=2))
        return path


def make_env(env: str, num_envs: int, options: Mapping[str, Any]) -> NASVectorEnv:
    """Return the vector environment with id `env`; `options` include where it records.

    Raises SearchError, in one line, if it is no environment of architectures or takes no archive.
    """
    not_ours = f"{env} is no environment that searches architectures"
    module, colon, name = env.rpartition(":")
    if colon:  # as Gymnasium does
        try:
            import_module(module)
        except ImportError as error:
            raise SearchError(
                f"{module}, which registers {name}, cannot be imported: {error}"
            ) from None
    make = gym.spec(name).vector_entry_point
    if make is None:
        raise SearchError(f"{not_ours}: it has no vector entry point")
    known = types_of(resolve_name(make) if isinstance(make, str) else make)
    for name in options:
        if name not in known and ANY_NAME not in known:
            raise SearchError(f"{not_ours}: it has no option {name!r}")
    made = gym.make_vec(env, num_envs=num_envs, **options).unwrapped
    if not isinstance(made, NASVectorEnv):
        made.close()
        raise SearchError(not_ours)
    return made


def archive_of(folder: Path) -> Archive:
    """Open the archive of the run in `folder` for reading, even without `search.json`."""
    if (folder / "search.json").exists():
        return Run(folder).archive()
    return Archive(folder / "archive.db", read_only=True)
