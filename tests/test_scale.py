"""The virtual clock is right, and searches on it behave as theory predicts."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nasgym.benchmarks.scale.driver import Sample, Scenario, SimulationResult, simulate
from nasgym.benchmarks.scale.scale import SCENARIOS, harmonic, picture, table
from nasgym.benchmarks.scale.simulation import DURATIONS, SimulatedEvaluator, VirtualBackend

FREE = Scenario("random", 8, 160, asynchronous=True, driver_counts=False)
"""A search on a clock that only children advance."""


@pytest.mark.parametrize(("children", "rounds"), [(1, 1), (8, 1), (9, 2), (40, 5)])
def test_children_of_one_length_take_whole_rounds(children: int, rounds: int) -> None:
    backend = VirtualBackend(8, durations="constant", seconds=60.0)
    evaluations = SimulatedEvaluator(backend).evaluate([{"n": n} for n in range(children)])
    assert [evaluation.seconds for evaluation in evaluations] == [60.0] * children
    assert backend.now == pytest.approx(60.0 * rounds)
    assert backend.utilisation == pytest.approx(children / (8 * rounds))


@pytest.mark.parametrize("workers", [8, 80])
def test_exponential_waves_have_the_expected_utilisation(workers: int) -> None:
    backend = VirtualBackend(workers, seed=3)
    waves = 4_000 // workers
    for wave in range(waves):
        SimulatedEvaluator(backend).evaluate([(wave, n) for n in range(workers)])
    # The longest of W exponential durations has mean H_W, and variance at most pi^2 / 6.
    error = np.sqrt(np.pi**2 / 6 / waves)
    assert backend.now / 60.0 / waves == pytest.approx(harmonic(workers), abs=4 * error)
    assert backend.utilisation == pytest.approx(1 / harmonic(workers), rel=0.15)


def test_workers_are_never_idle_while_a_search_is_asynchronous() -> None:
    outcome = simulate(FREE, None)
    assert outcome.utilisation_while_fed == pytest.approx(1.0)
    assert outcome.utilisation == pytest.approx(1 / (1 + 8 * (harmonic(8) - 1) / 160), abs=0.1)
    assert outcome.begun == 160 and sum(outcome.staleness.values()) == 160
    # Of 8 children under way each waits for the 7 others on average, and the first 8 for fewer.
    ages = [age for age, count in outcome.staleness.items() for _ in range(count)]
    assert np.mean(ages) == pytest.approx(7.0, abs=0.3)


def test_a_seed_repeats_the_search_and_waves_are_slower() -> None:
    once, again = (simulate(FREE, None, seed=1) for _ in range(2))
    other = simulate(FREE, None, seed=2)
    assert (once.virtual, once.staleness) == (again.virtual, again.staleness)
    assert once.virtual != other.virtual
    waves = simulate(replace(FREE, asynchronous=False), None, seed=1)
    assert waves.virtual > 2 * once.virtual and waves.staleness == {}


def test_driver_time_passes_on_the_virtual_clock() -> None:
    spent = iter(range(0, 1_000, 10))
    backend = VirtualBackend(2, durations="constant", driver=lambda: float(next(spent)))
    backend.begin(0, {})
    backend.begin(1, {})
    assert [ticket for ticket, _ in backend.ended()] == [0]
    assert backend.now == 70.0  # 10 seconds went by before the first child, 60 while it trained
    assert [ticket for ticket, _ in backend.ended()] == [1]
    assert backend.now == 80.0


def test_killed_children_restart_and_other_failures_are_final() -> None:
    backend = VirtualBackend(8, failures=0.2, kills=0.3, seed=5)
    evaluations = SimulatedEvaluator(backend).evaluate([{"n": n} for n in range(1_000)])
    share = {
        status: np.mean([evaluation.status == status for evaluation in evaluations])
        for status in ("exception", "killed")
    }
    attempts = 1 + 0.3 + 0.3**2
    assert share["killed"] == pytest.approx(0.3**3, abs=0.02)
    assert share["exception"] == pytest.approx(0.2 * attempts, abs=0.06)
    assert backend.begun / 1_000 == pytest.approx(attempts, abs=0.08)
    assert 0.99 < backend.utilisation_while_fed <= 1.0 + 1e-9  # restarts after it count as busy


def test_no_more_children_run_than_there_are_workers() -> None:
    backend = VirtualBackend(1)
    backend.begin(0, {})
    with pytest.raises(RuntimeError, match="all 1 workers are busy"):
        backend.begin(1, {})
    backend.stop()
    backend.begin(2, {})
    assert [ticket for ticket, _ in backend.ended()] == [2]


@pytest.mark.parametrize("durations", DURATIONS)
def test_durations_have_a_mean_of_one(durations: str) -> None:
    drawn = DURATIONS[durations](np.random.default_rng(0), 20_000)
    assert drawn.min() > 0 and drawn.mean() == pytest.approx(1.0, abs=0.03)


def test_costs_are_read_from_the_samples() -> None:
    samples = tuple(
        Sample(n, 1e-4 * min(n, 500) + 3e-4 * max(0, n - 500), 1_000 + 16 * n)
        for n in range(1, 1_001)
    )
    outcome = SimulationResult(0.2, 1.0, 60.0, 0.5, 0.5, 1_000, 0, {3: 2}, {}, samples)
    assert outcome.microseconds(workers=100) == pytest.approx((100.0, 300.0))
    assert outcome.growth == pytest.approx(16.0) and outcome.peak == 17_000
    assert SimulationResult.from_plain(json.loads(json.dumps(outcome.to_plain()))) == outcome


def test_every_row_is_a_search_and_is_shown(tmp_path: Path) -> None:
    rows = {}
    for name in ("random-8", "waves-8", "paper-server"):
        scenario = replace(SCENARIOS[name], workers=8, children=48)
        rows[name] = scenario, simulate(scenario, tmp_path / f"{name}.db")
    server = rows["paper-server"][1]
    assert sum(server.staleness.values()) == 48 and sum(server.updates.values()) == 6
    assert table(rows).row_count == 3
    first, second = picture(rows).axes
    assert len(first.lines) == 3 and not second.lines


def test_mistakes_get_one_line() -> None:
    with pytest.raises(ValueError, match="no durations 'weibull'; choose from constant, exp"):
        VirtualBackend(8, durations="weibull")
    with pytest.raises(ValueError, match="workers must be at least 1"):
        VirtualBackend(0)
