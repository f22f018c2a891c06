"""Penn Treebank: a million words from the Wall Street Journal, as prepared by Mikolov.

Words are in lower case and separated by blanks, numbers are N, and all but the 9,999 most common
words are <unk>; each line is a sentence. With the end of a line there are 10,000 words, and
929,589, 73,760 and 82,430 tokens for training, validation and testing (Zaremba et al. 2014, section
4.1). As characters, the text is its lines without the blanks at both ends, and <unk> is five
characters.
"""

import gzip
import hashlib
import tarfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from nasgym.data.corpus import END, Corpus
from nasgym.data.dataset import DatasetError
from nasgym.data.download import Progress, data_folder, open_url
from nasgym.data.tar import READ_ERRORS, open_tar, read_member
from nasgym.files import replacing

FOLDER = "ptb"
UNPACKED = "simple-examples/data"
"""Folder of the three files in Mikolov's archive."""


@dataclass(frozen=True)
class OriginalFile:
    """A file of the Penn Treebank, identified by size and checksum."""

    name: str
    size: int
    """Bytes."""
    md5: str
    """MD5 of the content, in hexadecimal."""

    def matches(self, content: bytes) -> bool:
        """Return whether `content` is that of the file."""
        return hashlib.md5(content).hexdigest() == self.md5


@dataclass(frozen=True)
class Edition:
    """The archive and its files. The defaults are Mikolov's; tests use smaller ones."""

    files: tuple[OriginalFile, OriginalFile, OriginalFile] = (
        OriginalFile("ptb.train.txt", 5_101_618, "f26c4b92c5fdc7b3f8c7cdcb991d8420"),
        OriginalFile("ptb.valid.txt", 399_782, "aa0affc06ff7c36e977d7cd49e3839bf"),
        OriginalFile("ptb.test.txt", 449_945, "8b80168b89c18661a38ef683c0dc3721"),
    )
    """The files for training, validation and testing."""
    url: str = "http://www.fit.vutbr.cz/~imikolov/rnnlm/simple-examples.tgz"
    """Address of the archive."""
    size: int = 34_869_662
    """Bytes of the archive."""


OFFICIAL = Edition()
FILES = tuple(file.name for file in OFFICIAL.files)


def load_ptb(edition: Edition = OFFICIAL) -> Corpus:
    """Return the corpus.

    Raises FileNotFoundError if its files are not in `data_folder()`, and DatasetError if they are
    damaged or something else, in one line.
    """
    folder = find_ptb()
    if folder is None:
        raise FileNotFoundError(
            f"the Penn Treebank is not in {data_folder() / FOLDER}: put {', '.join(FILES)} (or "
            f"each with .gz) there; `nasgym data ptb` downloads them"
        )
    train, valid, test = (_read(folder, file) for file in edition.files)
    return Corpus("ptb", train, valid, test, _words)


def find_ptb() -> Path | None:
    """Return the folder that holds all three files, or None."""
    data = data_folder()
    for folder in (data / FOLDER, data / FOLDER / UNPACKED, data / UNPACKED, data):
        if all(_existing(folder, name) for name in FILES):
            return folder
    return None


def download_ptb(progress: Progress | None = None, edition: Edition = OFFICIAL) -> Path:
    """Download the three files, or verify those that are here; return their folder.

    The archive is read as it arrives, and each file is verified before any is written. Raises
    ConnectionError or DatasetError, in one line.
    """
    folder = find_ptb()
    if folder is not None:
        load_ptb(edition)
        return folder
    content = _download(edition, progress)
    folder = data_folder() / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        with replacing(folder / name) as part:
            part.write_bytes(content[name])
    return folder


def _words(text: str) -> list[str]:
    return text.replace("\n", f" {END} ").split()


def _existing(folder: Path, name: str) -> Path | None:
    """Return the path of the file, plain or gzipped, or None if it is not in the folder."""
    return next((path for path in (folder / name, folder / f"{name}.gz") if path.is_file()), None)


def _read(folder: Path, file: OriginalFile) -> str:
    path = _existing(folder, file.name) or folder / file.name
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as opened:
            content = opened.read(file.size + 1)
    except READ_ERRORS as error:
        raise DatasetError(f"{path} is damaged: {error}") from None
    if not file.matches(content):
        raise DatasetError(
            f"{path} is not Mikolov's {file.name} (md5:{file.md5}); delete it and run "
            f"`nasgym data ptb`"
        )
    return "\n".join(line.strip() for line in content.decode().split("\n"))


def _download(edition: Edition, progress: Progress | None) -> dict[str, bytes]:
    """Return the content of the three files by name; nothing else of the archive is kept."""
    advice = f"get {', '.join(FILES)} by other means and put them into {data_folder() / FOLDER}"
    wanted = {PurePosixPath(UNPACKED, file.name): file for file in edition.files}
    content = {}
    with (
        open_url(edition.url, size=edition.size, progress=progress, advice=advice) as stream,
        open_tar(stream) as archive,
    ):
        for member in archive:
            file = wanted.get(PurePosixPath(member.name))
            if file is not None:
                content[file.name] = _read_member(archive, member, file, edition.url)
    for path, file in wanted.items():
        if file.name not in content:
            raise DatasetError(f"{edition.url} lacks {path}; nothing was kept")
    return content


def _read_member(
    archive: tarfile.TarFile, member: tarfile.TarInfo, file: OriginalFile, url: str
) -> bytes:
    """Return the content of a member that should be `file`; one of another size is not read."""
    content = read_member(archive, member) if member.size == file.size else b""
    if not file.matches(content):
        raise DatasetError(
            f"{file.name} in {url} is not Mikolov's (md5:{file.md5}); nothing was kept"
        )
    return content
