"""Downloads: the data folder, and files that appear in it only complete and verified."""

import hashlib
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from nasgym.data.dataset import DatasetError
from nasgym.data.tar import READ_ERRORS
from nasgym.files import replacing

Progress = Callable[[int, int], None]
"""Receives the number of bytes so far and the expected number of bytes."""

BLOCK = 1 << 20
"""Bytes read at a time."""

TIMEOUT = 60.0
"""Seconds without data from the server after which a download fails."""


def data_folder() -> Path:
    """Return the folder of the data sets: $NASGYM_DATA, else `nasgym` in the user's cache."""
    chosen = os.environ.get("NASGYM_DATA")
    if chosen:
        return Path(chosen).expanduser()
    # Not platformdirs: on macOS it follows XDG_CACHE_HOME, so data already there would be missed.
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "nasgym"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nasgym"


class Download:
    """The body of a response; it reports progress and ends once it exceeds the expected size."""

    def __init__(self, response: IO[bytes], size: int, progress: Progress | None) -> None:
        """Read from `response`, of which `size` bytes are expected."""
        self.received = 0
        """Bytes read so far: at most one block more than expected."""
        self._response, self._size, self._progress = response, size, progress

    def read(self, size: int = BLOCK, /) -> bytes:
        """Return at most `size` bytes, none at the end."""
        block = self._response.read(size) if self.received <= self._size else b""
        self.received += len(block)
        if self._progress is not None:
            self._progress(self.received, self._size)
        return block


@contextmanager
def open_url(url: str, *, size: int, progress: Progress | None, advice: str) -> Iterator[Download]:
    """Open `url`, of which `size` bytes are expected, for reading.

    Any failure to connect, to read, or to decode an archive on the way is a ConnectionError of one
    line, which ends with `advice`.
    """
    import urllib.request
    from http.client import HTTPException

    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as response:
            yield Download(response, size, progress)
    except (HTTPException, *READ_ERRORS) as error:
        reason = getattr(error, "reason", None) or error
        raise ConnectionError(f"{url} could not be downloaded ({reason}); {advice}") from None


def download_file(
    url: str, destination: Path, *, checksum: str, size: int, progress: Progress | None = None
) -> Path:
    """Download `url` to `destination`, unless the right file is there already; return its path.

    `checksum` is the name and the digest of a hash, "md5:c32a1d4a...", and `size` is in bytes. The
    file appears at `destination` only if both match. Raises ConnectionError if the download fails
    and DatasetError if it is another file, in one line.
    """
    if destination.is_file() and has_checksum(destination, checksum):
        return destination
    destination.parent.mkdir(parents=True, exist_ok=True)
    advice = f"get it by other means and put it at {destination}"
    with replacing(destination) as part:
        with (
            open_url(url, size=size, progress=progress, advice=advice) as download,
            part.open("wb") as file,
        ):
            shutil.copyfileobj(download, file, BLOCK)
        if download.received != size or not has_checksum(part, checksum):
            raise DatasetError(
                f"{url} sent {download.received:,} bytes, not the expected {size:,} bytes with "
                f"{checksum}; nothing was kept, {advice}"
            )
    return destination


def has_checksum(path: Path, checksum: str) -> bool:
    """Return whether the file at `path` has `checksum`, such as "md5:c32a1d4a..."."""
    name, _, digest = checksum.partition(":")
    with path.open("rb") as file:
        return hashlib.file_digest(file, name).hexdigest() == digest
