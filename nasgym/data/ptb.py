"""Penn Treebank: a million words from the Wall Street Journal, in Mikolov's edition.

The text is prepared already: words in lower case with a space between them, numbers as N, all but
9,999 words as <unk>, a sentence a line. With the end of a line there are 10,000 words, and 929,589,
73,760 and 82,430 tokens for training, validation and testing (Zaremba et al. 2014, section 4.1).
Its characters are those of the lines without the blanks at their ends, <unk> being five of them.
"""

import gzip
import hashlib
import tarfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, cast

from nasgym.data.corpus import END, Corpus
from nasgym.data.dataset import DatasetError
from nasgym.data.download import SECONDS_OF_SILENCE, Progress, data_folder
from nasgym.data.members import Member
from nasgym.files import replacing

FOLDER = "ptb"
FILES = ("ptb.train.txt", "ptb.valid.txt", "ptb.test.txt")
UNPACKED = "simple-examples/data"
"""Where the files lie in Mikolov's archive."""


@dataclass(frozen=True)
class Edition:
    """What tells the text from others; there is one, and tests make small ones."""

    checksums: tuple[str, str, str] = (
        "f26c4b92c5fdc7b3f8c7cdcb991d8420",
        "aa0affc06ff7c36e977d7cd49e3839bf",
        "8b80168b89c18661a38ef683c0dc3721",
    )
    """The MD5 of each of FILES."""
    sizes: tuple[int, int, int] = (5_101_618, 399_782, 449_945)
    """The bytes of each of FILES."""
    url: str = "http://www.fit.vutbr.cz/~imikolov/rnnlm/simple-examples.tgz"
    """Where the archive comes from."""
    size: int = 34_869_662
    """Bytes of the archive."""


OFFICIAL = Edition()


def corpus(edition: Edition = OFFICIAL) -> Corpus:
    """Return the corpus.

    Raises FileNotFoundError if it is not in `data_folder()` and DatasetError if what is there is
    something else, in one line.
    """
    folder = find()
    if folder is None:
        raise FileNotFoundError(
            f"the Penn Treebank is not here: put {', '.join(FILES)} (or each with .gz) into "
            f"{data_folder() / FOLDER}; `nasgym data ptb` downloads them"
        )
    train, valid, test = (_read(folder, name, edition) for name in FILES)
    return Corpus("ptb", train, valid, test, _words)


def find() -> Path | None:
    """Return the folder that the three files are read from, None if they are not here."""
    data = data_folder()
    for folder in (data / FOLDER, data / FOLDER / UNPACKED, data / UNPACKED, data):
        if all(_variant(folder, name) for name in FILES):
            return folder
    return None


def download(progress: Progress | None = None, edition: Edition = OFFICIAL) -> Path:
    """Fetch the three files, unless they are here, and return the folder they are in.

    They are taken out of Mikolov's archive as it arrives, each checked before it is written.
    Raises ConnectionError or DatasetError, in one line.
    """
    folder = find()
    if folder is None:
        content = _fetch(edition, progress)
        folder = data_folder() / FOLDER
        folder.mkdir(parents=True, exist_ok=True)
        for name in FILES:
            with replacing(folder / name) as part:
                part.write_bytes(content[name])
    else:
        corpus(edition)
    return folder


def _words(text: str) -> list[str]:
    return text.replace("\n", f" {END} ").split()


def _variant(folder: Path, name: str) -> Path | None:
    """Return where the file called `name` is in the folder, plain or compressed."""
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)


def _read(folder: Path, name: str, edition: Edition) -> str:
    path = _variant(folder, name) or folder / name
    size = edition.sizes[FILES.index(name)]
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            content = file.read(size + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DatasetError(f"{path} is damaged: {error}") from None
    if not _right(name, content, edition):
        raise DatasetError(
            f"{path} is not Mikolov's {name} ({_checksum(name, edition)}); delete it and run "
            f"`nasgym data ptb`"
        )
    return "\n".join(line.strip() for line in content.decode().split("\n"))


def _checksum(name: str, edition: Edition) -> str:
    return f"md5:{edition.checksums[FILES.index(name)]}"


def _right(name: str, content: bytes, edition: Edition) -> bool:
    return f"md5:{hashlib.md5(content).hexdigest()}" == _checksum(name, edition)


# The archive ------------------------------------------------------------------------------------


@dataclass
class _Arriving:
    """A stream that tells how far it has come, and that ends if it is longer than expected."""

    stream: IO[bytes]
    size: int
    progress: Progress | None
    done: int = field(default=0, init=False)

    def read(self, size: int) -> bytes:
        block = self.stream.read(size) if self.done <= self.size else b""
        self.done += len(block)
        if self.progress is not None:
            self.progress(self.done, self.size)
        return block


def _fetch(edition: Edition, progress: Progress | None) -> dict[str, bytes]:
    import urllib.request
    from http.client import HTTPException

    try:
        with urllib.request.urlopen(edition.url, timeout=SECONDS_OF_SILENCE) as response:
            content = _members(_Arriving(response, edition.size, progress), edition)
    except (OSError, HTTPException, tarfile.TarError, EOFError, zlib.error) as error:
        reason = getattr(error, "reason", None) or error
        raise ConnectionError(
            f"{edition.url} could not be downloaded ({reason}); get {', '.join(FILES)} by other "
            f"means and put them into {data_folder() / FOLDER}"
        ) from None
    return content


def _members(arriving: _Arriving, edition: Edition) -> dict[str, bytes]:
    """Return the three files in an archive; nothing else of it is kept."""
    content = {}
    stream = cast(IO[bytes], arriving)  # tarfile only reads
    with tarfile.open(fileobj=stream, mode="r|gz", tarinfo=Member) as members:
        for member in members:
            path = PurePosixPath(member.name)
            if path.parent == PurePosixPath(UNPACKED) and path.name in FILES:
                content[path.name] = _member(members, member, path, edition)
    for name in FILES:
        if name not in content:
            raise DatasetError(f"{edition.url} has no {UNPACKED}/{name}; nothing was kept")
    return content


def _member(
    members: tarfile.TarFile, member: tarfile.TarInfo, path: PurePosixPath, edition: Edition
) -> bytes:
    """Return the content of one of the three; one of another size is refused unread."""
    content = b""
    if member.size == edition.sizes[FILES.index(path.name)]:
        file = members.extractfile(member)
        content = b"" if file is None else file.read()
    if not _right(path.name, content, edition):
        raise DatasetError(
            f"{edition.url} has another {path} than Mikolov's "
            f"({_checksum(path.name, edition)}); nothing was kept"
        )
    return content
