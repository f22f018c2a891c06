"""The sheets of the leaderboard: tables, figures and words, as Markdown and as one HTML page."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from nasgym.benchmarks.leaderboard.plots import INK
from nasgym.report.markup import Markup, document, join, tag

WORDS = ("<!-- words: what stands between these two lines is kept -->", "<!-- end of the words -->")
"""Between these lines of the Markdown people write."""

FIGURES = "figures"
"""Folder of the figures, beside the Markdown."""

BREAK = "<br>"
"""What begins a new line in a cell."""

STYLE = """
th { white-space: normal; vertical-align: bottom; }
td + td, th + th { text-align: right; white-space: nowrap; }
th + th { white-space: normal; }
td:first-child, th:first-child { position: sticky; left: 0; background: var(--paper);
  min-width: 10em; max-width: 12em; white-space: normal; overflow-wrap: anywhere; }
td small { display: block; color: var(--soft); font-size: 0.85em; }
figure { margin: 1rem 0; color: var(--ink); }
figure svg { width: auto; max-width: 100%; margin: 0 auto; }
p, ul { max-width: 75ch; }
"""
"""Beyond the style of `nasgym.report`."""


@dataclass(frozen=True)
class Sheet:
    """One part of the leaderboard."""

    heading: str
    """What it is about."""
    notes: Sequence[str] = ()
    """Paragraphs before the table; those that begin with "* " are a list."""
    heads: Sequence[str] = ()
    """Headings of the columns; without them there is no table."""
    rows: Sequence[Sequence[str]] = ()
    """The cells: the first of a row is its name, the others are numbers."""
    figures: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """(caption, SVG) of the figures below the table, by name."""
    by_hand: bool = False
    """Whether people write what it says."""


def words_of(markdown: str) -> str:
    """Return what people wrote into a leaderboard."""
    begin, end = WORDS
    return markdown.partition(begin)[2].partition(end)[0].strip() if end in markdown else ""


def to_markdown(title: str, sheets: Sequence[Sheet], words: str) -> str:
    """Return the Markdown; figures are linked in the folder FIGURES."""
    parts = [f"# {title}"]
    for sheet in sheets:
        parts += _markdown(sheet, words)
    return "\n\n".join(parts)


def _markdown(sheet: Sheet, words: str) -> Iterator[str]:
    yield f"## {sheet.heading}"
    if sheet.by_hand:
        begin, end = WORDS
        yield f"{begin}\n{words}\n{end}"
    if sheet.notes:
        yield re.sub(r"(?m)^(\* .*)\n\n(?=\* )", r"\1\n", "\n\n".join(sheet.notes))
    if sheet.heads:
        rule = ["---", *["---:"] * (len(sheet.heads) - 1)]
        yield "\n".join(_line(cells) for cells in (sheet.heads, rule, *sheet.rows))
    for name, (caption, _) in sheet.figures.items():
        yield f"![{caption}]({FIGURES}/{name}.svg)\n\n*{caption}*"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def to_html(title: str, sheets: Sequence[Sheet], words: str) -> str:
    """Return one page that needs nothing else; figures take the colours of its text."""
    main = tag("main", tag("h1", title), *(_html(sheet, words) for sheet in sheets))
    return document(title, main, style=STYLE)


def _html(sheet: Sheet, words: str) -> Markup:
    written = re.split(r"\n\s*\n|\n(?=\* )", words) if sheet.by_hand else []
    parts = [_paragraph(note) for note in (*written, *sheet.notes) if note]
    if sheet.heads:
        head = tag("thead", tag("tr", *(tag("th", cell) for cell in sheet.heads)))
        body = tag("tbody", *(tag("tr", *map(_cell, row)) for row in sheet.rows))
        parts.append(tag("div", tag("table", head, body), class_="scroll"))
    for caption, svg in sheet.figures.values():
        drawing = Markup(svg.replace(INK, "currentColor"))
        parts.append(tag("figure", tag("figcaption", caption), drawing))
    return tag("section", tag("h2", sheet.heading), *parts)


def _cell(text: str) -> Markup:
    first, _, second = text.partition(BREAK)
    return tag("td", first, tag("small", second) if second else "")


def _paragraph(note: str) -> Markup:
    """Return a paragraph, or an item of a list, with its `code`, **bold** and *slanted* words."""
    pieces = re.split(r"(`[^`]+`|\*\*[^*]+\*\*|\*[^*]+\*)", note.removeprefix("* "))
    content = join(*map(_emphasis, pieces))
    return tag("ul", tag("li", content)) if note.startswith("* ") else tag("p", content)


def _emphasis(piece: str) -> Markup:
    for sign, element in (("`", "code"), ("**", "strong"), ("*", "em")):
        if piece.startswith(sign) and piece.endswith(sign) and len(piece) > 2 * len(sign):
            return tag(element, piece.removeprefix(sign).removesuffix(sign))
    return join(piece)
