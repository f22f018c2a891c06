"""Text data: training and validation text as token numbers, and their vocabulary."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice, repeat
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nasgym.data.corpus import UNKNOWN, Corpus
from nasgym.data.dataset import DatasetError, digest_of
from nasgym.data.documentation import load_documentation
from nasgym.data.ptb import load_ptb
from nasgym.data.text_files import load_text_files

Tokens = NDArray[np.int32]
"""Indices into a vocabulary, in the order of the text, (n,)."""

MIN_TRAIN, MIN_VALID = 1000, 100
"""Minimum numbers of tokens; fewer are too few to learn from or to measure with."""

MAX_UNSEEN = 0.5
"""Maximum share of the validation tokens that do not occur in the training text."""


@dataclass(frozen=True, eq=False)
class TextData:
    """The text a child is trained and validated on. It holds no test text."""

    train: Tokens
    """(n,)"""
    valid: Tokens
    """(m,)"""
    vocabulary: tuple[str, ...]
    """The tokens by index: "<unk>" for all others, then the rest, the most common first."""
    unit: str
    """Kind of the tokens: "words" or "characters"."""

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all fields, in hexadecimal."""
        return digest_of((self.unit, self.vocabulary), self.train, self.valid)


def load_text(
    corpus: str,
    *,
    unit: str = "words",
    vocabulary_size: int = 10_000,
    train_size: int | None = None,
    valid_size: int | None = None,
) -> TextData:
    """Return the training and validation text of `corpus` as tokens.

    `corpus` is "documentation" (the text that ships with Python), "ptb" (the Penn Treebank), or the
    path of your own text (see `nasgym.data.text_files`). `unit` is "words" or "characters". Words
    are those of `nasgym.data.corpus.prose_words`; in the Penn Treebank they are what blanks
    separate, and "<eos>" at the end of each line. Characters include the ends of lines.

    The vocabulary is "<unk>" and the most common tokens of the whole training text, at most
    `vocabulary_size` in all. `train_size` and `valid_size` are the numbers of tokens taken from the
    start of each part. The test text cannot be reached from here.

    Raises FileNotFoundError for a missing text and DatasetError for an unsuitable one, in one line.
    """
    source = load_corpus(corpus)
    train, valid = source.tokens(source.train, unit), source.tokens(source.valid, unit)
    _check_length(source, train, "training", MIN_TRAIN)
    _check_length(source, valid, "validation", MIN_VALID)
    _check_seen(source, train, valid)
    vocabulary = most_common(train, vocabulary_size)
    return TextData(
        encode(_first(train, train_size, "train_size", MIN_TRAIN), vocabulary),
        encode(_first(valid, valid_size, "valid_size", MIN_VALID), vocabulary),
        vocabulary,
        unit,
    )


def load_corpus(corpus: str) -> Corpus:
    """Return the parts of `corpus` as text; names and errors as for `load_text`."""
    if corpus == "documentation":
        return load_documentation()
    if corpus == "ptb":
        return load_ptb()
    return load_text_files(Path(corpus))


def most_common(tokens: Sequence[str], size: int) -> tuple[str, ...]:
    """Return UNKNOWN and the `size` - 1 most common other tokens, the most common first.

    Equally common tokens are in the order of their first appearance. Raises DatasetError for
    `size` < 2.
    """
    if size < 2:
        raise DatasetError(f"vocabulary_size must be 2 or more, not {size}")
    others = (token for token, _ in Counter(tokens).most_common() if token != UNKNOWN)
    return UNKNOWN, *islice(others, size - 1)


def encode(tokens: Sequence[str], vocabulary: tuple[str, ...]) -> Tokens:
    """Return the indices of the tokens in the vocabulary, 0 for those that are not in it."""
    indices = {token: index for index, token in enumerate(vocabulary)}
    return np.fromiter(map(indices.get, tokens, repeat(0)), np.int32, len(tokens))


def _first(tokens: list[str], size: int | None, option: str, minimum: int) -> list[str]:
    if size is None:
        return tokens
    if not minimum <= size <= len(tokens):
        raise DatasetError(
            f"{option} must be from {minimum:,} to {len(tokens):,}, the number of tokens, "
            f"not {size:,}"
        )
    return tokens[:size]


def _check_length(source: Corpus, tokens: list[str], part: str, minimum: int) -> None:
    if len(tokens) < minimum:
        raise DatasetError(
            f"{source.name} has {len(tokens):,} {part} tokens; {minimum:,} or more are needed"
        )


def _check_seen(source: Corpus, train: list[str], valid: list[str]) -> None:
    seen = set(train)
    unseen = sum(token not in seen for token in valid) / len(valid)
    if unseen > MAX_UNSEEN:
        raise DatasetError(
            f"{source.name} has another vocabulary in its validation text: {unseen:.0%} of its "
            f"tokens are not in the training text; the maximum is {MAX_UNSEEN:.0%}"
        )
