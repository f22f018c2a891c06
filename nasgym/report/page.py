"""The page: one self-contained HTML file about one run, or about several beside each other."""

import json
from collections.abc import Iterable, Sequence

import numpy as np

from nasgym.archive import Trial
from nasgym.drawing.palette import series
from nasgym.evaluation.evaluation import score
from nasgym.report import panels
from nasgym.report.charts import figure, legend
from nasgym.report.contents import Contents, size
from nasgym.report.figures import WINDOW
from nasgym.report.markup import Markup, document, join, tag


def page(runs: Sequence[Contents]) -> str:
    """Return the HTML about `runs`, one or more."""
    title = heading(runs[0]) if len(runs) == 1 else f"{len(runs)} searches beside each other"
    body = [comparison(runs)] if len(runs) > 1 else []
    body += [section(run, number) for number, run in enumerate(runs, start=1)]
    main = tag("main", tag("h1", title), *body)
    footer = tag("footer", "Written by nasgym report from the archive of the run.")
    return document(f"{title} · nasgym", main, footer)


def heading(contents: Contents) -> str:
    """Return what a run is in a few words: the environment and the agent."""
    return f"{contents.run.plan.env} · {contents.run.agent}"


# One run ----------------------------------------------------------------------------------------


def section(contents: Contents, number: int) -> Markup:
    """Return all about one run."""
    return tag(
        "section",
        tag("h2", f"{number}. {heading(contents)}", class_="run"),
        tiles(contents),
        command(contents),
        tag("h3", "What it found"),
        tag("div", best(contents), top(contents), class_="found"),
        tag("h3", "How the search went"),
        tag("div", *_charts(contents), class_="charts"),
        tag("h3", "What came to be preferred"),
        preferred(contents),
        tag("h3", "How it was run"),
        plan(contents),
        id=f"run-{number}",
    )


def tiles(contents: Contents) -> Markup:
    """Return the numbers to see first."""
    trials, budget = len(contents.trials), contents.run.plan.children
    judged, value = ("child", "none") if contents.best is None else score(contents.best).split()
    shown = [
        (f"best {judged}", value),
        ("children", f"{trials:,} of {budget:,}"),
        (f"mean reward, last {min(WINDOW, trials)}", f"{contents.rewards[-WINDOW:].mean():.4g}"),
        ("different children", f"{contents.unique[-1] / trials:.0%}"),
        ("failed", f"{trials - len(contents.trained):,}"),
        ("trained for", panels.duration(contents.seconds["trained"] + contents.seconds["failed"])),
    ]
    return tag(
        "dl",
        *(tag("div", tag("dt", name), tag("dd", value)) for name, value in shown),
        class_="tiles",
    )


def command(contents: Contents) -> Markup:
    """Return the command that goes on with the run."""
    left = contents.run.plan.children - len(contents.trials)
    goes_on = contents.command
    if left <= 0:
        goes_on += f" --children {2 * contents.run.plan.children}"
    return tag("p", "go on with ", tag("code", goes_on), class_="command")


def best(contents: Contents) -> Markup:
    """Return the best network."""
    if contents.best is None:
        return tag("p", "No child trained to its end yet.", class_="note")
    found = contents.best
    return figure(f"The best network: child {found.number}, {score(found)}", panels.network(found))


def top(contents: Contents) -> Markup:
    """Return the table of the best children."""
    judged = "perplexity" if contents.language else "accuracy"
    rows = [_row(trial, judged) for trial in contents.top]
    heads = ("child", "reward", judged, "parameters", "seconds", "string")
    return figure(f"The best {len(rows)} children", _table(heads, rows)) if rows else Markup()


def preferred(contents: Contents) -> Markup:
    """Return which options were chosen as the search went on."""
    seen = contents.preferences
    count, shown = len(seen.open), len(seen.changed)
    which = "every decision" if shown == count else f"the {shown} of {count} that changed most"
    words = (
        f"The share of each option among the last {seen.width} strings, from the first children on "
        f"the left to the latest on the right: {which}. The figures are the shares of late."
    )
    if contents.space is None:
        words += " The space cannot be made here, so that decisions are places in the string."
    rows = [
        (one.decision, str(one.options[int(one.latest.argmax())]), f"{one.latest.max():.0%}")
        for one in seen.decisions
    ]
    table = _table(("decision", "most often, of late", "share"), rows)
    every = tag("details", tag("summary", f"all {len(rows)} decisions in a table"), table)
    return join(tag("p", words, class_="note"), panels.decisions(contents), every)


def plan(contents: Contents) -> Markup:
    """Return the plan of the run."""
    run = contents.run
    rows = [
        ("folder", str(run.folder)),
        ("environment", run.plan.env),
        ("its options", _options(run.plan.options)),
        ("agent", run.plan.agent),
        ("its options", _options(run.plan.agent_options)),
        ("seed", str(run.plan.seed)),
        ("strings proposed", _proposed(contents)),
    ]
    return _table((), rows)


def _proposed(contents: Contents) -> str:
    if contents.ages:
        return "as soon as workers are free, without waves"
    return f"{contents.run.plan.num_envs} at a time"


def _charts(contents: Contents) -> Iterable[Markup]:
    yield panels.rewards(contents)
    if len(contents.sizes) > 1:
        yield panels.pareto(contents)
    yield panels.unique(contents)
    yield panels.entropy(contents)
    if contents.ages:
        yield panels.staleness(contents)
    if any(contents.seconds.values()):
        yield panels.time(contents)
    if contents.failures:
        yield panels.failures(contents)


# Several runs -----------------------------------------------------------------------------------


def comparison(runs: Sequence[Contents]) -> Markup:
    """Return the runs beside each other: their curves and a table."""
    labels = list(dict.fromkeys(_label(run, runs) for run in runs))
    colour = dict(zip(labels, series(len(labels)), strict=True))
    colours = [colour[_label(run, runs)] for run in runs]
    environments = {json.dumps(run.run.environment, sort_keys=True) for run in runs}
    different = "These are different environments: their rewards do not compare."
    charts = [
        panels.best_so_far(runs, colours),
        panels.mean_rewards(runs, colours),
        panels.fronts(runs, colours),
    ]
    return tag(
        "section",
        tag("p", different, class_="warning") if len(environments) > 1 else "",
        legend(colour.items()),
        tag("div", *charts, class_="charts"),
        figure("The runs", _runs_table(runs)),
    )


def _label(run: Contents, runs: Sequence[Contents]) -> str:
    """Return what a colour stands for: the agent, and the environment where there are several."""
    several = len({other.run.plan.env for other in runs}) > 1
    return heading(run) if several else run.run.agent


def _runs_table(runs: Sequence[Contents]) -> Markup:
    about = ("run", "agent", "seed", "children")
    found = ("best", "best reward", f"mean of the last {WINDOW}")
    heads = (*about, *found, "different", "failed", "trained for")
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
        f"{run.unique[-1]:,}",
        f"{trials - len(run.trained):,}",
        panels.duration(run.seconds["trained"] + run.seconds["failed"]),
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
