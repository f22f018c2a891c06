"""Corpora: a text in three parts, and how it is divided into them and into tokens."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from nasgym.data.dataset import DatasetError

END = "<eos>"
"""The word that stands for the end of a line."""

UNKNOWN = "<unk>"
"""The word that stands for all that are not in the vocabulary."""

UNITS = ("words", "characters")
"""What a token may be."""

WORD = re.compile(rf"{UNKNOWN}|\w+(?:['’]\w+)*|([^\w\s])\1*|\n")
LONGEST_RUN = 3
"""Marks kept of a run of one mark, so that a rule under a title is one word at any length."""

NEAR = 0.02
"""How far, as a share of the text, a part may end from where it should."""


def prose_words(text: str) -> list[str]:
    """Return the words of prose: in lower case, punctuation marks apart, END after each line.

    A word is letters, digits and underscores, with apostrophes inside ("don't"); a run of one
    mark ("...", "--") is one word, cut to three marks; lines with no word in them are left out.
    """
    words: list[str] = []
    for match in WORD.finditer(text.lower() + "\n"):
        word = match[0]
        if word != "\n":
            words.append(word[:LONGEST_RUN] if match[1] else word)
        elif words and words[-1] != END:
            words.append(END)
    return words


@dataclass(frozen=True)
class Corpus:
    """A text in three parts; `test` is for `nasgym.data.final` alone."""

    name: str
    """What error messages call it: a path, or a name that is built in."""
    train: str
    """The text that a child is trained on and that the vocabulary is taken from."""
    valid: str
    """The text it is validated on."""
    test: str
    """The text for the final phase of a search."""
    words: Callable[[str], list[str]] = prose_words
    """Divides a part into words."""

    def tokens(self, part: str, unit: str) -> list[str]:
        """Return the tokens of one of the parts: its words, or its characters as they are.

        Raises DatasetError if `unit` is none of UNITS.
        """
        if unit not in UNITS:
            raise DatasetError(f"unit must be {' or '.join(UNITS)}, not {unit!r}")
        return self.words(part) if unit == "words" else list(part)


def divided(name: str, text: str) -> Corpus:
    """Return the corpus whose parts are the first 80 %, the next 10 % and the last 10 % of a text.

    Parts end where a line does, or a word where lines are long.
    """
    first, second = _cut(text, 0.8), _cut(text, 0.9)
    return Corpus(name, text[:first], text[first:second], text[second:])


def _cut(text: str, share: float) -> int:
    start = int(share * len(text))
    for mark in "\n ":
        found = text.find(mark, start, start + int(NEAR * len(text)))
        if found >= 0:
            return found + 1
    return start
