"""Downloads: where data lie on this machine and how they get there whole or not at all."""

import hashlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

from nasgym.data.dataset import DatasetError
from nasgym.files import replacing

Progress = Callable[[int, int], None]
"""Is told the bytes so far and the bytes in all."""

BLOCK = 1 << 20
SECONDS_OF_SILENCE = 60.0
"""A server that sends nothing for so long is given up."""


def data_folder() -> Path:
    """Return the folder where data sets lie: $NASGYM_DATA, else `nasgym` in the user's cache."""
    chosen = os.environ.get("NASGYM_DATA")
    if chosen:
        return Path(chosen).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "nasgym"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nasgym"


def fetch(
    url: str,
    destination: Path,
    *,
    checksum: str,
    size: int,
    progress: Progress | None = None,
) -> Path:
    """Download `url` to `destination` and return it; do nothing if it is there and right.

    `checksum` is the hash's name and its digest, "md5:c32a1d4a...", and `size` the bytes. The
    file appears under its name only when both are right, so a broken download never passes for
    the data. Raises ConnectionError or DatasetError, in one line.
    """
    from http.client import HTTPException

    if destination.is_file() and verified(destination, checksum):
        return destination
    destination.parent.mkdir(parents=True, exist_ok=True)
    with replacing(destination) as part:
        try:
            _copy(url, part, size, progress)
        except (OSError, HTTPException) as error:
            reason = getattr(error, "reason", None) or error
            raise ConnectionError(
                f"{url} could not be downloaded ({reason}); get it by other means and put it "
                f"at {destination}"
            ) from None
        if part.stat().st_size != size or not verified(part, checksum):
            raise DatasetError(
                f"{url} sent {part.stat().st_size:,} bytes that are not the expected "
                f"{size:,} with {checksum}; nothing was kept"
            )
    return destination


def verified(path: Path, checksum: str) -> bool:
    """Return whether the file at `path` has `checksum`, such as "md5:c32a1d4a..."."""
    name, _, digest = checksum.partition(":")
    with path.open("rb") as file:
        return hashlib.file_digest(file, name).hexdigest() == digest


def _copy(url: str, part: Path, size: int, progress: Progress | None) -> None:
    """Write what `url` sends to `part`, at most one block more than `size` bytes."""
    import urllib.request

    with (
        urllib.request.urlopen(url, timeout=SECONDS_OF_SILENCE) as response,
        part.open("wb") as file,
    ):
        done = 0
        while done <= size and (block := response.read(BLOCK)):
            file.write(block)
            done += len(block)
            if progress is not None:
                progress(done, size)
