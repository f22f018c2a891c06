"""The figures of a run and of a comparison: their numbers and their files."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nasgym import Evaluation, NASVectorEnv
from nasgym.analysis.comparison import RunHistory
from nasgym.archive import Trial
from nasgym.report.charts import MAX_VECTOR_POINTS, WINDOW, moving_mean
from nasgym.report.figures import compared, pareto, write_figures
from nasgym.report.plotting import short
from nasgym.search.plan import Plan
from tests.free_search import ID
from tests.spaces import Numbers, Stack


class Flaky(Numbers):
    def evaluate(self, architectures: Sequence[Any]) -> list[Evaluation]:
        outcomes = super().evaluate(architectures)
        return [o if o.accuracy > 0.2 else Evaluation(status="nan") for o in outcomes]


def test_moving_mean_equals_the_plain_definition() -> None:
    values = np.random.default_rng(0).random(2 * WINDOW + 7)
    plain = [values[max(0, i + 1 - WINDOW) : i + 1].mean() for i in range(len(values))]
    assert moving_mean(values) == pytest.approx(plain)


def test_a_run_with_failures_and_repeats_is_drawn(tmp_path: Path) -> None:
    envs = NASVectorEnv(Stack(), Flaky(), num_envs=8)
    assert write_figures(tmp_path, envs.archive) == []
    rng = np.random.default_rng(0)
    for _ in range(4):
        envs.study.play([envs.study.space.sample(rng) for _ in range(8)])
    paths = write_figures(tmp_path, envs.archive, entropy=[(8, 1.0), (32, 0.5)])
    assert [path.name for path in paths] == ["best.png", "rewards.png", "policy.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)


@pytest.mark.parametrize("most", [140, 2_000_000])
def test_sizes_are_labelled_with_plain_numbers(most: int) -> None:
    trials = [
        Trial(number, (0,), None, 0.5, 0.5, {"parameters": size}, "ok", "", 1.0, False)
        for number, size in enumerate((100, most))
    ]
    figure = pareto(trials)
    figure.draw_without_rendering()
    labels = [label.get_text() for label in figure.axes[0].get_xticklabels(which="both")]
    assert 2 <= len(labels) <= 13 and all(re.fullmatch(r"[\d.]+[kM]?", label) for label in labels)


def test_numbers_are_short() -> None:
    values = (0.25, 120, 9_500, 45_000, 1_200_000, 3e9)
    assert list(map(short, values)) == ["0.25", "120", "9500", "45k", "1.2M", "3G"]


def test_many_children_make_a_small_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    trials = [
        Trial(number, (0,), {}, reward, reward, {"parameters": size}, "ok", "", 1.0, False)
        for number, (reward, size) in enumerate(
            zip(rng.random(20_000), rng.integers(1, 10**6, 20_000).tolist(), strict=True)
        )
    ]
    assert len(trials) > MAX_VECTOR_POINTS
    for path in write_figures(tmp_path, trials, suffix="svg"):
        assert path.stat().st_size < 400_000


def test_runs_of_one_agent_share_a_colour_and_a_name() -> None:
    trial = Trial(0, (0,), {}, 0.5, 0.5, {}, "ok", "", 1.0, False)
    agents = ("random", "random", "evolution")
    plans = [Plan(ID, agent, 8, seed=seed) for seed, agent in enumerate(agents)]
    best = compared([RunHistory(Path("run"), plan, [trial] * 8) for plan in plans]).axes[1]
    assert best.get_legend_handles_labels()[1] == ["random", "evolution"]
    one, same, other = (line.get_color() for line in best.lines)
    assert one == same != other
