"""The marker `fault` and the two tiers: the short one runs with all tests, the full one alone."""

import os
from typing import Protocol, TypeVar

import pytest

LONGEST = 1500
"""Seconds a test may take in the full tier."""

Size = TypeVar("Size")


class Scale(Protocol):
    """What the fixture `scale` gives: the size of a test in the tier that runs."""

    def __call__(self, short: Size, full: Size) -> Size:
        """Return `short` in the short tier, `full` in the full one."""
        ...


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("faults")
    group.addoption(
        "--full-faults",
        action="store_true",
        default=os.environ.get("NASGYM_FAULTS") == "full",
        help="inject as many faults as docs/reliability.md tells of, not a few of each kind",
    )
    group.addoption("--fault-seed", type=int, default=0, help="seed of what is injected [0]")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    full = config.getoption("full_faults")
    for item in items:
        mark = item.get_closest_marker("fault")
        if mark is None:
            continue
        if full:
            item.add_marker(pytest.mark.timeout(LONGEST))
        elif mark.kwargs.get("full"):
            item.add_marker(pytest.mark.skip(reason="in the full tier only: make faults"))


@pytest.fixture(scope="session")
def scale(pytestconfig: pytest.Config) -> Scale:
    def scale(short: Size, full: Size) -> Size:
        return full if pytestconfig.getoption("full_faults") else short

    return scale


@pytest.fixture(scope="session")
def seed(pytestconfig: pytest.Config) -> int:
    """The seed of all faults; a report of a failure tells it."""
    return int(pytestconfig.getoption("fault_seed"))
