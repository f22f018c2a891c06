"""Searches without waves: workers are kept busy, and the archive leads a resumed one."""

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium as gym
import pytest

from nasgym import Archive, Evaluation, NASVectorEnv
from nasgym.agents import make
from nasgym.agents.base import resume
from nasgym.archive import Trial
from nasgym.environments.resume import ReplayError
from nasgym.evaluation.cache import EvaluationCache
from nasgym.evaluation.constraints import CostLimits
from nasgym.evaluation.evaluator import Evaluator, as_evaluator
from nasgym.search.plan import Plan, SearchError
from nasgym.search.run import Run
from nasgym.spaces import ConvSpace
from tests import free_search
from tests.command_line import run
from tests.spaces import Numbers

AGENTS: dict[str, dict[str, Any]] = {
    "random": {},
    "evolution": {"population": 8, "sample": 3},
    "model_based": {"first": 4, "updates": 1, "imagined": 16, "mutants": 8, "hidden": 8},
    "reinforce_async": {"preset": "short", "replicas": 3, "batch": 2, "shards": 2, "accumulate": 2},
}
SPACE = ConvSpace(layers=1, max_layers=2, filter_heights=(1, 3), filter_widths=(1, 3))


def environment(archive: Archive | Path | None = None) -> NASVectorEnv:
    return NASVectorEnv(SPACE, Numbers(), 4, grow_by=1, grow_every=16, archive=archive)


def search(name: str, env: NASVectorEnv, budget: int, *, again: bool = False) -> bytes:
    """Search, from the last state in the archive if asked, and return the agent's state."""
    agent = make(name, 1, **AGENTS[name])
    if again and not resume(agent, env.study):
        env.study.resume(0)
    (agent.search_asynchronously if agent.one_by_one else agent.search)(env, budget)
    state = agent.state()
    assert state is not None
    return state


def rows(archive: Archive) -> list[Any]:
    return [(trial.tokens, trial.reward, trial.cached, trial.origin) for trial in archive]


@pytest.mark.parametrize("name", AGENTS)
def test_a_search_cut_anywhere_goes_on_as_if_it_had_not_been(name: str, tmp_path: Path) -> None:
    """The file is copied after every fifth trial, with the agent's state of an earlier one."""
    env = environment(tmp_path / "whole.db")
    env.study.checkpoint = _every_third_time(env.study.save)  # type: ignore[assignment, method-assign]
    copies: list[Path] = []

    def copy(trial: Trial) -> None:
        if trial.number % 5 == 4:
            copies.append(tmp_path / f"{trial.number}.db")
            for end in ("", "-wal"):
                shutil.copy(f"{tmp_path / 'whole.db'}{end}", f"{copies[-1]}{end}")

    env.study.listeners.append(copy)
    state = search(name, env, 40)
    whole = rows(env.archive)
    assert len(whole) == 40 and len(copies) == 8
    for path in copies:
        resumed = environment(path)
        assert search(name, resumed, 40, again=True) == state
        assert rows(resumed.archive) == whole
        resumed.close()
    env.study.resume(0)  # and from nothing
    assert search(name, env, 40) == state


def _every_third_time(save: Callable[[Any], None]) -> Callable[[Any], None]:
    calls = iter(range(1000))
    return lambda state: None if next(calls) % 3 else save(state)


@pytest.mark.parametrize(("seconds", "saves"), [(0.0, 50), (0.5, 10)])
def test_a_state_that_takes_long_is_saved_less_often(
    seconds: float, saves: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    env, now, saved = environment(), [0.0], list[float]()
    monkeypatch.setattr("nasgym.environments.study.time", SimpleNamespace(monotonic=lambda: now[0]))

    def state() -> bytes:
        now[0] += seconds
        saved.append(now[0])
        return b"state"

    while now[0] < 100.0:
        env.study.checkpoint(state)
        now[0] += 0.25
    assert len(saved) == saves


def test_another_agent_cannot_go_on(tmp_path: Path) -> None:
    env = environment()
    search("random", env, 12)
    env.study.resume(0)
    with pytest.raises(ReplayError, match=r"proposal 0 cannot be replayed: .* another agent, seed"):
        make("random", 2).search_asynchronously(env, 12)


class Workers(Evaluator):
    """Two workers whose children take as long as the test says; remembers what was under way."""

    @property
    def workers(self) -> int:
        return 2

    def __init__(self, durations: Iterator[float]) -> None:
        self.durations, self.now, self.most = durations, 0.0, 0
        self.running: dict[int, tuple[float, Any]] = {}
        self.tickets = iter(range(1000))
        self.trained: list[Any] = []

    def evaluate(self, architectures: Sequence[Any]) -> list[Evaluation]:
        raise AssertionError("in waves")

    def submit(self, architectures: Sequence[Any]) -> list[int]:
        tickets = [next(self.tickets) for _ in architectures]
        for ticket, architecture in zip(tickets, architectures, strict=True):
            self.running[ticket] = self.now + next(self.durations), architecture
            self.trained.append(architecture)
        self.most = max(self.most, len(self.running))
        return tickets

    def finished(self) -> list[tuple[int, Evaluation]]:
        if not self.running:
            return []
        assert len(self.running) == 2 or len(self.trained) >= 20, "a worker was left idle"
        ticket = min(self.running, key=lambda each: (self.running[each][0], each))
        self.now, architecture = self.running.pop(ticket)
        (evaluation,) = Numbers().evaluate([architecture])
        return [(ticket, evaluation)]


@pytest.mark.parametrize("name", ["random", "evolution", "model_based"])
def test_no_worker_waits_while_the_budget_lasts(name: str) -> None:
    """One child takes as long as all others together: the rest goes by on the other worker."""
    workers = Workers(iter([19.5] + [1.0] * 60))
    env = NASVectorEnv(ConvSpace(layers=4), workers, 8)
    search(name, env, 20)
    assert len(env.archive) == 20 and workers.most == 2
    assert workers.now == 19.5
    last = env.archive[19:][0]
    assert last.origin is not None and (last.origin.proposal, last.origin.trials) == (0, 0)


@pytest.mark.parametrize(("patience", "writes"), [(60.0, [2, 1]), (-1.0, [1, 1, 1])])
def test_free_workers_get_their_strings_in_one_write_unless_the_agent_is_slow(
    patience: float, writes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nasgym.environments.study.SECONDS_GATHERED", patience)
    workers, archive, strings = Workers(iter([1.0] * 3)), Archive(), iter(ConvSpace(layers=1))
    env = NASVectorEnv(ConvSpace(layers=1), workers, 8, archive=archive)
    written: list[int] = []
    monkeypatch.setattr(archive, "propose", lambda some: written.append(len(some)))
    with env.study.gathering():
        while env.study.should_submit(9):
            env.study.submit([next(strings)])
            assert bool(workers.trained) is (patience < 0)
    assert len(workers.trained) == 2
    env.study.finished()
    env.study.submit([next(strings)])
    assert written == writes


def test_a_child_whose_reward_cannot_be_told_is_kept_though_it_has_no_trial() -> None:
    def missing(evaluation: Evaluation) -> float:
        raise KeyError("nll")

    env = NASVectorEnv(SPACE, Workers(iter([1.0])), 8, reward=missing)
    env.study.evaluator.trained += [None] * 20  # type: ignore[attr-defined]
    string = next(iter(SPACE))
    env.study.submit([string])
    with pytest.raises(KeyError, match="nll"):
        env.study.finished()
    assert len(env.archive) == 0
    key = EvaluationCache(as_evaluator(Numbers()), env.archive).key(
        SPACE.canonical(SPACE.decode(string))
    )
    assert env.archive.result(key) is not None


def test_a_child_under_way_is_not_begun_again() -> None:
    """Both strings mean one child, which is trained once and recorded twice."""
    workers = Workers(iter([1.0, 1.0, 1.0]))
    env = NASVectorEnv(SPACE, workers, 8)
    string = next(iter(SPACE))
    env.study.submit([string, string])
    workers.trained += [None] * 20  # so that one may be idle
    trials = env.study.finished()
    assert [trial.cached for trial in trials] == [False, True]
    assert len(workers.trained) == 21
    env.study.submit([string])  # and what is known is not begun at all
    assert [trial.cached for trial in env.study.finished()] == [True]
    assert env.study.in_flight == 0 and env.study.finished() == []


def test_wrappers_pass_children_on_one_by_one() -> None:
    class Priced(Numbers):
        def costs(self, architecture: Any) -> dict[str, float]:
            return {"parameters": float(architecture)}

        def evaluate(self, architectures: Sequence[Any]) -> list[Evaluation]:
            return [Evaluation(accuracy=1 / each) for each in architectures]

    limited = CostLimits(as_evaluator(Priced()), {"parameters": 2})
    tickets = limited.submit([3, 1, 2])
    ended: dict[int, Evaluation] = {}
    while news := limited.finished():
        ended |= news
    assert [ended[ticket].status for ticket in tickets] == ["invalid", "ok", "ok"]
    assert [ended[ticket].accuracy for ticket in tickets] == [0.0, 1.0, 0.5]
    archive = Archive()
    archive.store("c", Evaluation(accuracy=0.5))
    cached = EvaluationCache(as_evaluator(Priced()), archive)
    cached.submit({"a": 4, "b": 5, "c": 6})
    known = [cached.finished() for _ in range(4)]
    assert [{key: one.accuracy for key, one in each.items()} for each in known] == [
        {"c": 0.5},
        {"a": 0.25},
        {"b": 0.2},
        {},
    ]
    assert as_evaluator(Priced()).finished() == []


def test_agents_that_learn_from_batches_say_so(tmp_path: Path) -> None:
    plan = Plan("NAS-Digits-v0", "reinforce", 4, asynchronous=True)
    with pytest.raises(SearchError, match="reinforce learns from batches"):
        Run(tmp_path / "run", plan).search()
    assert not (tmp_path / "run").exists()
    with pytest.raises(ValueError, match="Reinforce learns from batches, not one by one"):
        make("reinforce").search_asynchronously(environment(), 4)


def test_the_command_goes_on_without_waves_and_is_replayed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if free_search.ID not in gym.registry:
        free_search.register()
    begun = ("search", free_search.ID, "--agent", "evolution", "--asynchronous", "--seed", "3")
    assert run(capsys, *begun, "--children", "9", "--out", tmp_path)[0] == 0
    code, out, _ = run(capsys, "search", "--children", "20", "--out", tmp_path, "--json")
    assert code == 0 and json.loads(out.splitlines()[-1])["children"] == 20
    with closing(Run(tmp_path).archive()) as archive:
        assert [one.origin.proposal for one in archive if one.origin] == list(range(20))
    code, out, _ = run(capsys, "replay", tmp_path)
    assert code == 0 and "replayed 20 trials of evolution" in out and "bit for bit" in out
    assert json.loads(run(capsys, "replay", tmp_path, "--json")[1])["equal"] is True
