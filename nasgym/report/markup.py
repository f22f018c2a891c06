"""Markup: HTML elements whose text content and attributes are escaped."""

from html import escape
from importlib.resources import files

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
"""Content-Security-Policy: a page loads no resource and runs no script."""


class Markup(str):
    """HTML that is inserted unchanged; any other string is text and is escaped."""

    __slots__ = ()


def tag(name: str, *content: object, **attributes: object) -> Markup:
    """Return an element.

    Content that is not Markup is escaped. Attributes that are None are left out; `class_` means
    `class`, and other underscores become hyphens.
    """
    given = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    return Markup(f"<{name}{given}>{join(*content)}</{name}>")


def join(*content: object) -> Markup:
    """Return the pieces of content as one Markup."""
    return Markup(
        "".join(piece if isinstance(piece, Markup) else escape(str(piece)) for piece in content)
    )


def document(title: str, *body: object, style: str = "") -> str:
    """Return a self-contained page, light and dark; `style` is additional CSS."""
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
