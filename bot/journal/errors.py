"""What can go wrong with the journal, and who hears of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class JournalError(Exception):
    """Anything the journal could not do."""


class JournalCorrupt(JournalError):  # noqa: N818 - the word says it without a suffix
    """A file is damaged or is not ours; the message names it and the remedy."""


class JournalUnavailable(JournalError):  # noqa: N818 - the word says it without a suffix
    """The journal cannot be written just now: what was asked has not happened."""


class Trouble(StrEnum):
    """Kinds of trouble."""

    DISK_FULL = "disk-full"
    LOCKED = "locked"
    CONNECTION = "connection"
    READ_ONLY = "read-only"
    CORRUPT = "corrupt"
    IO = "io"
    OVERFLOW = "overflow"
    ROW_REFUSED = "row-refused"
    SEGMENTS = "segments"


@dataclass(frozen=True, slots=True)
class JournalTrouble:
    """What hinders the journal; `pending` facts wait in memory, `ballast` says whether the disk reserve was just given up."""

    kind: Trouble
    message: str
    pending: int
    ballast: bool = False


class StoreFault(JournalError):  # noqa: N818 - the word says it without a suffix
    """An engine could not commit: nothing of the batch was stored, and the same batch may be tried again.

    `unsure` says that the answer was lost and it may be stored after all: it must be tried again as it is, under the same mark.
    """

    def __init__(self, kind: Trouble, message: str, *, unsure: bool = False) -> None:
        super().__init__(message)
        self.kind = kind
        self.unsure = unsure


class RowFault(JournalError):  # noqa: N818 - the word says it without a suffix
    """A row of the batch can never be stored (it breaks a constraint or does not bind); the batch was rolled back."""
