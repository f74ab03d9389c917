"""What the writer asks of a database."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from bot.journal.rows import Row
from bot.journal.run import BookKey

# Not a table: the write whose rows are `{"run": ..., "kept": ...}` and which deletes that run's older snapshots.
TRIM = "snapshots:trim"


@dataclass(frozen=True, slots=True)
class Write:
    """Rows of one table, whole: with `book` and `run`."""

    table: str
    rows: Iterable[Row]


@dataclass(frozen=True, slots=True)
class Mark:
    """The batch of a run; numbers rise."""

    run: str
    number: int


class Engine(Protocol):
    """A database behind the writer. Every call may block; once a writer has started, they are its thread's."""

    def enter(self, book: BookKey, row: Row) -> int:
        """Find or make the book and store the run's row durably, before the writer starts; the book's key.

        Raises `JournalUnavailable` if the database cannot be written, `JournalError` if the run is there already.
        """
        ...

    def commit(self, writes: Iterable[Write], *, durable: bool, mark: Mark | None = None) -> None:
        """Write all or nothing; `durable` means on the disk when this returns. What is stored under a mark is not stored again.

        Raises `StoreFault` if nothing could be written now, `RowFault` if a row can never be.
        """
        ...

    def hold_reserve(self) -> None:
        """Take the disk reserve, where there can be one."""
        ...

    def relieve(self) -> bool:
        """Give up the disk reserve; whether there was one to give."""
        ...

    def relieved(self) -> bool:
        """Whether the reserve was given up and is not held again: the next full disk would stop exits too."""
        ...

    def tidy(self, *, idle: bool) -> None:
        """Housekeeping between batches (checkpoints, the disk reserve); more of it when `idle`. Never raises."""
        ...

    def close(self) -> None:
        """Release the database."""
        ...
