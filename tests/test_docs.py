"""The documentation is true: every file, name, test, command and option that it names exists."""

import re
import shlex
from collections.abc import Iterable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from nasgym.agents import load
from nasgym.benchmarks.leaderboard.naming import parse_name
from nasgym.benchmarks.leaderboard.tasks import task_named
from nasgym.commands.flags import parse
from nasgym.commands.leaderboard import LeaderboardCommand
from nasgym.commands.main import COMMANDS
from nasgym.commands.search import Search
from nasgym.commands.train import Train
from nasgym.environments.options import ImageOptions, TextOptions
from nasgym.environments.registry import problem
from nasgym.options import check_options, parse_options, types_of
from tests.test_layout import FLOORS

ROOT = Path(__file__).parents[1]
TEXTS = {
    str(path.relative_to(ROOT)): path.read_text()
    for path in (
        *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "LEADERBOARD.md")),
        *sorted((ROOT / "docs").rglob("*.md")),
    )
}
TESTS = {
    str(path.relative_to(ROOT / "tests")): path.read_text()
    for path in (ROOT / "tests").rglob("test_*.py")
}
TARGETS = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))

each_page = pytest.mark.parametrize("page", TEXTS)


def fences(page: str) -> list[str]:
    """Return the lines of the fenced code that is for a shell."""
    blocks = re.findall(r"^```\n(.*?)^```", TEXTS[page], re.DOTALL | re.MULTILINE)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [re.sub(r"\s# .*", "", line).strip() for line in lines]


def spans(page: str) -> list[str]:
    """Return the inline code, each span as one line."""
    text = re.sub(r"^```.*?^```", "", TEXTS[page], flags=re.DOTALL | re.MULTILINE)
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", text)]


def commands(page: str) -> list[list[str]]:
    """Return the words of all commands, without variables before them and redirections after."""
    lines = (part.strip() for line in (*fences(page), *spans(page)) for part in line.split("&&"))
    found = (re.sub(r"^(\w+=\S+ )+", "", line) for line in lines)
    starts = ("nasgym ", "python -m ", "make ")
    return [shlex.split(re.sub(r" [>&].*", "", line)) for line in found if line.startswith(starts)]


@each_page
def test_links_lead_to_files(page: str) -> None:
    links = re.findall(r"\]\(([^)#]+)", TEXTS[page])
    paths = [link for link in links if not link.startswith("http")]
    assert not [path for path in paths if not (ROOT / page).parent.joinpath(path).exists()]


@each_page
def test_files_are_there(page: str) -> None:
    ours = re.compile(r"(nasgym|agents|benchmarks|tests|docs)/[\w./-]*")
    assert not [name for name in spans(page) if ours.fullmatch(name) and not (ROOT / name).exists()]


@each_page
def test_tests_are_there(page: str) -> None:
    for name in spans(page):
        file, _, test = name.removeprefix("tests/").rpartition("::")
        if re.fullmatch(r"test_\w+\.py", test):
            assert any(path.endswith(test) for path in TESTS), name
        elif re.fullmatch(r"test_[a-z]\w+", test):
            texts = [text for path, text in TESTS.items() if path.endswith(file)]
            assert any(f"\ndef {test}(" in text for text in texts), name


@each_page
def test_names_can_be_imported(page: str) -> None:
    for name in spans(page):
        if match := re.match(r"nasgym(\.[A-Za-z_]\w*)+", name):
            resolve(match[0])


@each_page
def test_commands_can_be_run(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "docs" / "examples")
    for words in commands(page):
        match words:
            case ["make", target, *_]:
                assert target in TARGETS, words
            case ["python", "-m", module, *_] if module.startswith("nasgym"):
                assert find_spec(module) is not None, words
            case ["nasgym", "--help"] | ["nasgym", _, "--help"]:
                assert words[1] in ("--help", *COMMANDS), words
            case ["nasgym", "archive", action]:
                assert action in ("check", "merge", "export"), words
            case ["nasgym", command, *arguments]:
                assert command in COMMANDS, words
                if arguments:
                    check_command([command, *arguments])


def resolve(name: str) -> Any:
    """Import what a dotted name names."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found: Any = import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for part in parts[length:]:
            found = getattr(found, part)
        return found
    raise ModuleNotFoundError(name)


def check_command(arguments: list[str]) -> None:
    """Parse a command line as `nasgym` does, with the options in it; run nothing."""
    command = parse(COMMANDS, arguments)
    match command:
        case Search(env=None):
            check_data_options(command.set)
            check_agent(command.agent or "reinforce", parse_options(command.agent_set))
        case Search(env=str(env)):
            problem(env, parse_options(command.set))
            check_agent(command.agent or "reinforce", parse_options(command.agent_set))
        case Train():
            check_data_options(command.set)
        case LeaderboardCommand():
            for task in command.tasks:
                task_named(task)
            for agent in command.agents:
                check_agent(*parse_name(agent))


def check_data_options(pairs: Iterable[Any]) -> None:
    """Raise InvalidInput for an option that neither images nor text have."""
    check_options(parse_options(pairs), {**TextOptions.types(), **ImageOptions.types()})


def check_agent(name: str, options: Any) -> None:
    """Raise InvalidInput for an agent that does not exist, or an option that it lacks."""
    check_options(options, types_of(load(name)), name)


def test_the_map_of_the_paper_names_files_tests_and_commands_only() -> None:
    for name in spans("docs/paper.md"):
        assert re.fullmatch(r"[\w/.]+\.(py|json|md)(::\w+)?|(nasgym|python -m) .*", name), name


def test_forty_features_are_numbered() -> None:
    numbers = re.findall(r"^\| (\d+) \|", TEXTS["docs/paper.md"], re.MULTILINE)
    assert numbers == [str(number) for number in range(1, 41)]


def test_every_fault_has_its_promise_and_its_test() -> None:
    page = TEXTS["docs/reliability.md"]
    promised = dict(re.findall(r"^\| F(\d+) \|.*`(test_f\d\d_\w+)` \|$", page, re.MULTILINE))
    assert list(promised) == [str(number) for number in range(1, 38)]
    for number, test in promised.items():
        assert test.startswith(f"test_f{int(number):02d}_")


def test_folders_are_described_in_the_order_of_their_imports() -> None:
    table, *_ = TEXTS["CONTRIBUTING.md"].split("\n### ")
    described = re.findall(r"^\| `(?:nasgym/)?(\w+)(?:/|\.py)` \|", table, re.MULTILINE)
    floor = {name: number for number, names in enumerate(FLOORS) for name in names}
    assert sorted(described) == sorted(floor)
    assert [floor[name] for name in described] == sorted(floor.values())


def test_all_files_of_the_larger_folders_are_described() -> None:
    _, *parts = re.split("^##+ ", TEXTS["CONTRIBUTING.md"], flags=re.MULTILINE)
    tables = {part.partition("\n")[0]: part for part in parts if part.startswith("`")}
    assert len(tables) > 10
    for heading, text in tables.items():
        described = re.findall(r"`(\w+\.py)`", text.split("\n\n`")[0])
        for folder in re.findall("`(.*?)/`", heading):
            files = {path.name for path in (ROOT / folder).glob("*.py")} - {"__init__.py"}
            assert sorted(described) == sorted(files), folder
