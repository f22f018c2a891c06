"""The report: the numbers of the archive, escaped text, and a page without browser errors."""

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from nasgym import Evaluation, NASVectorEnv, SearchSpace
from nasgym.agents.random_search import RandomSearch
from nasgym.analysis.choices import choice_history
from nasgym.archive import Archive, Trial
from nasgym.report import write_report
from nasgym.report.contents import space_of
from nasgym.report.markup import Markup, tag
from nasgym.search.plan import Plan
from nasgym.search.run import Run
from nasgym.spaces import ConvSpace
from nasgym.spaces.base import deepest
from tests.browser import needs_browser, open_page
from tests.command_line import assert_mistake, run
from tests.free_search import ID, register
from tests.spaces import Numbers, Stack

HOSTILE = "</style><script>alert('1')</script><img src=x onerror=\"alert(2)\">&amp;"
"""A malicious name of a class, an error or a folder."""


def searched(folder: Path, agent: str = "random", children: int = 24) -> Run:
    """Run a search without training."""
    register_free()
    found = Run(folder, Plan(ID, agent, children))
    found.search()
    return found


def register_free() -> None:
    if ID not in gym.registry:
        register()


def recorded(
    folder: Path,
    evaluations: Sequence[Evaluation],
    strings: Sequence[tuple[int, ...]] | None = None,
    **plan: Any,
) -> Run:
    """Return a run whose `evaluations` another program recorded."""
    folder.mkdir(parents=True)
    chosen = Plan(**{"env": "Elsewhere-v0", "agent": "somebody's", "children": 100, **plan})
    (folder / "search.json").write_text(json.dumps(asdict(chosen)))
    archive = Archive(folder / "archive.db")
    strings = strings or [(number % 2, 1) for number in range(len(evaluations))]
    episodes = []
    for number, (tokens, evaluation) in enumerate(zip(strings, evaluations, strict=True)):
        archive.store(str(number), evaluation)
        episodes.append((tokens, {"what": HOSTILE}, evaluation.accuracy, str(number)))
    archive.record(episodes)
    archive.close()
    return Run(folder)


def page_of(run: Run) -> str:
    (path,) = write_report([run], run.folder / "report.html")
    return path.read_text()


def cells(page: str, heading: str) -> list[list[str]]:
    """Return the words in the first table below `heading`."""
    table = page[page.index(heading) :].partition("<tbody>")[2].partition("</tbody>")[0]
    plain = [re.findall(r"<td>(.*?)</td>", row) for row in table.split("</tr>") if row]
    return [[re.sub(r"<.*?>", "", cell) for cell in row] for row in plain]


# What it says -----------------------------------------------------------------------------------


def test_the_numbers_are_those_of_the_archive(tmp_path: Path) -> None:
    found = searched(tmp_path / "run")
    archive = found.archive()
    trials, best = list(archive), archive.best()
    assert best is not None
    page = page_of(found)
    assert f"<dd>{best.accuracy:.2%}</dd>" in page and "<dd>24 of 24</dd>" in page
    assert f"<dd>{np.mean([t.reward for t in trials]):.4g}</dd>" in page
    different = sum(not trial.cached for trial in trials)
    assert f"<dd>{different / 24:.0%}</dd>" in page
    assert f"{different} of 24 children were new" in page
    assert f"{found.command} --children 48" in page
    ranked = sorted({json.dumps(t.architecture): t for t in reversed(trials)}.values(), key=worst)
    rows = cells(page, "The best 10 children")
    assert [row[0] for row in rows] == [str(trial.number) for trial in ranked[:10]]
    assert [row[-1] for row in rows] == [" ".join(map(str, t.tokens)) for t in ranked[:10]]
    assert "filter height, layer 1" in page and "skip, layer 2 from 1" in page


def worst(trial: Trial) -> tuple[float, int]:
    return -trial.reward, trial.number


def test_failures_are_counted_by_reason_whatever_numbers_it_holds(tmp_path: Path) -> None:
    failed = [Evaluation(status="nan", error=f"a trace\nloss nan in step {n}") for n in (3, 14, 15)]
    failed.append(Evaluation(status="timeout", error="stopped after 60 s"))
    page = page_of(recorded(tmp_path / "run", [Evaluation(0.5), *failed]))
    assert "Failures: 4 of 5 children" in page
    assert "3 × nan, the last: <code>loss nan in step 15</code>" in page
    assert "1 × timeout, the last: <code>stopped after 60 s</code>" in page


def test_training_time_leaves_out_repeats(tmp_path: Path) -> None:
    first = recorded(tmp_path / "run", [Evaluation(0.5, seconds=90.0), Evaluation(seconds=30.0)])
    archive = Archive(first.archive_path)
    archive.record([((0, 1), {}, 0.5, "0")])
    archive.close()
    page = page_of(first)
    assert "trained 2 min 00 s" in page and "saved by repeats 1 min 30 s" in page
    assert "<dd>2 min 00 s</dd>" in page and "2 of 3 children were new" in page


def test_language_models_have_a_front_of_perplexity(tmp_path: Path) -> None:
    sized = [(100, 120.0), (200, 130.0), (400, 90.0)]
    page = page_of(
        recorded(
            tmp_path / "run",
            [Evaluation(metrics={"parameters": size, "perplexity": p}) for size, p in sized],
        )
    )
    chart = page[page.index("Validation perplexity against parameters") :].partition("</figure>")[0]
    assert re.findall(r"<title>child (\d+)", chart) == ["0", "2"]  # child 1 is larger and worse
    assert "<dt>best perplexity</dt>" in page


@pytest.mark.parametrize(
    "evaluations",
    [[Evaluation(0.5)], [Evaluation(status="oom")], [Evaluation(status="nan")] * 30],
)
def test_a_run_with_one_child_or_without_success_has_a_page(
    evaluations: list[Evaluation], tmp_path: Path
) -> None:
    page = page_of(recorded(tmp_path / "run", evaluations))
    assert f"{len(evaluations)} of 100" in page
    assert "nan%" not in page.lower() and ">nan<" not in page.lower()


def test_runs_are_compared_and_different_environments_are_reported(
    tmp_path: Path,
) -> None:
    runs = [searched(tmp_path / name, name) for name in ("random", "evolution")]
    write_report(runs, tmp_path / "two.html")
    page = (tmp_path / "two.html").read_text()
    rows = cells(page, "The runs")
    assert [row[1] for row in rows] == ["random", "evolution"]
    assert [row[5] for row in rows] == [f"{best.reward:.4g}" for r in runs if (best := best_of(r))]
    assert 'href="#run-2"' in page and 'id="run-2"' in page
    assert "not comparable" not in page
    write_report([*runs, recorded(tmp_path / "x", [Evaluation(0.5)])], tmp_path / "three.html")
    assert "not comparable" in (tmp_path / "three.html").read_text()


def best_of(run: Run) -> Trial | None:
    return run.archive().best()


def test_an_asynchronous_search_shows_the_staleness_of_its_children(tmp_path: Path) -> None:
    register_free()
    server = {"replicas": 3, "batch": 4}
    runs = [
        Run(tmp_path / "random", Plan(ID, "random", 24, asynchronous=True)),
        Run(tmp_path / "server", Plan(ID, "reinforce_async", 24, agent_options=server)),
    ]
    for one in runs:
        one.search()
    random, learning = (page_of(one) for one in runs)
    archive = runs[1].archive()
    ages = [trial.number - trial.origin.trials for trial in archive if trial.origin]
    lags = [update.made - update.read - 1 for update in archive.updates()]
    assert len(ages) == 24 and len(lags) == 6
    assert f"Mean {np.mean(ages):.1f}, maximum {max(ages)}." in learning
    assert f"Mean {np.mean(lags):.1f}, maximum {max(lags)}." in learning
    assert "random asynchronous" in random and random.count(", maximum ") == 1
    assert "Staleness" not in page_of(searched(tmp_path / "waves"))
    drawn = write_report(runs[1:], tmp_path / "page.html", "svg")
    assert "staleness.svg" in [path.name for path in drawn]


# What it is made of -----------------------------------------------------------------------------


def test_markup_escapes_content_and_attributes() -> None:
    assert tag("p", "<&", Markup("<b>"), class_='"<') == '<p class="&quot;&lt;">&lt;&amp;<b></p>'


def test_nothing_is_loaded_from_elsewhere(tmp_path: Path) -> None:
    page = page_of(searched(tmp_path / "run"))
    loaded = re.findall(r'(?:src|href|url)\s*[=(]\s*["\']?([^"\'\s>)]+)', page)
    assert loaded and all(where.startswith(("data:", "#")) for where in loaded)
    assert "<script" not in page and page.count("<style") == 1


def test_the_same_run_gives_the_same_page(tmp_path: Path) -> None:
    found = searched(tmp_path / "run")
    assert page_of(found) == page_of(found)


@needs_browser
def test_a_browser_opens_the_page_without_errors(tmp_path: Path) -> None:
    failed = Evaluation(status="exception", error=HOSTILE)
    runs = [searched(tmp_path / "run"), recorded(tmp_path / "<b>", [failed, Evaluation(0.5)])]
    (path,) = write_report(runs, tmp_path / "page.html")
    opened = open_page(path, tmp_path / "profile")
    assert opened.console == []
    assert opened.dom.count("<svg") > 10 and 'id="run-2"' in opened.dom
    assert "<script" not in opened.dom and "<img src=x" not in opened.dom


def test_a_long_search_makes_a_small_page(tmp_path: Path) -> None:
    space, rng, children = ConvSpace(layers=6), np.random.default_rng(0), 12_800
    strings = [space.sample(rng) for _ in range(200)]
    archive_of = recorded(tmp_path / "run", [Evaluation(0.5)])
    archive = Archive(archive_of.archive_path)
    for number, accuracy in enumerate(rng.random(200)):
        archive.store(f"child {number}", Evaluation(accuracy, metrics={"parameters": number + 1}))
    picked = rng.integers(200, size=children).tolist()
    archive.record([(strings[n], {"n": n}, float(rng.random()), f"child {n}") for n in picked])
    archive.close()
    assert len(page_of(archive_of)) < 1_000_000


# Choices ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("space", [Stack(), None], ids=["named", "numbered"])
def test_shares_equal_a_plain_count(space: SearchSpace | None) -> None:
    grammar, rng = Stack(), np.random.default_rng(0)
    strings = [grammar.sample(rng) for _ in range(90)]
    seen = choice_history([trial_of(tokens) for tokens in strings], space)
    for point, end in enumerate(seen.children.tolist()):
        counts: dict[str, Counter[Any]] = {}
        for tokens in strings[max(0, end - seen.width) : end]:
            for name, option in plainly(tokens, space):
                counts.setdefault(name, Counter())[option] += 1
        for one in seen.decisions:
            count = counts.get(one.decision, Counter())
            if total := sum(count.values()):
                assert one.shares[point] == pytest.approx([count[o] / total for o in one.options])
            else:
                assert np.isnan(one.shares[point]).all()


def plainly(tokens: tuple[int, ...], space: SearchSpace | None) -> list[tuple[str, Any]]:
    if space is None:
        return [(f"token {place}", token) for place, token in enumerate(tokens, start=1)]
    return [(f"{d.name}, layer {d.layer}", d.options[token]) for d, token in space.walk(tokens)]


def trial_of(tokens: tuple[int, ...]) -> Trial:
    return Trial(0, tokens, {}, 0.5, 0.5, {}, "ok", "", 1.0, False)


def test_entropy_falls_from_uniform_to_nothing() -> None:
    space = ConvSpace(layers=1, filters=(1, 2, 3, 4), max_layers=1)
    every = [tokens for tokens in space for _ in range(4)]
    np.random.default_rng(0).shuffle(every)
    settled = [(3, 2, 1)] * len(every)
    seen = choice_history([trial_of(tuple(t)) for t in [*every, *settled]], space)
    entropy = seen.entropy()
    assert entropy[0] == pytest.approx(np.log(4), abs=0.1) and entropy[-1] == 0
    assert seen.uniform() == pytest.approx(np.log(4))
    assert len(choice_history([trial_of((3, 2, 1))], space).decisions) == 3


def test_strings_of_another_space_are_numbered() -> None:
    seen = choice_history([trial_of((9, 9)), trial_of((0,))], Stack())
    assert [one.decision for one in seen.decisions] == ["token 1", "token 2"]


# The command ------------------------------------------------------------------------------------


def test_the_command_writes_the_page_and_figures_for_print(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    searched(tmp_path / "run")
    code, out, err = run(capsys, "report", tmp_path / "run", "--figures", "pdf")
    assert (code, err) == (0, "")
    names = [Path(line).name for line in out.splitlines()]
    assert names == [
        "report.html",
        *(f"{n}.pdf" for n in ("best", "rewards", "policy", "preferences")),
    ]
    pdf = (tmp_path / "run" / "rewards.pdf").read_bytes()
    assert pdf.startswith(b"%PDF") and b"/FontFile2" in pdf and b"/Type3" not in pdf


def test_mistakes_get_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert_mistake(run(capsys, "report"), "name the folder of a run")
    assert_mistake(run(capsys, "report", tmp_path / "none"), "there is no run in")
    recorded(tmp_path / "empty", [])
    assert_mistake(run(capsys, "report", tmp_path / "empty"), "no child of")
    outcome = run(capsys, "report", tmp_path / "empty", "--figures", "gif")
    assert_mistake(outcome, "'gif' is none of pdf, svg, png")


def test_a_report_needs_no_data_to_know_the_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run of CIFAR-10 is reported, with its space, where CIFAR-10 is missing."""
    monkeypatch.setenv("NASGYM_DATA", str(tmp_path / "nothing"))
    space = ConvSpace()
    run = tmp_path / "run"
    run.mkdir()
    plan = {"env": "NAS-CIFAR10-v0", "agent": "random", "children": 20, "env_options": {}}
    (run / "search.json").write_text(json.dumps(plan))
    envs = NASVectorEnv(space, Numbers(), 4, archive=run / "archive.db")
    RandomSearch(0).search(envs, 20)
    envs.close()
    with pytest.raises(FileNotFoundError, match="nasgym data cifar10"):
        gym.make("NAS-CIFAR10-v0")
    assert space_of(Run(run).plan) == deepest(space)
    write_report([Run(run)], run / "report.html")
    assert (run / "report.html").read_text().startswith("<!doctype html>")
