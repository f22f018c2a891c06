"""The archive: every child ever trained and every episode ever finished, in one SQLite file.

Write-ahead logging with `synchronous=FULL`: what is handed over to be written is on disk when the
call returns, and a process killed at any moment leaves whole transactions only. Children are kept
once (`results`), however many episodes (`trials`) of however many runs ended in them. An agent's
state lies in the same file, so that it can never disagree with the trials.
"""

from nasgym.archive.archive import STATES_KEPT, Archive
from nasgym.archive.claim import MAIN
from nasgym.archive.database import ArchiveError
from nasgym.archive.records import Counts, Origin, Proposal, Saved, Trial, Update
from nasgym.archive.schema import VERSION

__all__ = [
    "MAIN",
    "STATES_KEPT",
    "VERSION",
    "Archive",
    "ArchiveError",
    "Counts",
    "Origin",
    "Proposal",
    "Saved",
    "Trial",
    "Update",
]
