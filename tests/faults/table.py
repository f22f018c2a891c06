"""The table of the fault suite: a row a test, whether it passed or not."""

import os
import platform
import sqlite3
from collections.abc import Generator
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import pytest

SEEN = pytest.StashKey[list[tuple[int, str]]]()
SECONDS = pytest.StashKey[float]()
ROWS = pytest.StashKey["list[Row]"]()


class Seen(Protocol):
    """What the fixture `seen` gives: a test tells it what it saw, once or more."""

    def __call__(self, count: int, result: str) -> None:
        """Note how many faults were injected and, in a few words, what came of them."""
        ...


@dataclass(frozen=True)
class Row:
    """What became of one test."""

    fault: str
    test: str
    injected: str
    count: int
    result: str
    seconds: float

    def cells(self) -> str:
        texts = (self.fault, f"`{self.test}`", self.injected, f"{self.count:,}", self.result)
        return " | ".join(text.replace("|", "\\|").replace("\n", " ") for text in texts)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.getgroup("faults").addoption(
        "--faults-table", type=Path, metavar="PATH", help="write the table of all faults there"
    )


def pytest_configure(config: pytest.Config) -> None:
    config.stash[ROWS] = []


@pytest.fixture
def seen(request: pytest.FixtureRequest) -> Seen:
    told = request.node.stash.setdefault(SEEN, [])

    def seen(count: int, result: str) -> None:
        told.append((count, result))

    return seen


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[Any]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    mark = item.get_closest_marker("fault")
    if mark is None:
        return report
    seconds = item.stash.setdefault(SECONDS, 0.0) + report.duration
    item.stash[SECONDS] = seconds
    if report.failed:
        seed = item.config.getoption("fault_seed")
        report.sections.append(("Seed of the faults", f"again with: --fault-seed {seed}"))
    if report.when == "call" or not report.passed:
        told = item.stash.get(SEEN, [])
        result = {
            "passed": "; ".join(words for _, words in told) or "as promised",
            "skipped": f"skipped: {_reason(report)}",
            "failed": f"**FAILED** in {report.when}: {_reason(report)}",
        }[report.outcome]
        fault, injected = mark.args
        count = sum(count for count, _ in told) or int(report.passed)
        rows = item.config.stash[ROWS]
        rows.append(Row(fault, item.name, injected, count, result, seconds))
    return report


def _reason(report: pytest.TestReport) -> str:
    if isinstance(report.longrepr, tuple):
        return report.longrepr[2].removeprefix("Skipped: ")
    crash = getattr(report.longrepr, "reprcrash", None)
    lines = str(crash.message if crash else report.longrepr).strip().splitlines()
    return lines[0][:200] if lines else ""


def pytest_sessionfinish(session: pytest.Session) -> None:
    path: Path | None = session.config.getoption("faults_table")
    if path is not None:
        path.write_text(text(session.config.stash[ROWS], session.config), encoding="utf-8")


def text(rows: list[Row], config: pytest.Config) -> str:
    """Return the page: the machine, then the rows by number of the fault."""
    tier = "full" if config.getoption("full_faults") else "short"
    failed = sum(row.result.startswith("**") for row in rows)
    skipped = sum(row.result.startswith("skipped") for row in rows)
    lines = [
        "# The faults, as they came",
        "",
        f"Made by `{'make faults' if tier == 'full' else 'pytest tests/faults'}`: the {tier} tier, "
        f"seed {config.getoption('fault_seed')}, {datetime.now(UTC):%Y-%m-%d}, {machine()}. "
        f"{len(rows) - failed - skipped} tests passed, {failed} failed, {skipped} were skipped, in "
        f"{sum(row.seconds for row in rows) / 60:.1f} minutes.",
        "",
        "| fault | test | injected | n | result | seconds |",
        "|---|---|---|---:|---|---:|",
    ]
    in_order = sorted(rows, key=lambda row: int(row.fault.removeprefix("F")))
    lines += [f"| {row.cells()} | {row.seconds:.1f} |" for row in in_order]
    return "\n".join(lines) + "\n"


def machine() -> str:
    """Return what the tests ran on, in words."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{os.cpu_count()} cores ({processor()}), {memory:.0f} GiB, {platform.system()} "
        f"{platform.release().split('-')[0]}, Python {platform.python_version()}, "
        f"torch {version('torch')}, SQLite {sqlite3.sqlite_version}"
    )


def processor() -> str:
    """Return the name of the processor."""
    listed = Path("/proc/cpuinfo")
    lines = listed.read_text().splitlines() if listed.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
