"""A journal's database for everything but writing facts: questions, migrations, upkeep. SQLAlchemy on either engine.

Calls block and may come from any thread. SQLite has a connection per call; PostgreSQL a small pool, whose asynchronous driver
runs in a loop of its own.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar
from urllib.parse import quote

from sqlalchemy import Connection, create_engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from bot.journal.address import is_postgres, postgres_dsn, shown, sqlite_path
from bot.journal.errors import JournalCorrupt, JournalUnavailable, Trouble
from bot.journal.loops import LoopThread

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

T = TypeVar("T")
Work = Callable[[Connection], T]

_POOLED = 4
_CONNECT_SECONDS = 5.0
_DISPOSE_SECONDS = 2.0
_REMEDY = "restore a backup over it, or move it away"


class Database(Protocol):
    """Where work on a connection is done. Every call raises `JournalUnavailable` or `JournalCorrupt` when it cannot be."""

    @property
    def place(self) -> str:
        """What a message may show of it."""
        ...

    def run(self, work: Work[T]) -> T:
        """Do the work on a connection; what it wrote is committed if it ends well."""
        ...

    def close(self) -> None:
        """Release the connections."""
        ...


def open_database(url: str, *, write: bool = False, busy_ms: int = 2_000, seconds: float = 30.0) -> Database:
    """The database of the URL; reading only, unless `write`. One statement may take `seconds`.

    `JournalUnavailable` for a file that is not there.
    """
    if is_postgres(url):
        return PostgresDatabase(url, write=write, busy_ms=busy_ms, seconds=seconds)
    return SqliteDatabase(sqlite_path(url), write=write, busy_ms=busy_ms)


class SqliteDatabase:
    """A journal file, which must exist."""

    def __init__(self, path: Path, *, write: bool, busy_ms: int) -> None:
        self._path = path.absolute()
        self._write = write
        self._busy_ms = busy_ms
        if not self._path.exists():
            message = f"{self._path} does not exist: no run was journaled there yet"
            raise JournalUnavailable(message)
        self._engine = create_engine("sqlite://", creator=self.connect, poolclass=NullPool)

    @property
    def place(self) -> str:
        """The file."""
        return str(self._path)

    def connect(self) -> sqlite3.Connection:
        """A connection of one's own."""
        uri = f"file:{quote(str(self._path))}?mode={'rw' if self._write else 'ro'}"
        connection = sqlite3.connect(uri, uri=True, timeout=self._busy_ms / 1000, check_same_thread=False)
        if not self._write:
            connection.execute("PRAGMA query_only = ON").close()
        return connection

    def run(self, work: Work[T]) -> T:
        """Do the work; see `Database.run`."""
        try:
            with self._engine.begin() as connection:
                return work(connection)
        except (DBAPIError, sqlite3.Error) as error:
            cause = error.orig if isinstance(error, DBAPIError) else error
            message = f"{self._path} cannot be used: {cause}"
            if isinstance(cause, sqlite3.OperationalError):
                raise JournalUnavailable(message) from error
            message = f"{self._path} is damaged ({cause}): {_REMEDY}"
            raise JournalCorrupt(message) from error

    def close(self) -> None:
        """Release the engine."""
        self._engine.dispose()


class OneConnection:
    """Work on a connection that whoever opened it holds, and closes; errors are theirs to translate."""

    def __init__(self, place: str, connection: Connection) -> None:
        self._place = place
        self._connection = connection

    @property
    def place(self) -> str:
        """What a message may show of it."""
        return self._place

    def run(self, work: Work[T]) -> T:
        """Do the work."""
        return work(self._connection)

    def close(self) -> None:
        """Nothing: it is not ours."""


class PostgresDatabase:
    """A database on a server, asked only when there is work."""

    def __init__(self, url: str, *, write: bool, busy_ms: int, seconds: float) -> None:
        self._dsn = postgres_dsn(url)
        self._place = shown(url)
        self._busy_ms = busy_ms
        self._seconds = seconds
        self._write = write
        self._loop = LoopThread("journal-database")
        self._engine = self._made()

    @property
    def place(self) -> str:
        """The address, without user and password."""
        return self._place

    def _made(self) -> AsyncEngine:
        from sqlalchemy.ext.asyncio import create_async_engine  # noqa: PLC0415 - only this engine needs it

        return create_async_engine(
            "postgresql+asyncpg://",
            async_creator=self._connect,
            pool_size=_POOLED,
            max_overflow=0,
            pool_timeout=self._seconds,
            pool_pre_ping=True,
        )

    async def _connect(self, *_: Any, **__: Any) -> Any:
        import asyncpg  # noqa: PLC0415

        from bot.journal.postgres import settings  # noqa: PLC0415

        asked = settings(self._busy_ms) | {"statement_timeout": str(int(self._seconds * 1000))}
        if not self._write:
            asked["default_transaction_read_only"] = "on"
        # The server keeps to its own limit only while it can be reached.
        return await asyncpg.connect(self._dsn, timeout=_CONNECT_SECONDS, command_timeout=self._seconds, server_settings=asked)

    def run(self, work: Work[T]) -> T:
        """Do the work; see `Database.run`."""
        from bot.journal.sqlstates import kind_of, lacks_table, text_of  # noqa: PLC0415

        try:
            return self._loop.run(self._run(work), self._seconds * 4)
        except _refusals() as error:
            if lacks_table(error):
                message = f"{self._place} holds no journal of this version: say `python -m bot db upgrade`"
                raise JournalUnavailable(message) from error
            if kind_of(error) is Trouble.CORRUPT:
                message = f"{self._place} is damaged ({text_of(error)}): {_REMEDY}"
                raise JournalCorrupt(message) from error
            message = f"{self._place} cannot be used: {text_of(error)}"
            raise JournalUnavailable(message) from error

    async def _run(self, work: Work[T]) -> T:
        async with self._engine.begin() as connection:
            return await connection.run_sync(work)

    def close(self) -> None:
        """Close the connections and end the loop."""
        with suppress(TimeoutError):
            self._loop.run(self._engine.dispose(), _DISPOSE_SECONDS)
        self._loop.close()


def _refusals() -> tuple[type[Exception], ...]:
    """What SQLAlchemy, the driver and the network raise."""
    from bot.journal.sqlstates import DRIVER_ERRORS  # noqa: PLC0415

    return (SQLAlchemyError, *DRIVER_ERRORS)
