"""Archives of unknown origin: read member by member as they come, and never unpacked to disk."""

import tarfile
from typing import Any, Self

from nasgym.data.dataset import DatasetError

LONGEST_HEADER = 64 * 2**10
"""Bytes of a header that continues another one: a long name, or what pax adds. Reading a member's
name, tarfile would take in any number of them."""

CONTINUED = (
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
)


class Member(tarfile.TarInfo):
    """A member whose headers are short: `tarfile.open(..., tarinfo=Member)`."""

    @classmethod
    def frombuf(cls, *arguments: Any, **options: Any) -> Self:
        """Return the member that a block begins; DatasetError if its headers would not end."""
        member = super().frombuf(*arguments, **options)
        if member.type in CONTINUED and member.size > LONGEST_HEADER:
            raise DatasetError(f"the archive has a header of {member.size:,} bytes")
        return member
