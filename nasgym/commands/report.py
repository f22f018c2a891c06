"""`nasgym report`: an HTML page about runs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from nasgym.commands.console import say
from nasgym.commands.flags import default
from nasgym.errors import InvalidInput
from nasgym.search.plan import SearchError
from nasgym.search.run import Run


@dataclass(frozen=True)
class Report:
    """Write an HTML page about one or several runs, finished or not.

    The page is a single file and needs no network.
    """

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Folders of runs."""
    out: Annotated[
        Path | None, default("report.html in the folder of one run, or here for several")
    ] = None
    """File of the page."""
    figures: str | None = None
    """Also write the figures beside the page: pdf, svg or png."""

    def main(self) -> None:
        """Write the page and the figures, and print their paths."""
        from nasgym.report import write_report
        from nasgym.report.plotting import FORMATS

        if not self.runs:
            raise SearchError("name the folder of a run, or of several")
        if self.figures not in (None, *FORMATS):
            raise InvalidInput(f"figures {self.figures!r} is none of {', '.join(FORMATS)}")
        home = self.runs[0] if len(self.runs) == 1 else Path()
        runs = [Run(folder) for folder in self.runs]
        for path in write_report(runs, self.out or home / "report.html", self.figures):
            say(str(path))
