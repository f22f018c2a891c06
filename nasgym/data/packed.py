"""Packed data: a split data set as the bytes of one file, to be read on another machine.

The file is an `.npz` without pickled objects. Who reads it gets the arrays that were packed, bit by
bit, whatever is installed there.
"""

import io
import json
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
    written = io.BytesIO()
    np.savez(written, about=np.frombuffer(json.dumps(about).encode(), np.uint8), **arrays)
    return written.getvalue()


def unpack_images(path: str | Path) -> ImageData:
    """Return the images that `pack` made the file at `path` of."""
    with np.load(path, allow_pickle=False) as file:
        about = json.loads(file["about"].tobytes())
        arrays = {name: file[name] for name in IMAGE_ARRAYS}
    return ImageData(**arrays, names=tuple(about["names"]), flips=about["flips"])


def unpack_text(path: str | Path) -> TextData:
    """Return the text that `pack` made the file at `path` of."""
    with np.load(path, allow_pickle=False) as file:
        about = json.loads(file["about"].tobytes())
        arrays = {name: file[name] for name in TEXT_ARRAYS}
    return TextData(**arrays, vocabulary=tuple(about["vocabulary"]), unit=about["unit"])
