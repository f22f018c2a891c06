"""`nasgym report`: a page about runs, to look at in a browser."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from nasgym.commands.terminal import say
from nasgym.search.plan import SearchError
from nasgym.search.run import Run


@dataclass(frozen=True)
class Report:
    """Write one HTML page about a run, or about several beside each other.

    It needs no network and nothing but itself. A run may still be under way.
    """

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Folders of runs."""
    out: Path | None = None
    """The page. [report.html in the folder of the run, or here if there are several]"""
    figures: str | None = None
    """Write the figures beside the page too, for print: as pdf, svg or png."""

    def main(self) -> None:
        """Write the page and the figures, and say where they are."""
        from nasgym.report import write_report
        from nasgym.report.figures import FORMATS

        if not self.runs:
            raise SearchError("name the folder of a run, or of several")
        if self.figures not in (None, *FORMATS):
            raise ValueError(f"figures {self.figures!r} is none of {', '.join(FORMATS)}")
        home = self.runs[0] if len(self.runs) == 1 else Path()
        runs = [Run(folder) for folder in self.runs]
        for path in write_report(runs, self.out or home / "report.html", self.figures):
            say(str(path))
