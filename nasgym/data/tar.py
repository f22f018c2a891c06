"""Tar archives from unknown sources: read file by file, never unpacked to disk."""

import tarfile
import zlib
from typing import IO, TYPE_CHECKING, Any, Self, cast

from nasgym.data.dataset import DatasetError

if TYPE_CHECKING:
    from _typeshed import SupportsRead

MAX_EXTENSION_HEADER = 64 * 2**10
"""Maximum bytes of an extension header, which tarfile would read into memory at any size."""

EXTENSION_HEADERS = (
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
)
"""Types of the headers that hold a long name, or pax records, for the member that follows."""

READ_ERRORS = (OSError, EOFError, tarfile.TarError, zlib.error)
"""Raised while a truncated or damaged archive or gzip file is read."""


class BoundedTarInfo(tarfile.TarInfo):
    """A member whose extension headers are short."""

    @classmethod
    def frombuf(cls, *arguments: Any, **options: Any) -> Self:
        """Return the member of a header block; refuse an extension header that is too long."""
        member = super().frombuf(*arguments, **options)
        if member.type in EXTENSION_HEADERS and member.size > MAX_EXTENSION_HEADER:
            raise DatasetError(f"the archive has a header of {member.size:,} bytes")
        return member


def open_tar(stream: "SupportsRead[bytes]") -> tarfile.TarFile:
    """Open a gzipped archive for one pass over its members.

    Reading may raise READ_ERRORS, and DatasetError for an extension header that is too long.
    """
    return tarfile.open(fileobj=cast(IO[bytes], stream), mode="r|gz", tarinfo=BoundedTarInfo)


def read_member(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    """Return the content of a member, empty for a folder or a device."""
    file = archive.extractfile(member)
    return b"" if file is None else file.read()
