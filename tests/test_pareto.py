"""The Pareto front, against its definition."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from nasgym.analysis import pareto
from nasgym.archive import Trial


def trial(number: int, accuracy: float, status: str = "ok", **metrics: Any) -> Trial:
    return Trial(number, (number,), [number], 0.0, accuracy, metrics, status, "", 1.0, False)


def beats(one: Trial, other: Trial) -> bool:
    a = one.accuracy, -one.metrics["flops"]
    b = other.accuracy, -other.metrics["flops"]
    return a != b and a[0] >= b[0] and a[1] >= b[1]


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(1, 6)), max_size=12))
def test_the_front_is_what_none_beats(points: list[tuple[int, int]]) -> None:
    trials = [trial(n, a / 5, flops=cost) for n, (a, cost) in enumerate(points)]
    unbeaten = [one for one in trials if not any(beats(other, one) for other in trials)]
    found = pareto.front(trials, "flops")
    assert found == sorted(found, key=lambda one: one.metrics["flops"])
    assert {(t.accuracy, t.metrics["flops"]) for t in found} == {
        (t.accuracy, t.metrics["flops"]) for t in unbeaten
    }
    assert len({(t.accuracy, t.metrics["flops"]) for t in found}) == len(found)


def test_only_children_that_trained_and_have_the_cost_are_on_it() -> None:
    trials = [
        trial(0, 0.0, "nan", parameters=1),
        trial(1, 0.9),
        trial(2, 0.5, parameters=10),
        trial(3, 0.5, parameters=10),
    ]
    assert [one.number for one in pareto.front(trials)] == [2]


def test_language_models_are_judged_by_perplexity() -> None:
    trials = [
        trial(0, 0.3, parameters=5, perplexity=90.0),
        trial(1, 0.4, parameters=6, perplexity=100.0),
    ]
    assert [one.number for one in pareto.front(trials)] == [0]
