"""Markup: HTML made of elements, in which whatever comes from a run is escaped."""

from html import escape
from importlib.resources import files

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""Content-Security-Policy: a page loads nothing and runs nothing."""


class Markup(str):
    """HTML as it stands; every other string is text and is escaped where it is put in."""

    __slots__ = ()


def tag(name: str, *content: object, **attributes: object) -> Markup:
    """Return an element.

    Content that is no Markup is text. Attributes that are None are left out; `class_` stands for
    `class`, and other underscores for hyphens.
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{name}{given}>{join(*content)}</{name}>")


def join(*content: object) -> Markup:
    """Return pieces of content one after the other."""
    return Markup(
        "".join(piece if isinstance(piece, Markup) else escape(str(piece)) for piece in content)
    )


def document(title: str, *body: object, style: str = "") -> str:
    """Return a page that needs nothing else, light and dark; `style` is CSS beside our own."""
    ours = files("nasgym.report").joinpath("style.css").read_text(encoding="utf-8")
    head = tag(
        "head",
        Markup('<meta charset="utf-8">'),
        Markup('<meta name="viewport" content="width=device-width, initial-scale=1">'),
        Markup(f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'),
        Markup('<meta name="color-scheme" content="light dark">'),
        Markup('<link rel="icon" href="data:,">'),
        tag("title", title),
        tag("style", Markup(ours + style)),
    )
    return f"<!doctype html>\n{tag('html', head, tag('body', *body), lang='en')}\n"
