"""The leaderboard as a document: sections of text, tables and figures, in Markdown and as HTML."""

import base64
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from markdown_it import MarkdownIt

from nasgym.report.markup import Markup, document, tag

WORDS = ("<!-- words: what stands between these two lines is kept -->", "<!-- end of the words -->")
"""Lines of the Markdown between which people write; a new version keeps their text."""

FIGURES = "figures"
"""Folder of the figures, beside the Markdown."""

BREAK = "<br>"
"""Line break inside a table cell."""

STYLE = """
table { display: block; overflow-x: auto; margin: 1rem 0; }
th { white-space: normal; vertical-align: bottom; }
td:first-child, th:first-child { position: sticky; left: 0; background: var(--paper);
  min-width: 10em; max-width: 12em; white-space: normal; overflow-wrap: anywhere; }
img { max-width: 100%; }
@media (prefers-color-scheme: dark) { img { filter: invert(0.9) hue-rotate(180deg); } }
p, ul { max-width: 75ch; overflow-wrap: anywhere; }
"""
"""CSS added to the style of `nasgym.report`."""


@dataclass(frozen=True)
class Section:
    """One section of the document."""

    heading: str
    """Title of the section."""
    notes: Sequence[str] = ()
    """Paragraphs before the table, in Markdown; those that begin with "* " form a list."""
    heads: Sequence[str] = ()
    """Column headings; empty if the section has no table."""
    rows: Sequence[Sequence[str]] = ()
    """Table cells: the first of each row is text, the others are numbers."""
    figures: Mapping[str, str] = field(default_factory=dict)
    """Captions of the figures below the table, by figure name."""
    by_hand: bool = False
    """Whether people write this section; see WORDS."""


def words_of(markdown: str) -> str:
    """Return the text that people wrote into a leaderboard's Markdown."""
    begin, end = WORDS
    return markdown.partition(begin)[2].partition(end)[0].strip() if end in markdown else ""


def to_markdown(title: str, sections: Sequence[Section], words: str) -> str:
    """Return the Markdown; it links the figures in the folder FIGURES."""
    parts = [f"# {title}"]
    for section in sections:
        parts += _markdown(section, words)
    return "\n\n".join(parts)


def _markdown(section: Section, words: str) -> Iterator[str]:
    yield f"## {section.heading}"
    if section.by_hand:
        begin, end = WORDS
        yield f"{begin}\n{words}\n{end}"
    if section.notes:
        yield re.sub(r"(?m)^(\* .*)\n\n(?=\* )", r"\1\n", "\n\n".join(section.notes))
    if section.heads:
        rule = ["---", *["---:"] * (len(section.heads) - 1)]
        yield "\n".join(_line(cells) for cells in (section.heads, rule, *section.rows))
    for name, caption in section.figures.items():
        yield f"![{caption}]({FIGURES}/{name}.svg)\n\n*{caption}*"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def to_html(title: str, markdown: str, figures: Sequence[Path]) -> str:
    """Return `markdown` as one self-contained page with the SVG files `figures` inside."""
    for line in WORDS:
        markdown = markdown.replace(line, "")
    # Without "html", HTML in names and in people's words is shown as text.
    renderer = MarkdownIt("commonmark", {"html": False}).enable("table")
    content = renderer.render(markdown).replace("&lt;br&gt;", BREAK)
    for path in figures:
        data = base64.b64encode(path.read_bytes()).decode()
        link = renderer.normalizeLink(f"{FIGURES}/{path.name}")
        content = content.replace(f'src="{link}"', f'src="data:image/svg+xml;base64,{data}"')
    return document(title, tag("main", Markup(content)), style=STYLE)
