"""The map of the paper and the list of faults: every file, test and command they name is there."""

import inspect
import re
from importlib.util import find_spec
from pathlib import Path

import pytest

from nasgym.commands.main import COMMANDS

ROOT = Path(__file__).parents[1]
NAMED = sorted(set(re.findall(r"`([^`]+)`", (ROOT / "docs" / "paper.md").read_text())))
TESTS = [name for name in NAMED if "::" in name]
FILES = [name for name in NAMED if re.fullmatch(r"[\w/.]+\.(py|json|md)", name)]
PROGRAMS = [name for name in NAMED if name.startswith(("nasgym ", "python "))]


def test_whatever_is_named_is_of_a_kind_that_is_checked() -> None:
    assert set(NAMED) == {*TESTS, *FILES, *PROGRAMS}
    assert TESTS and FILES and PROGRAMS


@pytest.mark.parametrize("name", FILES)
def test_files_are_there(name: str) -> None:
    assert (ROOT / name).is_file()


@pytest.mark.parametrize("name", TESTS)
def test_tests_are_there(name: str) -> None:
    file, _, test = name.partition("::")
    assert re.search(rf"^def {test}\(", (ROOT / file).read_text(), re.MULTILINE)


@pytest.mark.parametrize("program", PROGRAMS)
def test_commands_are_there(program: str) -> None:
    words = program.split()
    if words[0] == "nasgym":
        assert words[1] in COMMANDS
        options = [word.removeprefix("--").replace("-", "_") for word in words if "--" in word]
        assert set(options) <= set(inspect.signature(COMMANDS[words[1]]).parameters)
    else:
        assert find_spec(words[2]) is not None


def test_forty_features_are_numbered() -> None:
    lines = (ROOT / "docs" / "paper.md").read_text().splitlines()
    rows = [line.split("|")[1].strip() for line in lines if re.match(r"\| \d+ \|", line)]
    assert rows == [str(number) for number in range(1, 41)]


def test_every_fault_has_its_promise_and_its_test() -> None:
    page = (ROOT / "docs" / "reliability.md").read_text()
    promised = dict(re.findall(r"^\| F(\d+) \|.*`(test_f\d\d_\w+)` \|$", page, re.MULTILINE))
    assert list(promised) == [str(number) for number in range(1, 38)]
    tests = "".join(file.read_text() for file in (ROOT / "tests" / "faults").glob("test_*.py"))
    for number, test in promised.items():
        assert test.startswith(f"test_f{int(number):02d}_") and f"def {test}(" in tests
