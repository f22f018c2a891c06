"""Text data: training and validation text as numbers, and the vocabulary they are numbers of."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice, repeat
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nasgym.data import documentation, ptb, textfiles
from nasgym.data.corpus import UNKNOWN, Corpus
from nasgym.data.dataset import DatasetError

Tokens = NDArray[np.int32]
"""Places in a vocabulary, in the order of the text, (n,)."""

FEWEST_TRAIN, FEWEST_VALID = 1000, 100
"""With fewer tokens there is nothing to learn and nothing to measure."""

MOST_UNSEEN = 0.5
"""The share of the validation tokens that may be missing from the training text."""


@dataclass(frozen=True, eq=False)
class TextData:
    """The text a child is trained and validated on. It holds no test text."""

    train: Tokens
    """(n,)"""
    valid: Tokens
    """(m,)"""
    vocabulary: tuple[str, ...]
    """The tokens by number: first "<unk>", for all others, then the most common ones first."""
    unit: str
    """What a token is: "words" or "characters"."""

    @cached_property
    def digest(self) -> str:
        """The SHA-256 of all that is in here, in hexadecimal."""
        total = hashlib.sha256(repr((self.unit, self.vocabulary)).encode())
        for tokens in (self.train, self.valid):
            total.update(repr((tokens.shape, tokens.dtype.str)).encode())
            total.update(np.ascontiguousarray(tokens).data)
        return total.hexdigest()


def load(
    corpus: str,
    *,
    unit: str = "words",
    vocabulary_size: int = 10_000,
    train_size: int | None = None,
    valid_size: int | None = None,
) -> TextData:
    """Return the training and validation text of `corpus` as tokens.

    `corpus` is "documentation" (what ships with Python), "ptb" (the Penn Treebank), or the path
    of your own text (see `nasgym.data.textfiles`). `unit` is "words" (those of
    `nasgym.data.corpus.prose_words`; of the Penn Treebank, what is between blanks, and "<eos>" at
    the end of each line) or "characters" (all there are, also the end of a line). The vocabulary
    is "<unk>" and the most common tokens of the whole training text, `vocabulary_size` in all or
    as many as there are. `train_size` and `valid_size` take the first
    so many tokens of each part. The test text cannot be reached from here.

    Raises FileNotFoundError for missing and DatasetError for wrong text, in one line.
    """
    source = find(corpus)
    train, valid = source.tokens(source.train, unit), source.tokens(source.valid, unit)
    _check_length(source, train, "training", FEWEST_TRAIN)
    _check_length(source, valid, "validation", FEWEST_VALID)
    _check_seen(source, train, valid)
    vocabulary = most_common(train, vocabulary_size)
    return TextData(
        encode(_first(train, train_size, "train_size", FEWEST_TRAIN), vocabulary),
        encode(_first(valid, valid_size, "valid_size", FEWEST_VALID), vocabulary),
        vocabulary,
        unit,
    )


def find(corpus: str) -> Corpus:
    """Return the parts of `corpus` as text; names and errors as for `load`."""
    if corpus == "documentation":
        return documentation.corpus()
    if corpus == "ptb":
        return ptb.corpus()
    return textfiles.corpus(Path(corpus))


def most_common(tokens: Sequence[str], size: int) -> tuple[str, ...]:
    """Return UNKNOWN and the `size` - 1 most common other tokens, the most common first.

    Of equally common ones the first to appear comes first. Raises DatasetError for `size` < 2.
    """
    if size < 2:
        raise DatasetError(f"vocabulary_size must be 2 or more, not {size}")
    others = (token for token, _ in Counter(tokens).most_common() if token != UNKNOWN)
    return UNKNOWN, *islice(others, size - 1)


def encode(tokens: Sequence[str], vocabulary: tuple[str, ...]) -> Tokens:
    """Return the places of the tokens in the vocabulary, 0 for those that are not in it."""
    places = {token: place for place, token in enumerate(vocabulary)}
    return np.fromiter(map(places.get, tokens, repeat(0)), np.int32, len(tokens))


def _first(tokens: list[str], size: int | None, option: str, fewest: int) -> list[str]:
    if size is None:
        return tokens
    if not fewest <= size <= len(tokens):
        raise DatasetError(
            f"{option} must be from {fewest:,} to {len(tokens):,}, all there are, not {size:,}"
        )
    return tokens[:size]


def _check_length(source: Corpus, tokens: list[str], part: str, fewest: int) -> None:
    if len(tokens) < fewest:
        raise DatasetError(
            f"{source.name} has {len(tokens):,} {part} tokens; {fewest:,} or more are needed"
        )


def _check_seen(source: Corpus, train: list[str], valid: list[str]) -> None:
    seen = set(train)
    unseen = sum(token not in seen for token in valid) / len(valid)
    if unseen > MOST_UNSEEN:
        raise DatasetError(
            f"{source.name} has another vocabulary in its validation text: {unseen:.0%} of its "
            f"tokens are not in the training text"
        )
