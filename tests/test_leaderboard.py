import csv
import os
import re
import signal
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from math import inf
from pathlib import Path

import numpy as np
import pytest

from nasgym.archive import Trial
from nasgym.benchmarks.leaderboard.document import WORDS, to_html
from nasgym.benchmarks.leaderboard.entries import EntryResult, LeaderboardEntry
from nasgym.benchmarks.leaderboard.leaderboard import Leaderboard
from nasgym.benchmarks.leaderboard.standings import checkpoints, overall, task_standing
from nasgym.files import LockHeldError, ProcessLock
from nasgym.search.run import Run
from tests.command_line import assert_mistake, run
from tests.killing import start

EXAMPLES = Path(__file__).parents[1] / "docs" / "examples"
AGENT = (EXAMPLES / "hill_climber.py").read_text()
TASK = (EXAMPLES / "towers.py").read_text()

TRAINED = '''
"""A task whose children take no time, or TRAIN_FOR seconds, so that a test can kill them."""

import os
import time

import gymnasium as gym

from nasgym import Evaluation, NASVectorEnv
from towers import Towers


class Trainer:
    def evaluate(self, architectures):
        time.sleep(float(os.environ.get("TRAIN_FOR", "0")))
        return [Evaluation(sum(len(block) for block in one) / 40) for one in architectures]


def make(num_envs=1, **options):
    return NASVectorEnv(Towers(), Trainer(), num_envs, **options)


gym.register("Trained-v0", vector_entry_point=make)


class Broken:
    def __init__(self, seed=0):
        pass

    def search(self, env, budget):
        print("output that must not disturb the protocol")
        raise RuntimeError("this agent is broken")
'''

TABLE, NOISY = "towers:Towers-v0", "towers:Towers-v0:noise=0.2,seeded=true"
TRAINED_TASK = "trained:Trained-v0:num_envs=4,seeds=2,children=8"
CLIMBER = "hill_climber:HillClimber:restart=0.2"


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with third-party modules: an agent and two tasks."""
    folder = tmp_path_factory.mktemp("foreign")
    for name, text in {"hill_climber": AGENT, "towers": TASK, "trained": TRAINED}.items():
        (folder / f"{name}.py").write_text(text)
    return folder


@pytest.fixture(autouse=True)
def _installed(foreign: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(foreign)


@pytest.fixture(scope="module")
def board(foreign: Path, tmp_path_factory: pytest.TempPathFactory) -> Leaderboard:
    """A leaderboard whose runs are finished and whose files are written."""
    out = tmp_path_factory.mktemp("board")
    board = Leaderboard((TABLE, NOISY, TRAINED_TASK), ("random", CLIMBER), 4, 12, out)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(foreign)
        news = list(board.play(workers=2))
    assert not [one.failure for one in news if one.failure]
    board.write()
    return board


def trials(entry: LeaderboardEntry, out: Path) -> list[Trial]:
    with closing(Run(entry.folder(out)).archive()) as archive:
        return list(archive)


def rows(board: Leaderboard) -> list[dict[str, str]]:
    return list(csv.DictReader((board.out / "scores.csv").read_text().splitlines()))


def test_every_run_is_scored(board: Leaderboard) -> None:
    found = [(row["task"], row["agent"], int(row["seed"])) for row in rows(board)]
    runs = {TABLE: 4, NOISY: 4, TRAINED_TASK: 2}
    assert sorted(found) == sorted(
        (task, agent, seed) for task in runs for agent in board.agents for seed in range(runs[task])
    )


def test_scores_are_those_of_the_archives(board: Leaderboard) -> None:
    clean = np.linspace(0.1, 0.9, 81)
    for entry in board.entries():
        if entry.task not in (TABLE, NOISY):
            continue
        children = trials(entry, board.out)
        best = max(children, key=lambda trial: (trial.reward, -trial.number))
        index = int("".join(map(str, best.tokens)), 3)
        (row,) = (
            row
            for row in rows(board)
            if (row["task"], row["agent"], row["seed"])
            == (entry.task, entry.agent, str(entry.seed))
        )
        assert float(row["regret_12"]) == pytest.approx(100 * (0.9 - clean[index]), abs=1e-4)
        assert int(row["unique"]) == len({trial.tokens for trial in children})
        assert float(row["children_seconds"]) == 60 * int(row["unique"])


def test_noise_differs_between_runs_of_noisy_tasks_only(board: Leaderboard) -> None:
    def most_rewards(task: str) -> int:
        """Return the largest number of different rewards of one string on `task`."""
        found: dict[tuple[int, ...], set[float]] = {}
        for entry in board.entries():
            if entry.task == task:
                for trial in trials(entry, board.out):
                    found.setdefault(trial.tokens, set()).add(trial.reward)
        return max(map(len, found.values()))

    assert most_rewards(TABLE) == 1
    assert most_rewards(NOISY) > 1


def test_without_a_table_regret_is_against_the_best_child_found(board: Leaderboard) -> None:
    final = [float(row["regret_8"]) for row in rows(board) if row["task"] == TRAINED_TASK]
    assert min(final) == 0.0


def test_pages_name_every_agent_and_the_command(board: Leaderboard) -> None:
    markdown = (board.out / "LEADERBOARD.md").read_text()
    page = (board.out / "leaderboard.html").read_text()
    for text in (markdown, page):
        assert text.count(CLIMBER) >= 5
        assert "nasgym leaderboard --tasks" in text
    figures = re.findall(r"\]\((figures/.*?)\)", markdown)
    assert len(figures) == page.count('<img src="data:image/svg+xml;base64,') == 5
    assert all("<svg" in (board.out / figure).read_text() for figure in figures)
    assert "<script" not in page
    assert not re.search(r'(src|href)="(?!data:|#)', page)


def test_html_in_text_is_escaped_and_line_breaks_are_kept() -> None:
    page = to_html("title", "Mine <script>alert(1)</script> | 1<br>[0, 2]", [])
    assert "<script" not in page and "&lt;script&gt;" in page
    assert "1<br>[0, 2]" in page


def test_nothing_is_run_again_and_words_are_kept(
    board: Leaderboard, capsys: pytest.CaptureFixture[str]
) -> None:
    path = board.out / "LEADERBOARD.md"
    begin, _ = WORDS
    path.write_text(path.read_text().replace(begin, f"{begin}\nWritten by *hand*."))
    before = {file: file.stat().st_mtime_ns for file in board.out.rglob("archive.db")}
    code, out, _ = run(capsys, *board.command().split()[1:])
    assert code == 0
    assert out.split() == [
        str(board.out / name) for name in ("LEADERBOARD.md", "leaderboard.html", "scores.csv")
    ]
    assert {file: file.stat().st_mtime_ns for file in before} == before
    assert f"{begin}\nWritten by *hand*.\n" in path.read_text()
    assert "<p>Written by <em>hand</em>.</p>" in (board.out / "leaderboard.html").read_text()


def test_a_larger_budget_resumes_and_a_smaller_one_cuts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entry = LeaderboardEntry(TABLE, "random", 0, 12)
    small = Leaderboard((TABLE,), ("random",), 1, 12, tmp_path)
    large = replace(small, budget=30)
    results: list[EntryResult] = []
    for board in (small, large, small):
        list(board.play(workers=1))
        results += board.results().values()
    assert [result.children for result in results] == [12, 30, 12]
    assert results[0].steps == results[2].steps == results[1].steps[: len(results[0].steps)]
    assert results[0].agent_seconds and results[2].agent_seconds is None
    assert len(trials(entry, tmp_path)) == 30


def test_broken_agent_is_reported_and_stops_no_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--tasks", TABLE, "--agents", "trained:Broken", "random"]
    code, out, _ = run(
        capsys, "leaderboard", *arguments, "--seeds", 1, "--budget", 3, "--out", tmp_path
    )
    assert code == 1
    assert "failed: RuntimeError: this agent is broken" in out
    error = LeaderboardEntry(TABLE, "trained:Broken", 0, 3).folder(tmp_path) / "error.txt"
    assert "Traceback" in error.read_text()
    assert "| random |" in (tmp_path / "LEADERBOARD.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--agents", "randon"], "did you mean 'random'"),
        (["--agents", "random:uniform=words"], "uniform must be"),
        (["--tasks", "towers:Tower-v0"], "Tower"),
        (["--tasks", "NAS-Digits-v0:epoch=1"], "did you mean 'epochs'"),
        (["--seeds", "0"], "nothing to compare"),
        (["--agents", "random", "random"], "each once"),
    ],
)
def test_mistakes_are_reported_before_any_run(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    usual = {"--tasks": [TABLE], "--agents": ["random"], "--seeds": ["1"], "--out": [str(tmp_path)]}
    asked = {**usual, arguments[0]: arguments[1:]}
    command = [word for name, values in asked.items() for word in (name, *values)]
    assert_mistake(run(capsys, "leaderboard", *command), message)
    assert not list(tmp_path.iterdir())


def test_kill_loses_nothing_and_changes_nothing(foreign: Path, tmp_path: Path) -> None:
    out = tmp_path / "killed"
    options = ["--tasks", "trained:Trained-v0", "--agents", "random", "evolution"]
    options += ["--seeds", "1", "--budget", "20", "--workers", "2", "--out", str(out)]
    paths = os.pathsep.join([str(foreign), str(Path(__file__).parents[1])])
    command = ["nasgym.commands.main", "leaderboard", *options]
    first = start(*command, PYTHONPATH=paths, TRAIN_FOR="0.2")
    board = Leaderboard(("trained:Trained-v0",), ("random", "evolution"), 1, 20, out)
    folders = [entry.folder(out) for entry in board.entries()]
    wait_for(lambda: all((folder / "archive.db").exists() for folder in folders))
    time.sleep(0.5)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    for folder in folders:  # the processes end with their parent
        wait_for(lambda folder=folder: is_free(folder / "search.lock"))  # type: ignore[misc]
    before = strings(board)
    assert all(0 < len(run) < 20 for run in before)
    again = start(*command, PYTHONPATH=paths)
    _, errors = again.communicate()
    assert again.returncode == 0, errors
    after = strings(board)
    assert [run[: len(part)] for run, part in zip(after, before, strict=True)] == before
    whole = replace(board, out=tmp_path / "whole")
    list(whole.play(workers=1))
    assert after == strings(whole)


def wait_for(condition: Callable[[], bool]) -> None:
    for _ in range(600):
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError("the condition never came true")


def is_free(lock: Path) -> bool:
    try:
        ProcessLock(lock).release()
    except LockHeldError:
        return False
    return True


def strings(board: Leaderboard) -> list[list[tuple[int, ...]]]:
    return [[trial.tokens for trial in trials(entry, board.out)] for entry in board.entries()]


# Standings ----------------------------------------------------------------------------------------


def result(*steps: tuple[int, float], optimum: float | None = 0.9) -> EntryResult:
    mean = None if optimum is None else 0.5
    return EntryResult(4, 4, 0, steps, optimum, mean, 0.4, 240.0)


def test_trace_holds_the_recommended_values() -> None:
    assert result((2, 0.5), (4, 0.7)).trace().tolist() == [0.0, 0.5, 0.5, 0.7]


def test_standing_of_hand_made_runs() -> None:
    fast = [result((1, 0.9)), result((2, 0.9)), result((1, 0.7))]
    slow = [result((1, 0.7)), result((1, 0.6), (4, 0.9)), result((1, 0.6))]
    standing = task_standing("task", {"slow": slow, "fast": fast, "absent": []})
    assert standing is not None and standing.checkpoints == [4]
    first, second = standing.agents
    assert (first.agent, second.agent) == ("fast", "slow")
    assert first.mean_regret(4) == pytest.approx(100 * (0 + 0 + 0.2) / 3)
    assert first.normalised(4) == pytest.approx([1, 1, 0.5])
    assert (first.median_children, second.median_children) == (2, inf)
    assert [first.hits, second.hits] == pytest.approx([2 / 3, 1 / 3])
    assert first.agent_ms == pytest.approx(100)
    assert first.regret(4).low == pytest.approx(0) and first.regret(4).high == pytest.approx(20)


def test_agents_without_all_tables_are_not_ranked_overall() -> None:
    runs = [result((1, 0.9)), result((1, 0.7))]
    one = task_standing("one", {"random": runs, "mine": runs})
    two = task_standing("two", {"random": runs})
    trained = task_standing("trained", {"random": [result((1, 0.4), optimum=None)]})
    assert one and two and trained and not trained.tabular
    assert [row.agent for row in overall([one, two, trained])] == ["random"]
    (row, other) = overall([one])
    assert {row.agent, other.agent} == {"random", "mine"}
    mine = row if row.agent == "mine" else other
    assert mine.better_than["random"].value == 0.5
    assert mine.normalised[4].value == pytest.approx(0.75)


def test_checkpoints_end_with_the_budget() -> None:
    assert checkpoints(120) == [10, 30, 50, 100, 120]
    assert checkpoints(500) == [10, 30, 50, 100, 200, 300, 500]
    assert checkpoints(7) == [7]
