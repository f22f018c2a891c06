"""The report: one self-contained HTML page about runs, and figures for print."""

from collections.abc import Sequence
from pathlib import Path

from nasgym.files import write_atomically
from nasgym.report.contents import Contents, contents
from nasgym.report.figures import choices, compared, staleness, write_figures
from nasgym.report.page import page
from nasgym.report.plotting import write
from nasgym.search.plan import SearchError
from nasgym.search.run import Run


def write_report(runs: Sequence[Run], out: Path, figures: str | None = None) -> list[Path]:
    """Write the page about `runs`, finished or not, to `out`, and return all paths written.

    `figures`, one of `nasgym.report.plotting.FORMATS`, also writes the figures beside the page; the
    figures of several runs go into numbered folders. Raises SearchError if no child of a run is
    finished yet, ArchiveError if nothing was recorded.
    """
    found = [_contents(run) for run in runs]
    out.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(out, page(found))
    return [out, *(_write_figures(found, out.parent, figures) if figures else ())]


def _contents(run: Run) -> Contents:
    found = contents(run)
    if found is None:
        raise SearchError(f"no child of {run.folder} is finished yet")
    return found


def _write_figures(found: Sequence[Contents], home: Path, suffix: str) -> list[Path]:
    if len(found) == 1:
        return _write_figures_of(found[0], home, suffix)
    figure = compared([run.run for run in found])
    paths = [write(figure, home / f"compared.{suffix}")]
    for number, run in enumerate(found, start=1):
        folder = home / f"run-{number}"
        folder.mkdir(exist_ok=True)
        paths += _write_figures_of(run, folder, suffix)
    return paths


def _write_figures_of(run: Contents, folder: Path, suffix: str) -> list[Path]:
    paths = write_figures(folder, run.trials, run.entropy, suffix, run.best)
    figures = {"preferences": choices(run.choices)}
    if run.ages:
        figures["staleness"] = staleness(run.ages, run.lags)
    return [*paths, *(write(one, folder / f"{name}.{suffix}") for name, one in figures.items())]
