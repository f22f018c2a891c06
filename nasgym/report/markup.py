"""Markup: HTML made of elements, in which whatever comes from a run is escaped."""

from html import escape


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
