"""The parts of a study: nested budgets, interrupted evaluations, and plans that are merged."""

import json
import signal
from collections.abc import Sequence
from typing import Any

import pytest

from nasgym import Archive, Evaluation, NASVectorEnv
from nasgym.environments.budget import Budget, BudgetSpent
from nasgym.environments.ceiling import Ceiling
from nasgym.evaluation.evaluator import as_evaluator
from nasgym.search.plan import Plan, SearchError, merge_plans, read_plan
from nasgym.search.signals import signals_raise
from nasgym.spaces import RecurrentSpace
from tests.spaces import Numbers, Stack


def test_the_limits_of_an_outer_budget_hold_in_an_inner_one() -> None:
    budget = Budget(Archive())
    with budget.limited_to(5, seconds=3.0), budget.limited_to(9):
        assert (budget.children, budget.seconds) == (5, 3.0)
    assert (budget.children, budget.seconds) == (None, None)
    envs = NASVectorEnv(Stack(), Numbers(), 2)
    strings = [Stack().string(index) for index in range(4)]
    with envs.study.limited_to(3), envs.study.limited_to(10), pytest.raises(BudgetSpent):
        envs.study.play(strings)
    assert len(envs.archive) == 3


def test_an_interrupted_evaluation_is_repeated() -> None:
    class Interrupted(Numbers):
        calls = 0

        def evaluate(self, architectures: Sequence[Any]) -> list[Evaluation]:
            self.calls += 1
            if self.calls == 1:
                raise KeyboardInterrupt
            return super().evaluate(architectures)

    evaluator = as_evaluator(Interrupted())
    tickets = evaluator.submit([[1], [2]])
    with pytest.raises(KeyboardInterrupt):
        evaluator.finished()
    ended = [ticket for _ in tickets for ticket, _ in evaluator.finished()]
    assert ended == tickets and evaluator.finished() == []


def test_a_space_of_one_depth_cannot_grow() -> None:
    with pytest.raises(ValueError, match="has one depth: grow_by must be 0"):
        Ceiling(RecurrentSpace(), grow_by=1)


def test_a_plan_resumes_with_other_workers_and_lists_for_tuples() -> None:
    known = read_plan(json.dumps(vars(plan(filters=[8, 16]))), "search.json")
    assert merge_plans(known, plan(workers=0, filters=(8, 16)), "run").workers == 0
    assert merge_plans(known, plan(workers=None, filters=(8, 16)), "run").workers == 4
    with pytest.raises(SearchError, match="filters"):
        merge_plans(known, plan(filters=(8,)), "run")


def plan(workers: int | None = 4, **options: Any) -> Plan:
    return Plan("NAS-Digits-v0", "random", 8, workers=workers, env_options=options)


def test_a_hangup_that_is_ignored_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with signals_raise():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)
