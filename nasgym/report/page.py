"""The page: one self-contained HTML file about one run, or about several compared."""

import json
from collections.abc import Iterable, Sequence

import numpy as np

from nasgym.archive import Trial
from nasgym.evaluation.evaluation import score
from nasgym.report import panels
from nasgym.report.charts import WINDOW, colours_by_name
from nasgym.report.contents import Contents, size
from nasgym.report.markup import Markup, document, join, tag
from nasgym.report.panels import duration, figure, legend


def page(runs: Sequence[Contents]) -> str:
    """Return the HTML about `runs`, one or more."""
    title = heading(runs[0]) if len(runs) == 1 else f"Comparison of {len(runs)} searches"
    body = [comparison(runs)] if len(runs) > 1 else []
    body += [section(run, number) for number, run in enumerate(runs, start=1)]
    main = tag("main", tag("h1", title), *body)
    footer = tag("footer", "Written by nasgym report from the archive of the run.")
    return document(f"{title} · nasgym", main, footer)


def heading(contents: Contents) -> str:
    """Return the environment and the agent of a run."""
    return f"{contents.run.plan.env} · {contents.run.agent}"


# One run ----------------------------------------------------------------------------------------


def section(contents: Contents, number: int) -> Markup:
    """Return the section about one run."""
    return tag(
        "section",
        tag("h2", f"{number}. {heading(contents)}", class_="run"),
        tiles(contents),
        command(contents),
        tag("h3", "Best networks"),
        tag("div", best(contents), top(contents), class_="found"),
        tag("h3", "Course of the search"),
        tag("div", *panels.progress(contents), class_="charts"),
        tag("h3", "Choices over time"),
        choices(contents),
        tag("h3", "Settings"),
        plan(contents),
        id=f"run-{number}",
    )


def tiles(contents: Contents) -> Markup:
    """Return the most important numbers."""
    trials, budget = len(contents.trials), contents.run.plan.children
    judged, value = ("child", "none") if contents.best is None else score(contents.best).split()
    shown = [
        (f"best {judged}", value),
        ("children", f"{trials:,} of {budget:,}"),
        (f"mean reward, last {min(WINDOW, trials)}", f"{contents.rewards[-WINDOW:].mean():.4g}"),
        ("distinct children", f"{contents.distinct / trials:.0%}"),
        ("failed", f"{trials - len(contents.trained):,}"),
        ("training time", duration(contents.seconds["trained"] + contents.seconds["failed"])),
    ]
    return tag(
        "dl",
        *(tag("div", tag("dt", name), tag("dd", value)) for name, value in shown),
        class_="tiles",
    )


def command(contents: Contents) -> Markup:
    """Return the command that continues the run, with a larger budget if it is spent."""
    words = contents.command
    if len(contents.trials) >= contents.run.plan.children:
        words += f" --children {2 * contents.run.plan.children}"
    return tag("p", "Continue with ", tag("code", words), class_="command")


def best(contents: Contents) -> Markup:
    """Return the best network."""
    if contents.best is None:
        return tag("p", "No child has finished its training yet.", class_="note")
    found = contents.best
    return figure(f"The best network: child {found.number}, {score(found)}", panels.network(found))


def top(contents: Contents) -> Markup:
    """Return the table of the best children."""
    judged = "perplexity" if contents.language else "accuracy"
    rows = [_row(trial, judged) for trial in contents.top]
    heads = ("child", "reward", judged, "parameters", "seconds", "string")
    return figure(f"The best {len(rows)} children", _table(heads, rows)) if rows else Markup()


def choices(contents: Contents) -> Markup:
    """Return how often each option was chosen over time."""
    history = contents.choices
    count, shown = len(history.open), len(history.changed)
    which = "all decisions" if shown == count else f"the {shown} of {count} that changed most"
    words = (
        f"Share of each option among the last {history.width} strings, from the first children on "
        f"the left to the latest on the right, for {which}. Percentages are the latest shares."
    )
    if contents.space is None:
        words += " The space cannot be made here, so decisions are positions in the string."
    rows = [
        (one.decision, str(one.options[int(one.latest.argmax())]), f"{one.latest.max():.0%}")
        for one in history.decisions
    ]
    table = _table(("decision", "most frequent option", "latest share"), rows)
    every = tag("details", tag("summary", f"table of all {len(rows)} decisions"), table)
    return join(tag("p", words, class_="note"), panels.strips(contents), every)


def plan(contents: Contents) -> Markup:
    """Return the table of the run's settings."""
    run = contents.run
    rows = [
        ("folder", str(run.folder)),
        ("environment", run.plan.env),
        ("environment options", _options(run.plan.options)),
        ("agent", run.plan.agent),
        ("agent options", _options(run.plan.agent_options)),
        ("seed", str(run.plan.seed)),
        ("strings proposed", _proposed(contents)),
    ]
    return _table((), rows)


def _proposed(contents: Contents) -> str:
    if contents.ages:
        return "one at a time, as workers become free"
    return f"{contents.run.plan.num_envs} at a time"


# Several runs -----------------------------------------------------------------------------------


def comparison(runs: Sequence[Contents]) -> Markup:
    """Return the section that compares runs: their charts and a table."""
    named = [(_label(run, runs), run) for run in runs]
    environments = {json.dumps(run.run.environment, sort_keys=True) for run in runs}
    different = "The environments differ, so rewards are not comparable."
    return tag(
        "section",
        tag("p", different, class_="warning") if len(environments) > 1 else "",
        legend(colours_by_name(named).items()),
        tag("div", *panels.comparison(named), class_="charts"),
        figure("The runs", _runs_table(runs)),
    )


def _label(run: Contents, runs: Sequence[Contents]) -> str:
    """Return the name of a run: its agent, and its environment if there are several."""
    several = len({other.run.plan.env for other in runs}) > 1
    return heading(run) if several else run.run.agent


def _runs_table(runs: Sequence[Contents]) -> Markup:
    about = ("run", "agent", "seed", "children")
    found = ("best", "best reward", f"mean of the last {WINDOW}")
    heads = (*about, *found, "distinct", "failed", "training time")
    return _table(heads, [_run_row(run, number) for number, run in enumerate(runs, start=1)])


def _run_row(run: Contents, number: int) -> tuple[object, ...]:
    found, trials = run.best, len(run.trials)
    return (
        tag("a", f"{number}. {run.run.folder.name}", href=f"#run-{number}"),
        run.run.agent,
        str(run.run.plan.seed),
        f"{trials:,} of {run.run.plan.children:,}",
        "" if found is None else score(found),
        "" if found is None else f"{found.reward:.4g}",
        f"{np.mean(run.rewards[-WINDOW:]):.4g}",
        f"{run.distinct:,}",
        f"{trials - len(run.trained):,}",
        duration(run.seconds["trained"] + run.seconds["failed"]),
    )


# Tables -----------------------------------------------------------------------------------------


def _row(trial: Trial, judged: str) -> tuple[object, ...]:
    parameters = size(trial)
    return (
        str(trial.number),
        f"{trial.reward:.4g}",
        score(trial).removeprefix(f"{judged} "),
        "" if parameters is None else f"{parameters:,}",
        f"{trial.seconds:.3g}" if trial.seconds < 1000 else f"{trial.seconds:,.0f}",
        tag("code", " ".join(map(str, trial.tokens))),
    )


def _table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> Markup:
    head = tag("thead", tag("tr", *(tag("th", words) for words in heads))) if heads else ""
    body = tag("tbody", *(tag("tr", *(tag("td", cell) for cell in row)) for row in rows))
    return tag("div", tag("table", head, body), class_="scroll")


def _options(options: object) -> str:
    return json.dumps(options) if options else "none"
