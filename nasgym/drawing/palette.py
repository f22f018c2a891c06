"""The palette of all charts and figures, safe for colour-blind readers.

From Okabe & Ito 2008, "Color universal design", without yellow, which is too light on white.
"""

from collections.abc import Hashable, Sequence

BLUE, ORANGE, GREEN, RED, PURPLE, SKY = (
    "#0072b2",
    "#e69f00",
    "#009e73",
    "#d55e00",
    "#cc79a7",
    "#56b4e9",
)
GREY = "#9aa4b0"

SERIES = (BLUE, ORANGE, GREEN, RED, PURPLE, SKY)
"""Colours of named things, in turn."""

RAMP = ("#d3e5f2", SKY, BLUE, "#00446b")
"""Colours of ordered things, from the least to the greatest; others are interpolated."""


def series(count: int) -> list[str]:
    """Return colours for `count` named things; they repeat after the sixth."""
    return [SERIES[number % len(SERIES)] for number in range(count)]


def ramp(count: int) -> list[str]:
    """Return colours for `count` ordered things, from the least to the greatest."""
    colours = RAMP if count > len(RAMP) else RAMP[:-1]  # the darkest is only for many
    return [_between(colours, number / max(count - 1, 1)) for number in range(count)]


def colours_of(options: Sequence[Hashable]) -> list[str]:
    """Return colours for the options of a decision; numbers are ordered, words are not."""
    ordered = all(isinstance(option, int | float) for option in options)
    return ramp(len(options)) if ordered or len(options) > len(SERIES) else series(len(options))


def _between(colours: Sequence[str], share: float) -> str:
    """Return the colour at `share` of the way through `colours`."""
    place = share * (len(colours) - 1)
    first = min(int(place), len(colours) - 2)
    one, other = (
        [int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in colours[first : first + 2]
    )
    mixed = (round(a + (place - first) * (b - a)) for a, b in zip(one, other, strict=True))
    return "#" + "".join(f"{value:02x}" for value in mixed)
