"""Panels: each figure of a report, from the contents to a chart with its title and its key."""

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate

from nasgym import drawing
from nasgym.analysis.choices import Preference
from nasgym.analysis.pareto import front
from nasgym.archive import Trial
from nasgym.drawing.palette import BLUE, GREEN, GREY, ORANGE, PURPLE, RED, SKY, colours_of
from nasgym.evaluation.evaluation import score
from nasgym.report.charts import Chart, Point, Scale, bars, figure, legend, stack
from nasgym.report.contents import Contents, size
from nasgym.report.figures import WINDOW, drawable, limits, moving_mean, saved
from nasgym.report.markup import Markup, join, tag

MOST_COLUMNS = 50
"""Columns of a histogram."""

REASONS_SHOWN = 6
"""Reasons why children failed: the most frequent."""


def network(best: Trial) -> Markup:
    """Return the drawing of the best child, and the same in words."""
    buffer = io.BytesIO()
    drawn = drawing.figure(drawable(best.architecture))
    drawn.set_facecolor("none")  # the page shines through, light or dark
    saved(drawn, buffer, "svg")
    data = base64.b64encode(buffer.getvalue()).decode()
    words = f"the network of child {best.number}"
    picture = tag("img", src=f"data:image/svg+xml;base64,{data}", alt=words)
    text = tag("pre", drawing.text(drawable(best.architecture)))
    inside = tag("details", tag("summary", "the same in words"), text)
    return join(tag("div", picture, class_="paper"), inside)


# Over time --------------------------------------------------------------------------------------


def rewards(contents: Contents) -> Markup:
    """Return every child's reward, their moving mean, and the best so far."""
    values, trials = contents.rewards, contents.trials
    chart = Chart(_children(len(values)), Scale(*limits(values)))
    trained = [_point(trial) for trial in trials if trial.status == "ok"]
    failed = [_point(trial) for trial in trials if trial.status != "ok"]
    chart.dots(trained, GREY)
    chart.crosses(failed, RED)
    chart.line(_curve(moving_mean(values)), BLUE)
    steps = records(contents.trained)
    if steps:
        held = [*map(_point, steps), (float(len(values)), steps[-1].reward)]
        chart.line(held, ORANGE, steps=True)
        chart.marks(((*_point(trial), _words(trial)) for trial in steps), ORANGE)
    key = [("a child", GREY), (f"mean of the last {WINDOW}", BLUE), ("best so far", ORANGE)]
    if failed:
        key.append(("failed", RED))
    return figure("Reward", chart.svg("rewards over children"), key=legend(key))


def unique(contents: Contents) -> Markup:
    """Return how many different children there were, beside the number proposed."""
    count, different = len(contents.trials), int(contents.unique[-1])
    chart = Chart(_children(count), Scale(0, 1.04 * count))
    chart.line([(1, 1), (count, count)], GREY, dash="4 4")
    chart.line(_curve(contents.unique), BLUE)
    note = f"{different:,} of {count:,} were new."
    if different < count:
        note += " The others had been trained before."
    key = legend([("different children", BLUE), ("if none were repeated", GREY)])
    return figure("Duplicates", chart.svg("different children"), key=key, note=note)


def entropy(contents: Contents) -> Markup:
    """Return how much is still open: of the strings, and of the agent's policy where known."""
    seen, policy = contents.preferences, [(float(n), nats) for n, nats in contents.entropy]
    children = seen.children.tolist()
    strings = list(zip(children, seen.entropy().tolist(), strict=True))
    uniform = list(zip(children, seen.uniform().tolist(), strict=True))
    top = max(nats for _, nats in [*strings, *uniform, *policy])
    chart = Chart(_children(len(contents.trials)), Scale(0, 1.06 * top or 1.0))
    chart.line(uniform, GREY, dash="4 4")
    chart.line(strings, GREEN)
    key = [(f"of the last {seen.width} strings", GREEN), ("if all options were alike", GREY)]
    if policy:
        chart.line(policy, PURPLE)
        key.insert(0, ("of the agent's policy", PURPLE))
    drawn = chart.svg("entropy over children")
    return figure("Entropy, nats a decision", drawn, key=legend(key))


def time(contents: Contents) -> Markup:
    """Return where the seconds of training went, what repeats saved, and what each child took."""
    spent = contents.seconds
    parts = [
        ("networks", spent["trained"], BLUE),
        ("failures", spent["failed"], RED),
        ("saved by repeats", spent["saved"], GREY),
    ]
    parts = [part for part in parts if part[1] > 0]
    key = legend((f"{words} {duration(amount)}", colour) for words, amount, colour in parts)
    took = [trial for trial in contents.trials if not trial.cached and trial.seconds > 0]
    scale = Scale.around([trial.seconds for trial in took], log=True)
    chart = Chart(_children(len(contents.trials)), scale)
    chart.dots([(t.number + 1, t.seconds) for t in took if t.status == "ok"], BLUE)
    chart.crosses([(t.number + 1, t.seconds) for t in took if t.status != "ok"], RED)
    note = "Of all workers together; below, the seconds of each training."
    drawn = join(bars(parts), tag("p", note, class_="note"), chart.svg("seconds over children"))
    return figure("Where the time went", drawn, key=key)


def staleness(contents: Contents) -> Markup:
    """Return how old children were, and updates where there are any, when they came in."""
    drawn = _ages(contents.ages, "trials finished since it was proposed", BLUE)
    figures = [figure("Staleness of a child", drawn)]
    if contents.lags:
        drawn = _ages(contents.lags, "versions made since its parameters were read", PURPLE)
        figures.append(figure("Staleness of an update", drawn))
    return join(*figures)


def _ages(counts: Mapping[int, int], words: str, colour: str) -> Markup:
    total, oldest = sum(counts.values()), max(counts)
    width = oldest // MOST_COLUMNS + 1
    shares: dict[int, float] = {}
    for age, count in counts.items():
        shares[age // width] = shares.get(age // width, 0.0) + count / total
    right = width * (oldest // width + 1) - 0.5
    scale = Scale(0, 1.06 * max(shares.values()))
    chart = Chart(Scale(-0.5, right), scale, xlabel=words, percent=True)
    chart.columns(shares, width, colour)
    mean = sum(age * count for age, count in counts.items()) / total
    note = tag("p", f"{mean:,.1f} on average, {oldest:,} at most.", class_="note")
    return join(chart.svg(f"shares over {words}"), note)


def pareto(contents: Contents) -> Markup:
    """Return how good the children are for their size, and those that none beats."""
    sized = contents.sized
    what = "perplexity" if contents.language else "accuracy"
    title = f"Validation {what} against parameters"
    chart = _sized(sized, language=contents.language)
    chart.dots([_sized_point(trial) for trial in sized], GREY)
    _add_front(chart, sized, ORANGE)
    key = legend([("a child", GREY), ("none is better and as small", ORANGE)])
    return figure(title, chart.svg(f"{what} against parameters"), key=key)


def _sized(trials: Sequence[Trial], *, language: bool) -> Chart:
    sizes = Scale.around((trial.metrics["parameters"] for trial in trials), log=True)
    goodness = Scale.around((_sized_point(trial)[1] for trial in trials), log=language)
    return Chart(sizes, goodness, xlabel="parameters", percent=not language)


def _add_front(chart: Chart, trials: Sequence[Trial], colour: str) -> None:
    best = front(trials)
    points = [_sized_point(trial) for trial in best]
    chart.line([*points, (chart.x.high, points[-1][1])], colour, steps=True)
    marks = zip(points, map(_words, best), strict=True)
    chart.marks(((*point, words) for point, words in marks), colour)


def failures(contents: Contents) -> Markup:
    """Return why children failed: a bar a status, and the last lines of their errors."""
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
        tag("li", f"{count:,} × {status}, the last: ", tag("code", error or "no words"))
        for status, error, count in contents.failures[:REASONS_SHOWN]
    )
    drawn = join(bars(parts), tag("ul", *reasons, class_="reasons"))
    return figure(f"Failures: {failed:,} of {len(contents.trials):,} children", drawn, key=key)


# Decisions --------------------------------------------------------------------------------------


def decisions(contents: Contents) -> Markup:
    """Return what came to be preferred: a strip for each of the decisions that changed most."""
    return tag("div", *map(_strip, contents.preferences.changed), class_="strips")


def _strip(one: Preference) -> Markup:
    colours = colours_of(one.options)
    latest = sorted(zip(one.latest, one.options, colours, strict=True), key=lambda e: -e[0])
    words = [(f"{option} {share:.0%}", colour) for share, option, colour in latest if share > 0]
    drawn = stack(one.shares.tolist(), colours, f"shares of {one.decision}")
    return figure(one.decision, drawn, key=legend(words[:4]))


# Several runs -----------------------------------------------------------------------------------


def best_so_far(runs: Sequence[Contents], colours: Sequence[str]) -> Markup:
    """Return the best reward so far of each run."""
    curves = [list(accumulate(run.rewards.tolist(), max)) for run in runs]
    return _curves("Best reward so far", curves, colours)


def mean_rewards(runs: Sequence[Contents], colours: Sequence[str]) -> Markup:
    """Return the moving mean of each run's rewards."""
    curves = [moving_mean(run.rewards).tolist() for run in runs]
    return _curves(f"Mean reward of the last {WINDOW} children", curves, colours)


def fronts(runs: Sequence[Contents], colours: Sequence[str]) -> Markup:
    """Return the Pareto front of each run; nothing if sizes are not known or all are one."""
    language = {run.language for run in runs}
    if all(len(run.sizes) < 2 for run in runs) or len(language) > 1:
        return Markup()
    shown = [trial for run in runs for trial in front(run.sized)]
    chart = _sized(shown, language=language.pop())
    for run, colour in zip(runs, colours, strict=True):
        if run.sized:
            _add_front(chart, run.sized, colour)
    what = "perplexity" if chart.y.log else "accuracy"
    return figure(f"The best for their size: {what}", chart.svg("Pareto fronts"))


def _curves(title: str, curves: Sequence[Sequence[float]], colours: Sequence[str]) -> Markup:
    """Return curves on a scale that leaves out their first beginnings, which are noise."""
    scale = Scale.around(value for curve in curves for value in curve[len(curve) // 20 :])
    chart = Chart(_children(max(map(len, curves))), scale)
    for curve, colour in zip(curves, colours, strict=True):
        chart.line(_curve(curve), colour)
    return figure(title, chart.svg(title))


# What they share --------------------------------------------------------------------------------


def records(trials: Sequence[Trial]) -> list[Trial]:
    """Return the trials that were better than all before them."""
    kept: list[Trial] = []
    for trial in trials:
        if not kept or trial.reward > kept[-1].reward:
            kept.append(trial)
    return kept


def duration(seconds: float) -> str:
    """Return a length of time in words: 4.2 s, 3 min 05 s, 2 h 10 min."""
    if seconds < 60:
        return f"{seconds:.3g} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600:,} h {whole // 60 % 60:02d} min"


def _children(count: int) -> Scale:
    return Scale(1, max(count, 2))


def _curve(values: Iterable[float]) -> list[Point]:
    return [(float(number), float(value)) for number, value in enumerate(values, start=1)]


def _point(trial: Trial) -> Point:
    return trial.number + 1, trial.reward


def _sized_point(trial: Trial) -> Point:
    goodness = trial.metrics.get("perplexity", trial.accuracy)
    return float(trial.metrics["parameters"]), float(goodness)


def _words(trial: Trial) -> str:
    parameters = size(trial)
    sized = "" if parameters is None else f", {parameters:,} parameters"
    return f"child {trial.number}: reward {trial.reward:.4g}, {score(trial)}{sized}"
