"""Panels of the page: each a chart with its title, its legend and a note."""

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from functools import partial

from matplotlib.figure import Figure

from nasgym import drawing
from nasgym.analysis.choices import DecisionHistory
from nasgym.archive import Trial
from nasgym.drawing.palette import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, SKY, colours_of
from nasgym.report import charts
from nasgym.report.charts import Named
from nasgym.report.contents import Contents
from nasgym.report.markup import Markup, join, tag
from nasgym.report.plotting import Chart, inline_svg, on_page, save, styled

REASONS_SHOWN = 6
"""Maximum number of reasons of failures, the most frequent first."""

CHART_SIZE, STRIP_SIZE = (4.2, 2.5), (2.2, 0.6)
"""Width and height of a chart, and of the strip of a decision, in inches."""


def network(best: Trial) -> Markup:
    """Return the drawing of the best child, as a picture and as text."""
    buffer = io.BytesIO()
    architecture = drawing.drawable(best.architecture)
    drawn = drawing.figure(architecture)
    drawn.set_facecolor("none")  # shows the background of the page
    save(drawn, buffer, "svg")
    data = base64.b64encode(buffer.getvalue()).decode()
    alt = f"the network of child {best.number}"
    picture = tag("img", src=f"data:image/svg+xml;base64,{data}", alt=alt)
    text = tag("details", tag("summary", "as text"), tag("pre", drawing.text(architecture)))
    return join(tag("div", picture, class_="paper"), text)


# One run ----------------------------------------------------------------------------------------


def progress(contents: Contents) -> Iterable[Markup]:
    """Yield the charts about the course of a search."""
    trials = contents.trials
    yield _panel(partial(charts.rewards, trials=trials))
    if len(contents.sizes) > 1:
        yield _panel(partial(charts.pareto, trials=contents.sized))
    new = f"{contents.distinct:,} of {len(trials):,} children were new; repeats are not trained."
    yield _panel(partial(charts.repeats, trials=trials), note=new)
    yield _panel(partial(charts.entropy, policy=contents.entropy, choices=contents.choices))
    if contents.ages:
        drawn = partial(charts.staleness_of_children, ages=contents.ages)
        yield _panel(drawn, note=_mean_and_maximum(contents.ages))
    if contents.lags:
        drawn = partial(charts.staleness_of_updates, lags=contents.lags)
        yield _panel(drawn, note=_mean_and_maximum(contents.lags))
    if any(contents.seconds.values()):
        yield _time(contents)
    if contents.failures:
        yield _failures(contents)


def _mean_and_maximum(counts: Mapping[int, int]) -> str:
    mean = sum(age * count for age, count in counts.items()) / sum(counts.values())
    return f"Mean {mean:,.1f}, maximum {max(counts):,}."


def _time(contents: Contents) -> Markup:
    """Return the total training time by outcome, and the time of each training."""
    spent = contents.seconds
    parts = [
        ("trained", spent["trained"], BLUE),
        ("failed", spent["failed"], RED),
        ("saved by repeats", spent["saved"], GREY),
    ]
    parts = [part for part in parts if part[1] > 0]
    took = [trial for trial in contents.trials if not trial.cached and trial.seconds > 0]
    chart = partial(charts.seconds, trials=took, count=len(contents.trials))
    title, _, drawn = _draw(chart) if took else ("Training time", (), Markup())
    key = legend((f"{words} {duration(amount)}", colour) for words, amount, colour in parts)
    return figure(title, join(bars(parts), drawn), key=key, note="Sums of all workers.")


def _failures(contents: Contents) -> Markup:
    """Return why children failed: a bar of the statuses, and the last lines of their errors."""
    failed = sum(count for _, _, count in contents.failures)
    statuses: dict[str, int] = {}
    for status, _, count in contents.failures:
        statuses[status] = statuses.get(status, 0) + count
    colours = [RED, ORANGE, PURPLE, GREEN, SKY, GREY]
    parts = [
        (status, float(count), colour)
        for (status, count), colour in zip(statuses.items(), colours, strict=False)
    ]
    key = legend((f"{status} {count:,.0f}", colour) for status, count, colour in parts)
    reasons = (
        tag("li", f"{count:,} × {status}, the last: ", tag("code", error or "no message"))
        for status, error, count in contents.failures[:REASONS_SHOWN]
    )
    drawn = join(bars(parts), tag("ul", *reasons, class_="reasons"))
    return figure(f"Failures: {failed:,} of {len(contents.trials):,} children", drawn, key=key)


@styled
@on_page
def strips(contents: Contents) -> Markup:
    """Return a strip for each of the decisions whose choices changed most."""
    drawn = Figure(figsize=STRIP_SIZE)
    axes = drawn.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    panels = []
    for decision in contents.choices.changed:
        charts.shares(axes, decision, contents.choices.children)
        svg = inline_svg(drawn, f"shares of {decision.decision}")
        panels.append(figure(decision.decision, svg, key=_latest_shares(decision)))
        for band in list(axes.collections):  # axes are costly to make, so all strips share them
            band.remove()
    return tag("div", *panels, class_="strips")


def _latest_shares(decision: DecisionHistory) -> Markup:
    """Return a legend of the four largest latest shares."""
    colours = colours_of(decision.options)
    latest = zip(decision.latest, decision.options, colours, strict=True)
    largest = sorted(latest, key=lambda entry: -entry[0])[:4]
    return legend((f"{option} {share:.0%}", colour) for share, option, colour in largest if share)


# Several runs -----------------------------------------------------------------------------------


def comparison(runs: Sequence[tuple[str, Contents]]) -> Iterable[Markup]:
    """Yield the charts of named runs, which share one legend."""
    named: Named = [(name, run.trials) for name, run in runs]
    yield _panel(partial(charts.best_rewards, runs=named), key=False)
    yield _panel(partial(charts.mean_rewards, runs=named), key=False)
    several_sizes = any(len(run.sizes) > 1 for _, run in runs)
    if several_sizes and len({run.language for _, run in runs}) == 1:
        sized: Named = [(name, run.sized) for name, run in runs]
        yield _panel(partial(charts.fronts, runs=sized), key=False)


# Elements ---------------------------------------------------------------------------------------


def _panel(chart: Chart, *, key: bool = True, note: str = "") -> Markup:
    title, entries, drawn = _draw(chart)
    return figure(title, drawn, key=legend(entries) if key and entries else None, note=note)


@styled
@on_page
def _draw(chart: Chart) -> tuple[str, list[tuple[str, str]], Markup]:
    """Return the title of a chart, the entries of its legend, and the drawing without both."""
    drawn = Figure(figsize=CHART_SIZE, layout="constrained")
    axes = drawn.subplots()
    chart(axes)
    title = axes.get_title(loc="left")
    axes.set_title("")
    named = [line for line in axes.lines if not str(line.get_label()).startswith("_")]
    entries = [(str(line.get_label()), str(line.get_color())) for line in named]
    return title, entries, inline_svg(drawn, title)


def figure(title: str, drawn: Markup, *, key: Markup | None = None, note: str = "") -> Markup:
    """Return a drawing with its title, its legend, and a note below."""
    caption = tag("figcaption", tag("b", title), key or "")
    below = tag("p", note, class_="note") if note else ""
    return tag("figure", join(caption, drawn, below))


def legend(entries: Iterable[tuple[str, str]]) -> Markup:
    """Return a legend from (words, colour)."""
    return tag(
        "div",
        *(tag("span", tag("i", style=f"background:{colour}"), words) for words, colour in entries),
        class_="legend",
    )


def bars(parts: Sequence[tuple[str, float, str]]) -> Markup:
    """Return one bar of parts (words, amount, colour), each as long as its amount."""
    total = sum(amount for _, amount, _ in parts) or 1.0
    return tag(
        "div",
        *(
            tag("span", style=f"width:{100 * amount / total:.2f}%;background:{colour}", title=words)
            for words, amount, colour in parts
            if amount > 0
        ),
        class_="bar",
    )


def duration(seconds: float) -> str:
    """Return a duration in words: 4.2 s, 3 min 05 s, 2 h 10 min."""
    if seconds < 60:
        return f"{seconds:.3g} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600:,} h {whole // 60 % 60:02d} min"
