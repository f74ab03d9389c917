"""What PostgreSQL's errors mean to the journal."""

from __future__ import annotations

from collections.abc import Iterator

import asyncpg

from bot.journal.errors import Trouble

# https://www.postgresql.org/docs/current/errcodes-appendix.html: a class, or one of its codes, which goes first.
_KINDS = {
    "53100": Trouble.DISK_FULL,
    "53300": Trouble.CONNECTION,
    "55P03": Trouble.LOCKED,
    "55006": Trouble.LOCKED,
    "40": Trouble.LOCKED,
    "25006": Trouble.READ_ONLY,
    "42501": Trouble.READ_ONLY,
    "08": Trouble.CONNECTION,
    "28": Trouble.CONNECTION,
    "3D": Trouble.CONNECTION,
    "57P": Trouble.CONNECTION,
    "XX001": Trouble.CORRUPT,
    "XX002": Trouble.CORRUPT,
}
_ROW_CLASSES = ("22", "23")

# What the driver and the network raise. An InternalClientError is what a connection that was ended under us may answer with.
DRIVER_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
_NO_TABLE = "42P01"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error and what is behind it: SQLAlchemy and its adapter wrap the driver's."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = getattr(seen, "orig", None) or seen.__cause__


def sqlstate(error: BaseException) -> str:
    """The five letters of the server's answer; empty if it never answered."""
    return next((str(state) for each in _causes(error) if (state := getattr(each, "sqlstate", None))), "")


def kind_of(error: BaseException) -> Trouble:
    """The trouble behind an error of the server, the driver or the network."""
    state = sqlstate(error)
    if state:
        return next((kind for code, kind in _KINDS.items() if state.startswith(code)), Trouble.IO)
    return Trouble.CONNECTION if any(isinstance(each, DRIVER_ERRORS) for each in _causes(error)) else Trouble.IO


def refuses_row(error: BaseException) -> bool:
    """Whether a row is the trouble: it breaks a constraint or does not bind."""
    # What does not bind is the driver's ValueError.
    return isinstance(error, ValueError) or sqlstate(error).startswith(_ROW_CLASSES)


def lacks_table(error: BaseException) -> bool:
    """Whether the database has no such table: nothing was journaled there yet."""
    return sqlstate(error) == _NO_TABLE


def text_of(error: BaseException) -> str:
    """One line that names the cause, also for errors that say nothing themselves."""
    last = list(_causes(error))[-1]
    text = str(last).strip().partition("\n")[0]
    return text or type(last).__name__
