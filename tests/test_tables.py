"""Tables: their results and seconds, and the refusal of damaged files."""

import csv
import gzip
import importlib.util
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as sb3_check_env

from nasgym import tables
from nasgym.agents import make
from nasgym.search.plan import Plan
from nasgym.search.run import Run
from nasgym.spaces import PRESETS, NASBench201Space, NASBenchGraphSpace, NASBenchMacroSpace
from nasgym.spaces.base import SearchSpace
from nasgym.tables import Table, TableError, TableEvaluator, digits
from nasgym.testing import check_evaluator, check_space

COLUMNS = ["index", "operations", "params_millions"] + [
    f"{dataset}_{name}"
    for dataset in ("cifar10", "cifar100")
    for name in ("valid_12", "test_12", "valid_200", "test_200", "epoch_seconds")
]

Rows = list[list[str]]


def nas_bench_201() -> Rows:
    """Return the rows of a table whose values follow from the index of the string."""
    rows = []
    for index, tokens in enumerate(NASBench201Space()):
        values = [index % 97 + column for column in range(10)]
        rows.append([str(index), "".join(map(str, tokens)), "0.5", *map(str, values)])
    return rows


def write(path: Path, rows: Rows, columns: list[str] = COLUMNS) -> None:
    with gzip.open(path, "wt", newline="", compresslevel=1) as file:
        csv.writer(file).writerows([columns, *rows])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write(folder / "nas-bench-201.csv.gz", nas_bench_201()[::-1])
    return folder


@pytest.fixture
def data(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NASGYM_DATA", str(folder))
    return folder


@pytest.mark.parametrize(
    ("dataset", "epochs", "column"),
    [("cifar10", 200, 2), ("cifar10", 12, 0), ("cifar100", 200, 7), ("cifar100", 12, 5)],
)
def test_nas_bench_201_is_what_the_file_says(
    data: Path, dataset: str, epochs: int, column: int
) -> None:
    table = tables.load("nas-bench-201", dataset=dataset, epochs=epochs)
    first = 0 if dataset == "cifar10" else 5
    for index in (0, 1, 4_321, 15_624):
        architecture = table.space.decode(table.space.string(index))
        assert table.row(architecture) == index
        assert table.reward[index] == pytest.approx((index % 97 + column) / 100)
        assert table.clean[index] == pytest.approx((index % 97 + first + 2) / 100)
        assert table.test[index] == pytest.approx((index % 97 + first + 3) / 100)
        assert table.seconds[index] == pytest.approx((index % 97 + first + 4) * epochs)
        (evaluation,) = TableEvaluator(table).evaluate([architecture])
        assert evaluation.accuracy == table.reward[index]
        assert evaluation.seconds == table.seconds[index]
        assert evaluation.metrics == {"parameters": 500_000}


def test_the_test_accuracy_is_told_to_nobody(data: Path) -> None:
    table = tables.load("nas-bench-201")
    (evaluation,) = TableEvaluator(table).evaluate([table.space.decode((0, 1, 2, 3, 4, 0))])
    assert not any("test" in name for name in evaluation.metrics)


@pytest.mark.parametrize(
    ("space", "size", "length"),
    [
        (NASBench201Space(), 15_625, 6),
        (NASBenchMacroSpace(), 6_561, 8),
        (NASBenchGraphSpace(), 59_049, 5),
    ],
)
def test_the_spaces_have_their_published_sizes(space: SearchSpace, size: int, length: int) -> None:
    assert (space.size, space.max_length) == (size, length)
    check_space(space)


@pytest.mark.parametrize("space", [*map(PRESETS.get, ("digits-table", "digits", "layer-types"))])
def test_index_is_the_inverse_of_string(space: SearchSpace) -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        tokens = space.sample_uniform(rng)
        assert space.string(space.index(tokens)) == tokens
    assert space.index(space.string(space.size - 1)) == space.size - 1


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-2_000])


def changed(cells: Callable[[Rows], Rows], columns: list[str] = COLUMNS) -> Callable[[Path], None]:
    return lambda path: write(path, cells(nas_bench_201()), columns)


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (Path.unlink, "is not in"),
    "truncated": (truncated, "is damaged"),
    "no gzip": (lambda path: path.write_text("index,operations\n"), "is damaged"),
    "a picture": (lambda path: path.write_bytes(gzip.compress(b"\x89PNG\xff")), "is damaged"),
    "another table": (
        changed(lambda rows: [row[:2] for row in rows], ["operations", "test_1"]),
        "is another table: it has no column",
    ),
    "rows missing": (changed(lambda rows: rows[:-5]), "has 15620 rows, not 15625"),
    "a row twice": (changed(lambda rows: [*rows[:-1], rows[0]]), "a string is missing"),
    "no number": (
        changed(lambda rows: [*rows[:-1], [*rows[-1][:5], "much", *rows[-1][6:]]]),
        "is damaged at '444444'",
    ),
    "not a string": (
        changed(lambda rows: [*rows[:-1], ["0", "999999", *rows[-1][2:]]]),
        "is damaged at '999999'",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_bad_file_gets_one_line(
    damage: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "nas-bench-201.csv.gz"
    path.write_bytes((folder / path.name).read_bytes())
    monkeypatch.setenv("NASGYM_DATA", str(tmp_path))
    harm, said = DAMAGES[damage]
    harm(path)
    with pytest.raises((TableError, FileNotFoundError)) as caught:
        gym.make("NAS-Bench-201-v0")
    assert said in str(caught.value)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("env", "options", "said"),
    [
        ("NAS-Bench-201-v0", {"dataset": "imagenet"}, "dataset must be cifar10 or cifar100"),
        ("NAS-Bench-201-v0", {"epochs": 50}, "12 or 200"),
        ("NAS-Bench-201-v0", {"noise": "seed"}, "no option 'noise'"),
        ("NAS-Bench-201-v0", {"layers": 3}, "no option 'layers'"),
        (
            "NAS-Bench-201-v0",
            {"reward": "nll"},
            "cannot be measured here: choose accuracy",
        ),
        ("NAS-Digits-Table-v0", {"noise": "much"}, "'mean' or 'seed'"),
        ("NAS-Digits-Table-v0", {"noise": "seed", "seed": "x"}, "seed must be a whole number"),
    ],
)
def test_a_wrong_option_gets_one_line(
    data: Path, env: str, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        gym.make(env, **options)


def test_the_environment_is_what_gymnasium_and_sb3_ask_for(data: Path) -> None:
    for mode in (None, "ansi", "rgb_array"):
        env = gym.make("NAS-Bench-201-v0", epochs=12, render_mode=mode)
        check_env(env.unwrapped)
        sb3_check_env(env.unwrapped)
    assert env.spec is not None
    assert EnvSpec.from_json(env.spec.to_json()) == env.spec


def test_a_budget_of_seconds_charges_every_trial(data: Path) -> None:
    envs: Any = gym.make_vec("NAS-Bench-201-v0", num_envs=1, epochs=12).unwrapped
    with envs.study.limited_to(1_000, seconds=20_000):
        make("random").search(envs, 1_000)
    spent = np.cumsum([trial.seconds for trial in envs.archive])
    assert spent[-1] >= 20_000 > spent[-2]
    envs.close()


def test_a_run_ends_with_its_seconds_and_goes_on_with_more(data: Path, tmp_path: Path) -> None:
    options: dict[str, Any] = {"env_options": {"epochs": 12}, "num_envs": 1}
    plan = Plan("NAS-Bench-201-v0", "random", 10_000, seconds=20_000, **options)
    Run(tmp_path / "run", plan).search()
    with closing(Run(tmp_path / "run").archive()) as archive:
        children = len(archive)
        assert sum(archive.seconds(0, children)) >= 20_000 > sum(archive.seconds(0, children - 1))
    Run(tmp_path / "run", replace(plan, seconds=30_000)).search()
    Run(tmp_path / "whole", replace(plan, seconds=30_000)).search()
    with (
        closing(Run(tmp_path / "run").archive()) as two,
        closing(Run(tmp_path / "whole").archive()) as one,
    ):
        assert [trial.tokens for trial in two] == [trial.tokens for trial in one]


def test_a_search_over_a_table_imports_no_torch(data: Path) -> None:
    program = (
        "import sys, gymnasium as gym, nasgym; from nasgym.agents import make;"
        "make('evolution', population=4, sample=2).search(gym.make('NAS-Bench-201-v0'), 20);"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], timeout=60).returncode == 0


# NAS-Digits-Table -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def table() -> Table:
    return tables.load("digits")


def test_the_digits_table_is_whole_and_small(table: Table) -> None:
    columns = digits.read_digits_table(digits.FILE)
    networks, seeds = columns["valid"].shape
    assert networks >= 4_000
    assert seeds >= 3
    assert digits.FILE.stat().st_size < 1_000_000
    assert table.chance == 0.1 < table.mean < table.optimum < 1
    assert {"command", "date", "torch", "machine"} <= columns["made"].keys()
    assert (table.metrics["parameters"] > 0).all()


def test_strings_of_one_network_share_a_row_of_the_file(table: Table) -> None:
    columns, space = digits.read_digits_table(digits.FILE), table.space
    rng = np.random.default_rng(0)
    number: dict[object, int] = {}
    for row in rng.permutation(space.size)[:1_500].tolist():
        network = space.canonical(space.decode(space.string(row)))
        assert number.setdefault(network, columns["network"][row]) == columns["network"][row]
    assert len(set(number.values())) == len(number)


def test_the_digits_table_is_what_training_brings(table: Table) -> None:
    """Other processors round differently, so some digits may be classified differently."""
    rows = [int(np.argsort(table.clean)[int(share * (table.space.size - 1))]) for share in (0.2, 1)]
    valid = digits.read_digits_table(digits.FILE)
    options: dict[str, Any] = {"space": "digits-table", "workers": 0}
    envs: Any = gym.make_vec("NAS-Digits-v0", num_envs=2, **options).unwrapped
    trials = envs.study.play([table.space.string(row) for row in rows])
    for row, trial in zip(rows, trials, strict=True):
        expected = valid["valid"][valid["network"][row], 0] / digits.VALID_IMAGES
        assert trial.accuracy == pytest.approx(expected, abs=0.1)
        assert trial.metrics["parameters"] == table.metrics["parameters"][row]
        assert trial.metrics["flops"] == table.metrics["flops"][row]
    envs.close()


def test_noise_draws_one_seed_for_each_network(table: Table) -> None:
    columns = digits.read_digits_table(digits.FILE)
    noisy = tables.load("digits", noise="seed", seed=1)
    again, other = (tables.load("digits", noise="seed", seed=seed) for seed in (1, 2))
    values = columns["valid"][columns["network"]] / digits.VALID_IMAGES
    assert (noisy.reward[:, None] == values).any(axis=1).all()
    assert np.array_equal(noisy.reward, again.reward)
    assert (noisy.reward != other.reward).mean() > 0.3
    assert np.array_equal(noisy.clean, table.clean)
    assert np.array_equal(table.reward, table.clean)
    assert abs((noisy.reward - table.clean).mean()) < 0.005


@pytest.mark.parametrize("harm", [truncated, lambda path: path.write_bytes(b"no zip")])
def test_a_damaged_digits_table_gets_one_line(harm: Callable[[Path], None], tmp_path: Path) -> None:
    path = tmp_path / "digits.npz"
    path.write_bytes(digits.FILE.read_bytes())
    harm(path)
    with pytest.raises(TableError, match="is not the table of digits"):
        digits.read_digits_table(path)


def test_lookups_keep_the_evaluators_contract(table: Table) -> None:
    rng = np.random.default_rng(0)
    architectures = [table.space.decode(table.space.sample(rng)) for _ in range(8)]
    check_evaluator(TableEvaluator(table), architectures)


@pytest.mark.skipif(importlib.util.find_spec("nas_bench_graph") is None, reason="the extra `bench`")
def test_nas_bench_graph_has_a_value_for_every_string() -> None:
    table = tables.load("nas-bench-graph", bench="proteins")
    assert table.space.size == 9 * 5**4
    assert len(set(zip(table.clean, table.test, table.seconds, strict=True))) <= 2_022
    assert table.optimum == pytest.approx(0.8533, abs=1e-4)
