"""Corpora: texts in three parts, and how a text becomes parts and tokens."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from nasgym.data.dataset import DatasetError

END = "<eos>"
"""The word at the end of each line."""

UNKNOWN = "<unk>"
"""The token for all that are not in the vocabulary."""

UNITS = ("words", "characters")
"""Kinds of tokens."""

WORD = re.compile(rf"{UNKNOWN}|\w+(?:['’]\w+)*|([^\w\s])\1*|\n")
MAX_REPEATS = 3
"""Length to which a run of one punctuation mark is cut, so that underlines of any length are one
word."""

MAX_SHIFT = 0.02
"""How far the end of a part may move to the end of a line or word, as a share of the text."""


def prose_words(text: str) -> list[str]:
    """Return the words of prose: in lower case, punctuation marks apart, END after each line.

    A word is letters, digits and underscores, with apostrophes inside ("don't"). A run of one
    mark ("...", "--") is one word, cut to three marks. Lines without words are left out.
    """
    words: list[str] = []
    for match in WORD.finditer(text.lower() + "\n"):
        word = match[0]
        if word != "\n":
            words.append(word[:MAX_REPEATS] if match[1] else word)
        elif words and words[-1] != END:
            words.append(END)
    return words


@dataclass(frozen=True)
class Corpus:
    """A text in three parts. Only `nasgym.data.final` reads `test`."""

    name: str
    """Its name in error messages: the path, or the name of a built-in corpus."""
    train: str
    """The training text, from which the vocabulary is taken."""
    valid: str
    """The validation text."""
    test: str
    """The text for the final phase of a search."""
    words: Callable[[str], list[str]] = prose_words
    """Divides a part into words."""

    def tokens(self, part: str, unit: str) -> list[str]:
        """Return the tokens of one of the parts: its words, or its characters as they are.

        Raises DatasetError if `unit` is not in UNITS.
        """
        if unit not in UNITS:
            raise DatasetError(f"unit must be {' or '.join(UNITS)}, not {unit!r}")
        return self.words(part) if unit == "words" else list(part)


def split_text(name: str, text: str) -> Corpus:
    """Return a corpus whose parts are the first 80 %, the next 10 % and the last 10 % of a text.

    Parts end at the end of a line, or of a word where lines are long.
    """
    first, second = _cut(text, 0.8), _cut(text, 0.9)
    return Corpus(name, text[:first], text[first:second], text[second:])


def _cut(text: str, share: float) -> int:
    """Return the index after the first line or word that ends at or after `share` of the text."""
    start = int(share * len(text))
    for mark in "\n ":
        found = text.find(mark, start, start + int(MAX_SHIFT * len(text)))
        if found >= 0:
            return found + 1
    return start
