"""Searches that share an archive: each has its own run, and all share the children."""

import json
import shutil
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest

from nasgym import Archive, Evaluation, NASEnv, NASVectorEnv
from nasgym.archive import ArchiveError
from nasgym.search.plan import Plan, SearchError
from nasgym.search.run import Run
from tests.command_line import assert_mistake, run
from tests.free_search import ID, register
from tests.spaces import Numbers, Stack

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    if ID not in gym.registry:
        register()
    monkeypatch.setenv("SECONDS_A_CHILD", "0")


def search(capsys: Capture, folder: Path, archive: Path, *options: str) -> tuple[int, str, str]:
    shared = f"archive={archive}"
    start = ("search", ID, "--agent", "random", "--set", shared, "--out", folder)
    return run(capsys, *start, *options)


def begun(folder: Path, archive: Path, children: int = 24, seed: int = 0) -> Run:
    """Return a finished run, searched without the command line."""
    found = Run(folder, Plan(ID, "random", children, seed, env_options={"archive": str(archive)}))
    found.search()
    return found


def trained(notes: Path) -> int:
    return len(notes.read_text().splitlines())


def test_what_one_search_trained_another_finds(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes = tmp_path / "trained"
    monkeypatch.setenv("TRAINED", str(notes))
    monkeypatch.chdir(tmp_path)
    archive, size = Path("shared.db"), ("--children", "24")
    begun(Path("runs/a"), archive)
    assert not Path("runs/a/archive.db").exists()
    alone = trained(notes)
    code, out, _ = search(capsys, Path("runs/b"), archive, *size)
    assert code == 0 and str(tmp_path / "shared.db") in out
    assert f"(0 trained, {alone} found in the archive, the others proposed again" in out
    assert trained(notes) == alone  # the same seed proposes the same strings
    with closing(begun(Path("runs/c"), archive, seed=1).archive()) as found:
        counts = found.counts()
        assert counts.trained == trained(notes) - alone and counts.found > 0
        assert found.runs() == ["a", "b", "c"]
    for name in ("a", "c"):
        code, out, _ = run(capsys, "show", f"runs/{name}")
        (best, *_) = json.loads(run(capsys, "show", f"runs/{name}", "--json")[1])
        with closing(Archive("shared.db", run=name, read_only=True)) as own:
            expected = own.best()
        assert expected is not None and best["tokens"] == list(expected.tokens)
        assert "24 children in" in out
    compared = ("compare", "runs/a", "runs/c", "--every", "8")
    assert_mistake(run(capsys, *compared), "all runs are by the same agent")
    assert run(capsys, "report", "runs/a", "runs/c")[0] == 0
    assert json.loads(run(capsys, "watch", "runs/b", "--once", "--json")[1])["different"] == alone


def test_a_run_goes_on_in_the_archive_that_it_began_in(tmp_path: Path, capsys: Capture) -> None:
    archive, folder = tmp_path / "shared.db", tmp_path / "run"
    begun(folder, archive, 8)
    moved = Path(shutil.move(folder, tmp_path / "moved"))
    assert run(capsys, "search", "--out", moved, "--children", "16")[0] == 0
    assert search(capsys, moved, archive, "--children", "24")[0] == 0
    assert Archive(archive, read_only=True).runs() == ["run"]
    found = Run(moved)
    assert (found.name, len(found.archive())) == ("run", 24)
    alone = Run(tmp_path / "alone", Plan(ID, "random", 24))
    alone.search()
    assert [t.tokens for t in alone.archive()] == [t.tokens for t in found.archive()]
    assert (alone.name, alone.archive().runs()) == ("main", ["main"])


def test_another_plan_by_the_same_name_is_refused(tmp_path: Path, capsys: Capture) -> None:
    archive = tmp_path / "shared.db"
    begun(tmp_path / "one" / "run", archive, 8)
    other = tmp_path / "other" / "run"
    outcome = search(capsys, other, archive, "--children", "8", "--seed", "1")
    assert_mistake(outcome, f"{archive} (run 'run') holds a run with seed 0, not 1")
    assert not other.exists()
    with closing(NASVectorEnv(Stack(), Numbers(), 2, archive=archive, run="by hand")) as env:
        env.study.play([env.study.space.string(0)])
        outcome = search(capsys, tmp_path / "by hand", archive, "--children", "8")
        assert_mistake(outcome, "has the run 'by hand' of")
    outcome = search(capsys, tmp_path / "by hand", archive, "--children", "8")
    assert_mistake(outcome, "(run 'by hand') holds trials of no search")


def test_a_search_does_not_leave_its_run_to_another(tmp_path: Path) -> None:
    found = Run(tmp_path, Plan(ID, "random", 8))
    found.search()
    with (
        closing(NASVectorEnv(Stack(), Numbers(), 2, archive=found.archive_path)),
        pytest.raises(SearchError, match=r"another process has .*archive\.db"),
    ):
        found.search()
    found.search()
    assert len(found.archive()) == 8


def test_environments_on_one_archive_have_runs_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "archive.db"
    evaluators = Numbers(), Numbers()
    envs = [NASVectorEnv(Stack(), each, 2, archive=path) for each in evaluators]
    strings = [envs[0].study.space.string(n) for n in (0, 1, 2)]
    envs[0].study.play(strings[:2])
    (found, new) = envs[1].study.play(strings[1:])
    assert (found.number, found.found, new.number, new.found) == (0, True, 1, False)
    assert [len(each.asked) for each in evaluators] == [2, 1]
    assert [env.archive.run for env in envs] == ["main", "main-2"]
    with pytest.raises(ArchiveError, match="has the run 'main' of"):
        NASEnv(Stack(), Numbers(), archive=path, run="main")
    with pytest.raises(ValueError, match="was opened for run 'main', not 'other'"):
        NASEnv(Stack(), Numbers(), archive=envs[0].archive, run="other")
    for env in envs:
        env.close()
    again = NASEnv(Stack(), Numbers(), archive=path, run="main-2")
    assert again.study.trials == 2
    again.close()


class Hasty(Numbers):
    """An evaluator for which a quarter of the children take ten seconds."""

    def __init__(self, time_limit: float) -> None:
        super().__init__()
        self.resource_limits = json.dumps(time_limit)
        self.limit = time_limit

    def evaluate(self, architectures: Sequence[Any]) -> list[Evaluation]:
        return [
            Evaluation(status="timeout") if self.limit < 10 and one.accuracy < 0.25 else one
            for one in super().evaluate(architectures)
        ]


def test_with_more_time_what_had_too_little_is_trained_again_and_what_was_told_stays(
    tmp_path: Path, capsys: Capture
) -> None:
    def make(num_envs: int = 1, time_limit: float = 1.0, **options: Any) -> NASVectorEnv:
        return NASVectorEnv(Stack(1), Hasty(time_limit), num_envs, **options)

    gym.register("NAS-Hasty-v0", vector_entry_point=make)
    begin = ("search", "NAS-Hasty-v0", "--agent", "evolution", "--agent-set", "population=10")
    assert run(capsys, *begin, "--children", "40", "--out", tmp_path)[0] == 0
    with closing(Run(tmp_path).archive()) as archive:
        before = list(archive)
    late = [trial for trial in before if trial.status == "timeout"]
    assert late and len({trial.tokens for trial in late if not trial.cached}) < len(late)
    more = ("--children", "200", "--set", "time_limit=20")
    assert run(capsys, "search", "--out", tmp_path, *more)[0] == 0
    assert Run(tmp_path).plan.env_options == {"time_limit": 20}
    with closing(Run(tmp_path).archive()) as archive:
        assert archive[:40] == before
        after = archive[40:]
    assert all(trial.status == "ok" for trial in after)
    retrained = {trial.tokens for trial in after} & {trial.tokens for trial in late}
    assert retrained
    for tokens in retrained:
        first, *_ = (trial for trial in after if trial.tokens == tokens)
        assert not first.cached and first.reward == first.accuracy > 0
