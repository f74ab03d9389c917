"""What the writer asks of a database."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from bot.journal.rows import Row

# Not a table: the write whose rows are `{"run": ..., "kept": ...}` and which deletes that run's older snapshots.
TRIM = "snapshots:trim"


@dataclass(frozen=True, slots=True)
class Write:
    """Rows of one table, whole: with `book` and `run`."""

    table: str
    rows: Iterable[Row]


class Engine(Protocol):
    """A database behind the writer. Every call is made by the writer's thread and may block it."""

    def commit(self, writes: Iterable[Write], *, durable: bool) -> None:
        """Write all or nothing; `durable` means on the disk when this returns.

        Raises `StoreFault` if nothing could be written now, `RowFault` if a row can never be.
        """
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
