"""Run the command line in a test, and check how it reports a mistake."""

from typing import Any

import pytest

from nasgym.commands.main import main


def run(capsys: pytest.CaptureFixture[str], *arguments: Any) -> tuple[int, str, str]:
    """Return exit code, output and errors of `nasgym` with `arguments`."""
    try:
        main(list(map(str, arguments)))
        code = 0
    except SystemExit as stop:
        code = int(stop.code or 0)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def assert_mistake(outcome: tuple[int, str, str], message: str) -> None:
    """Assert that `outcome` of `run` reports a mistake: code 2 and one line with `message`."""
    code, _, err = outcome
    assert code == 2
    assert message in err and err.startswith("nasgym: ") and err.count("\n") == 1
