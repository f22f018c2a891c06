"""Your own text: a UTF-8 file, or a folder with `train.txt`, `valid.txt` and `test.txt`.

Of a single file the first 80 % are for training, the next 10 % for validation and the last 10 % for
testing, so that no validation text is trained on.
"""

from pathlib import Path

from nasgym.data.corpus import Corpus, divided
from nasgym.data.dataset import DatasetError

PARTS = ("train.txt", "valid.txt", "test.txt")

LARGEST = 128 << 20
"""Bytes of a file; while it is loaded it takes 14 times as much memory, in every worker."""


def corpus(path: Path) -> Corpus:
    """Return the corpus at `path`.

    Raises FileNotFoundError or DatasetError, in one line, for what is wrong, and that also for
    the test text: better now than after a search.
    """
    if path.is_dir():
        for name in PARTS:
            if not (path / name).is_file():
                raise FileNotFoundError(f"{path} lacks {name}: it needs {', '.join(PARTS)}")
        train, valid, test = (_read(path / name) for name in PARTS)
        return Corpus(str(path), train, valid, test)
    if not path.is_file():
        raise FileNotFoundError(
            f"there is no text at {path}: give a UTF-8 file or a folder with {', '.join(PARTS)} "
            f"('documentation' and 'ptb' are built in)"
        )
    return divided(str(path), _read(path))


def _read(path: Path) -> str:
    size = path.stat().st_size
    if size > LARGEST:
        raise DatasetError(f"{path} is too large: {size:,} bytes, and {LARGEST:,} are the most")
    content = path.read_bytes()
    if b"\0" in content:
        raise DatasetError(f"{path} is no text in UTF-8: byte {content.index(0):,} is zero")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DatasetError(
            f"{path} is not in UTF-8: byte {error.start:,} is {content[error.start]:#04x}; "
            f"save it in that encoding"
        ) from None
    if not text.strip():
        raise DatasetError(f"{path} is empty")
    return text.replace("\r\n", "\n")
