"""Your own text: a UTF-8 file, or a folder with `train.txt`, `valid.txt` and `test.txt`.

The first 80 % of a single file are for training, the next 10 % for validation and the last 10 % for
testing, so no validation text is trained on.
"""

from pathlib import Path

from nasgym.data.corpus import Corpus, split_text
from nasgym.data.dataset import DatasetError

PARTS = ("train.txt", "valid.txt", "test.txt")

MAX_BYTES = 128 << 20
"""Maximum size of a file. Loading takes 14 times as much memory, in every worker."""


def load_text_files(path: Path) -> Corpus:
    """Return the corpus at `path`.

    All parts are checked, also the test text, so that a fault shows before a search and not after
    it. Raises FileNotFoundError or DatasetError, in one line.
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
    return split_text(str(path), _read(path))


def _read(path: Path) -> str:
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise DatasetError(f"{path} is too large: {size:,} bytes, the maximum is {MAX_BYTES:,}")
    content = path.read_bytes()
    if b"\0" in content:
        raise DatasetError(f"{path} is not UTF-8 text: byte {content.index(0):,} is zero")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DatasetError(
            f"{path} is not UTF-8 text: byte {error.start:,} is {content[error.start]:#04x}; "
            f"save it as UTF-8"
        ) from None
    if not text.strip():
        raise DatasetError(f"{path} is empty")
    return text.replace("\r\n", "\n")
