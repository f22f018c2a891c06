"""Packed data: unpacking returns the same arrays."""

from pathlib import Path

import numpy as np
import pytest

from nasgym.data import ImageData, TextData, load
from nasgym.data.packed import pack, unpack_images, unpack_text


def test_images_arrive_bit_by_bit(tmp_path: Path) -> None:
    images = load("digits", train_size=20, valid_size=10)
    assert pack(images) == pack(load("digits", train_size=20, valid_size=10))
    (tmp_path / "packed").write_bytes(pack(images))
    arrived = unpack_images(tmp_path / "packed")
    assert arrived.digest == images.digest
    assert arrived.train_images.dtype == np.uint8
    assert not arrived.flips and arrived.names == images.names


def test_text_arrives_with_every_character_of_its_vocabulary(tmp_path: Path) -> None:
    tokens = np.arange(5, dtype=np.int32)
    text = TextData(tokens, tokens[:2], ("<unk>", "\n", " ", "é", "\x00"), "characters")
    (tmp_path / "packed").write_bytes(pack(text))
    arrived = unpack_text(tmp_path / "packed")
    assert arrived.digest == text.digest
    assert arrived.vocabulary == text.vocabulary


def test_a_file_with_objects_in_it_is_refused(tmp_path: Path) -> None:
    data = load("digits", train_size=20, valid_size=10)
    hostile = ImageData(np.array([{}]), data.train_labels, data.valid_images, data.valid_labels, ())
    (tmp_path / "packed").write_bytes(pack(hostile))
    with pytest.raises(ValueError, match="allow_pickle"):
        unpack_images(tmp_path / "packed")
