"""The tables of the paper, and our own results with their budgets."""

import json
from pathlib import Path
from typing import Any

import pytest

from nasgym.analysis.paper_tables import (
    TABLES,
    OwnResult,
    parse_results,
    shipped_results,
    trained_result,
)
from nasgym.networks import zoo
from nasgym.spaces.plain import plain
from tests.command_line import run

OWN: dict[str, Any] = {
    "table": "ptb",
    "model": "nas-cell",
    "value": 120.5,
    "parameters": 20_000_000,
    "share": 0.25,
    "epochs": 3,
    "hardware": "one GPU",
    "command": "nasgym train nas-cell",
}


def test_the_tables_are_the_papers() -> None:
    sizes = {name: len(table.rows) for name, table in TABLES.items()}
    assert sizes == {"cifar10": 23, "ptb": 22, "ptb-characters": 6}
    found = {
        (name, row.value, row.parameters, row.depth)
        for name, table in TABLES.items()
        for row in table.rows
    }
    assert found >= {
        ("cifar10", 8.81, None, None),
        ("cifar10", 4.91, 10_200_000, 1202),
        ("cifar10", 3.46, 25_600_000, 190),
        ("cifar10", 5.50, 4_200_000, 15),
        ("cifar10", 6.01, 2_500_000, 20),
        ("cifar10", 4.47, 7_100_000, 39),
        ("cifar10", 3.65, 37_400_000, 39),
        ("ptb", 141.2, 2_000_000, None),
        ("ptb", 78.4, 66_000_000, None),
        ("ptb", 66.0, 24_000_000, None),
        ("ptb", 67.9, 32_000_000, None),
        ("ptb", 64.0, 25_000_000, None),
        ("ptb", 62.4, 54_000_000, None),
        ("ptb-characters", 1.214, 16_280_000, None),
        ("ptb-characters", 1.243, 6_570_000, None),
        ("ptb-characters", 1.219, 14_410_000, None),
    }
    estimated = [row.value for row in TABLES["ptb"].rows if row.estimated]
    assert estimated == [141.2, 125.7, 124.7, 113.7, 92.0, 100.0]


def test_shipped_results_can_be_read() -> None:
    assert all(isinstance(row, OwnResult) for row in shipped_results())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"table": "imagenet"}, "'imagenet' is none of cifar10, ptb"),
        ({"share": 1.5}, "share must be at most 1"),
        ({"share": 0}, "share must be a number above 0"),
        ({"value": float("nan")}, "value must be a number"),
        ({"epochs": 2.5}, "epochs must be a whole number"),
        ({"hardware": " "}, "hardware must be a non-empty text"),
        ({"command": None}, "command must be text, not None"),
        ({"perplexity": 3}, "perplexity"),
    ],
)
def test_a_malformed_row_is_refused(change: dict[str, Any], message: str) -> None:
    assert parse_results(json.dumps([OWN]), "mine.json") == [OwnResult(**OWN)]
    with pytest.raises(ValueError, match=rf"^mine.json, row 2: .*{message}"):
        parse_results(json.dumps([OWN, OWN | change]), "mine.json")
    rows = [{name: OWN[name] for name in OWN if name != "hardware"}]
    with pytest.raises(ValueError, match=r"row 1: .*hardware"):
        parse_results(json.dumps(rows), "mine.json")
    with pytest.raises(ValueError, match="is not JSON"):
        parse_results("[", "mine.json")


def finished(folder: Path, test: dict[str, float], **options: Any) -> Path:
    """Write the result file of `nasgym train`."""
    folder.mkdir()
    done = {
        "test": test,
        "parameters": 4_201_630,
        "architecture": plain(zoo.NAS_V1 if "data" in options else zoo.NAS_CELL),
        "options": options,
        "recipe": {"epochs": 7},
        "threads": 2,
        "machine": {"processor": "a processor", "gpus": []},
        "command": "nasgym train nas-v1 --epochs 7",
    }
    (folder / "test.json").write_text(json.dumps(done))
    return folder


def test_a_training_is_compared_with_its_table(tmp_path: Path) -> None:
    folder = finished(tmp_path / "a", {"accuracy": 0.9}, data="cifar10", train_size=9000)
    images = trained_result(folder)
    assert (images.table, images.share, images.epochs) == ("cifar10", 0.2, 7)
    assert images.value == pytest.approx(10.0)
    assert images.model.startswith("nas-v1, ") and images.hardware == "a processor, 2 threads"
    folder = finished(tmp_path / "b", {"perplexity": 120.0}, corpus="ptb", train_size=None)
    words = trained_result(folder)
    assert (words.table, words.share, words.value) == ("ptb", 1.0, 120.0)
    folder = finished(tmp_path / "c", {"perplexity": 4.0}, corpus="ptb", unit="characters")
    characters = trained_result(folder)
    assert (characters.table, characters.value) == ("ptb-characters", 2.0)


@pytest.mark.parametrize(
    "options",
    [
        {"data": "digits"},
        {"data": "cifar10", "image_size": 16},
        {"corpus": "ptb", "vocabulary_size": 500},
    ],
)
def test_training_on_other_data_has_no_table(tmp_path: Path, options: dict[str, Any]) -> None:
    folder = finished(tmp_path / "a", {"accuracy": 0.9, "perplexity": 9.0}, **options)
    with pytest.raises(ValueError, match="no table of the paper is about"):
        trained_result(folder)


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "results")
    assert code == 0 and all(table.title in out for table in TABLES.values())
    folder = str(finished(tmp_path / "mine", {"accuracy": 0.9}, data="cifar10", train_size=9000))
    code, out, _ = run(capsys, "results", folder)
    assert code == 0 and TABLES["ptb"].title not in out
    assert "trained here" in out and "10.00" in out
    assert "20 % of the training data, 7 epochs, a processor, 2 threads: nasgym train" in out
    code, out, _ = run(capsys, "results", folder, "--table", "cifar10", "--json")
    (table,) = json.loads(out)
    assert len(table["published"]) == 23 and table["trained_here"][-1]["share"] == 0.2
    for arguments, message in (
        (("--table", "table1"), "none of cifar10"),
        ((str(tmp_path),), "no finished `nasgym train`"),
    ):
        code, _, err = run(capsys, "results", *arguments)
        assert code == 2 and message in err and err.count("\n") == 1
