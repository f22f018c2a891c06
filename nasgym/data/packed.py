"""Packed data: a split data set as the bytes of one file, for workers on other machines.

The file is an `.npz` without pickled objects. Every reader gets the packed arrays bit by bit,
whatever versions of libraries it has.
"""

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nasgym.data.dataset import ImageData
from nasgym.data.text import TextData

IMAGE_ARRAYS = ("train_images", "train_labels", "valid_images", "valid_labels")
TEXT_ARRAYS = ("train", "valid")


def pack(data: ImageData | TextData) -> bytes:
    """Return `data` as the bytes of a file; the same data give the same bytes."""
    names: tuple[str, ...]
    about: dict[str, Any]
    if isinstance(data, ImageData):
        names, about = IMAGE_ARRAYS, {"names": data.names, "flips": data.flips}
    else:
        names, about = TEXT_ARRAYS, {"vocabulary": data.vocabulary, "unit": data.unit}
    arrays = {name: getattr(data, name) for name in names}
    file = io.BytesIO()
    np.savez(file, about=np.frombuffer(json.dumps(about).encode(), np.uint8), **arrays)
    return file.getvalue()


def unpack_images(path: str | Path) -> ImageData:
    """Return the images that `pack` wrote, from the file at `path`."""
    arrays, about = _unpack(path, IMAGE_ARRAYS)
    return ImageData(**arrays, names=tuple(about["names"]), flips=about["flips"])


def unpack_text(path: str | Path) -> TextData:
    """Return the text that `pack` wrote, from the file at `path`."""
    arrays, about = _unpack(path, TEXT_ARRAYS)
    return TextData(**arrays, vocabulary=tuple(about["vocabulary"]), unit=about["unit"])


def _unpack(path: str | Path, names: Sequence[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the arrays called `names`, and the values that are no arrays."""
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in names}, json.loads(file["about"].tobytes())
