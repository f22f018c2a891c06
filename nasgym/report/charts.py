"""Charts: small drawings in SVG, readable on a phone, that take light and dark from the page."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from math import ceil, floor, isfinite, log10

import numpy as np

from nasgym.report.markup import Markup, join, tag

WIDTH, HEIGHT = 400, 232
LEFT, RIGHT, TOP, BOTTOM = 50, 14, 10, 34
"""Room for the labels around the plot."""

MOST_POINTS = 400
"""Points of a line: more of them cannot be told apart."""

FEW_POINTS = 200
"""Up to here a dot has room to be larger."""

MANY_POINTS = 20_000
"""From here on dots are put on whole pixels, of which there are some ten thousands."""

Point = tuple[float, float]


@dataclass(frozen=True)
class Scale:
    """From values to places along an axis."""

    low: float
    """The value at its beginning."""
    high: float
    """The value at its end, greater than `low`."""
    log: bool = False
    """Whether equal ratios, instead of equal differences, have equal lengths; `low` is positive."""

    @classmethod
    def around(cls, values: Iterable[float], *, log: bool = False, margin: float = 0.06) -> "Scale":
        """Return a scale for all `values` that it can show, with a margin."""
        finite = [value for value in values if isfinite(value) and (value > 0 or not log)] or [1.0]
        low, high = min(finite), max(finite)
        if log:
            factor = max((high / low) ** margin, 1.1)
            return cls(low / factor, high * factor, log=True)
        room = margin * (high - low) or 0.05 * abs(high) or 1.0
        return cls(low - room, high + room)

    def share(self, value: float) -> float:
        """Return where `value` lies: 0 at the beginning, 1 at the end, never outside."""
        if self.log:
            part = log10(max(value, self.low) / self.low) / log10(self.high / self.low)
        else:
            part = (value - self.low) / (self.high - self.low)
        return min(max(part, 0.0), 1.0)

    def ticks(self) -> list[float]:
        """Return a few round values on the scale."""
        if self.high > 4 * self.low and self.log:
            decades = range(floor(log10(self.low)), ceil(log10(self.high)) + 1)
            steps = (1, 2, 5) if self.high < 200 * self.low else (1,)
            found = [step * 10.0**decade for decade in decades for step in steps]
            return [value for value in found if self.low <= value <= self.high]
        step = round_step((self.high - self.low) / 5)
        first, last = ceil(self.low / step), floor(self.high / step)
        return [number * step for number in range(first, last + 1)]


def round_step(least: float) -> float:
    """Return the smallest of 1, 2 or 5 times a power of ten that is no smaller than `least`."""
    decade = 10.0 ** floor(log10(least))
    return decade * next(step for step in (1, 2, 5, 10) if step * decade >= 0.999 * least)


def short(value: float) -> str:
    """Return a number in few letters: 0.25, 120, 45k, 1.2M."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size * 0.9999 and abs(value) >= 1e4:
            return f"{value / size:.3g}{letter}"
    return f"{value:.4g}"


@dataclass
class Chart:
    """A chart under construction: layers are drawn in the order they are added."""

    x: Scale
    """The horizontal axis."""
    y: Scale
    """The vertical axis."""
    xlabel: str = "children"
    """What the horizontal axis counts."""
    percent: bool = False
    """Whether the vertical axis is labelled in per cent."""
    _layers: list[Markup] = field(default_factory=list)

    def dots(self, points: Iterable[Point], colour: str) -> None:
        """Add a dot for each point; those that fall on one another become one."""
        places = self._places(points)
        size = 4.5 if len(places) < FEW_POINTS else 3.0
        path = "".join(sorted(f"M{x:g} {y:g}h0" for x, y in places))
        self._add(tag("path", d=path, stroke=colour, stroke_width=size, class_="dots"))

    def crosses(self, points: Iterable[Point], colour: str) -> None:
        """Add a small cross for each point."""
        places = sorted(self._places(points))
        path = "".join(f"M{x - 3:g} {y - 3:g}l6 6m0 -6l-6 6" for x, y in places)
        self._add(tag("path", d=path, stroke=colour, class_="line"))

    def _places(self, points: Iterable[Point]) -> set[Point]:
        """Return where points lie, those that cannot be told apart as one."""
        found = {(round(x, 1), round(y, 1)) for x, y in map(self._place, _finite(points))}
        return found if len(found) < MANY_POINTS else {(round(x), round(y)) for x, y in found}

    def columns(self, heights: Mapping[int, float], width: int, colour: str) -> None:
        """Add columns: number n is for the `width` whole numbers from n times `width` on."""
        path = ""
        for number, height in sorted(heights.items()):
            left, top = self._place((number * width - 0.5, height))
            right, bottom = self._place(((number + 1) * width - 0.5, self.y.low))
            path += f"M{left + 0.3:.1f} {bottom:g}V{top:.1f}H{right - 0.3:.1f}V{bottom:g}z"
        self._add(tag("path", d=path, fill=colour))

    def line(
        self, points: Sequence[Point], colour: str, *, steps: bool = False, dash: str | None = None
    ) -> None:
        """Add a line through `points`, or one that holds each value until the next point."""
        kept = _thinned(_finite(points))
        if steps:
            kept = [kept[0], *(p for a, b in pairwise(kept) for p in ((b[0], a[1]), b))]
        places = (f"{x:.1f} {y:.1f}" for x, y in map(self._place, kept))
        path = "M" + "L".join(places)
        self._add(tag("path", d=path, stroke=colour, stroke_dasharray=dash, class_="line"))

    def marks(self, points: Iterable[tuple[float, float, str]], colour: str) -> None:
        """Add a circle for each point, which says its words when pointed at."""
        for x, y, words in points:
            left, top = self._place((x, y))
            title = tag("title", words)
            circle = {"cx": f"{left:.1f}", "cy": f"{top:.1f}", "r": 4.2, "fill": colour}
            self._add(tag("circle", title, class_="mark", **circle))

    def svg(self, words: str) -> Markup:
        """Return the chart; `words` say what is on it to those who cannot see it."""
        view = f"0 0 {WIDTH} {HEIGHT}"
        content = (*self._axes(), *self._layers)
        return tag("svg", *content, viewBox=view, role="img", aria_label=words)

    def _add(self, layer: Markup) -> None:
        self._layers.append(layer)

    def _place(self, point: Point) -> Point:
        x = LEFT + self.x.share(point[0]) * (WIDTH - LEFT - RIGHT)
        return x, HEIGHT - BOTTOM - self.y.share(point[1]) * (HEIGHT - TOP - BOTTOM)

    def _axes(self) -> Iterable[Markup]:
        floor_y, right = HEIGHT - BOTTOM, WIDTH - RIGHT
        for value in self.y.ticks():
            _, y = self._place((self.x.low, value))
            yield tag("path", d=f"M{LEFT} {y:.1f}H{right}", class_="grid")
            label = f"{100 * value:.3g}%" if self.percent else short(value)
            yield tag("text", label, x=LEFT - 6, y=f"{y + 4:.1f}", text_anchor="end")
        yield tag("path", d=f"M{LEFT} {floor_y}H{right}", class_="axis")
        for value in self.x.ticks():
            x, _ = self._place((value, self.y.low))
            yield tag("path", d=f"M{x:.1f} {floor_y}v4", class_="axis")
            yield tag("text", short(value), x=f"{x:.1f}", y=floor_y + 16, text_anchor="middle")
        yield tag("text", self.xlabel, x=right, y=HEIGHT - 4, text_anchor="end", class_="label")


def stack(shares: Sequence[Sequence[float]], colours: Sequence[str], words: str) -> Markup:
    """Return shares of a whole over time, one band above the other, blank where they are NaN.

    `shares` has a row a point, and a share of each of `colours` in it.
    """
    width, height = 100.0, 40.0
    values = np.asarray(shares, float)
    tops = np.cumsum(values, axis=1)
    bands = []
    step = width / len(values)
    for option, colour in enumerate(colours):
        path = ""
        for place, row in enumerate(tops):
            if values[place, option] > 0:  # false for NaN
                top, deep = height * (1 - row[option]), height * values[place, option]
                path += (
                    f"M{place * step:.1f} {top:.1f}h{step + 0.1:.1f}v{deep:.1f}h-{step + 0.1:.1f}z"
                )
        if path:
            bands.append(tag("path", d=path, fill=colour))
    view = f"0 0 {width:g} {height:g}"
    return tag(
        "svg",
        *bands,
        viewBox=view,
        preserveAspectRatio="none",
        role="img",
        aria_label=words,
        class_="stack",
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


def legend(entries: Iterable[tuple[str, str]]) -> Markup:
    """Return what the colours mean, from (words, colour)."""
    return tag(
        "div",
        *(tag("span", tag("i", style=f"background:{colour}"), words) for words, colour in entries),
        class_="legend",
    )


def figure(title: str, drawing: Markup, *, key: Markup | None = None, note: str = "") -> Markup:
    """Return a drawing with its title, what its colours mean, and a note below."""
    caption = tag("figcaption", tag("b", title), key or "")
    below = tag("p", note, class_="note") if note else ""
    return tag("figure", join(caption, drawing, below))


def _finite(points: Iterable[Point]) -> list[Point]:
    return [(x, y) for x, y in points if isfinite(x) and isfinite(y)]


def _thinned(points: Sequence[Point]) -> list[Point]:
    """Return as many of `points` as a line can show, the first and the last among them."""
    if len(points) <= MOST_POINTS:
        return list(points)
    kept = np.linspace(0, len(points) - 1, MOST_POINTS).round().astype(int)
    return [points[number] for number in kept]
