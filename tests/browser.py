"""A browser for tests of pages: headless Chromium, if installed."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")

needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")

OFFLINE = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-logging=stderr",
    "--v=0",
)


@dataclass(frozen=True)
class Opened:
    """A page loaded in a browser."""

    dom: str
    """The document after loading."""
    console: list[str]
    """Messages of the console, including refused and missing resources."""


def open_page(path: Path, profile: Path) -> Opened:
    """Open the page at `path`; `profile` is an empty folder."""
    options = [*OFFLINE, f"--user-data-dir={profile}"]
    done = subprocess.run(
        [str(CHROMIUM), *options, "--dump-dom", path.absolute().as_uri()],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return Opened(done.stdout, console)
