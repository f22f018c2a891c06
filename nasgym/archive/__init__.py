"""The archive: every trained child and every finished episode, in one SQLite file.

With write-ahead logging and `synchronous=FULL`, data are on disk when a writing call returns, and a
killed process leaves only whole transactions. A child is stored once (`results`), however many
episodes (`trials`) of however many runs share it. Agent states are stored in the same file, so that
they always agree with the trials.
"""

from nasgym.archive.archive import STATES_KEPT, Archive
from nasgym.archive.claim import MAIN
from nasgym.archive.database import ArchiveError
from nasgym.archive.records import AgentState, Counts, Origin, Proposal, Trial, Update
from nasgym.archive.schema import VERSION

__all__ = [
    "MAIN",
    "STATES_KEPT",
    "VERSION",
    "AgentState",
    "Archive",
    "ArchiveError",
    "Counts",
    "Origin",
    "Proposal",
    "Trial",
    "Update",
]
