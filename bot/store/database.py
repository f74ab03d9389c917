"""Short transactions in the journal's database, beside the journal.

The journal refuses a database that holds tables but no journal, so open the side tables after the journal is there. SQLite works
in a thread, PostgreSQL by its asynchronous driver; a call is one short transaction that waits at most `seconds`. When a call
returns, what it wrote is on the disk.
"""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from sqlalchemy import Connection, create_engine, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import QueuePool

from bot.store.errors import StoreUnavailable
from bot.store.schema import Schema

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

T = TypeVar("T")
Work = Callable[[Connection], T]

_SQLITE_PREFIX = "sqlite:///"
_POSTGRES = ("postgresql://", "postgresql+asyncpg://")
_CONNECT_SECONDS = 5.0
_POOLED = 2


class Database(Protocol):
    """Where side tables live. `work` is given a connection in a transaction, and must do nothing else that takes time."""

    async def run(self, work: Work[T]) -> T:
        """Do the work in one transaction, all or nothing; `StoreUnavailable` if the database cannot be used."""
        ...

    async def alone(self, name: str, work: Work[T]) -> T:
        """The same, one after another with all other work of this name, in every process."""
        ...

    async def prepare(self, schema: Schema) -> None:
        """Make or upgrade tables, whoever else does so at the same time; `StoreUnavailable` if they are of a newer bot."""
        ...

    async def close(self) -> None:
        """Release the connections."""
        ...


def open_database(url: str, seconds: float = 10.0, threads: Executor | None = None) -> Database:
    """The database of a `sqlite:///FILE` or `postgresql://` URL; it is reached with the first call.

    A file is used in `threads`, without any in those of the running loop. Raises `StoreUnavailable` for any other URL.
    """
    if url.startswith(_SQLITE_PREFIX) and url != _SQLITE_PREFIX:
        return _Sqlite(Path(url.removeprefix(_SQLITE_PREFIX)), seconds, threads)
    if url.startswith(_POSTGRES):
        return _Postgres(url, seconds)
    message = f"url {_shown(url)!r} is not served: use sqlite:///FILE or postgresql://USER@HOST/NAME"
    raise StoreUnavailable(message)


async def open_prepared(url: str, schema: Schema, seconds: float = 10.0, threads: Executor | None = None) -> Database:
    """The same with the tables of `schema` in it; where they cannot be made, nothing stays open. `StoreUnavailable` says why."""
    database = open_database(url, seconds, threads)
    try:
        await database.prepare(schema)
    except BaseException:
        with suppress(StoreUnavailable):
            await database.close()
        raise
    return database


def _shown(url: str) -> str:
    """The URL as a message may show it: without user, password and parameters."""
    scheme, mark, rest = url.partition("://")
    return scheme + mark + rest.rpartition("@")[2].partition("?")[0]


class _Sqlite:
    """A file. Every call in a thread; the wait for another writer is SQLite's own, `seconds` at most."""

    def __init__(self, path: Path, seconds: float, threads: Executor | None) -> None:
        self._path = path.absolute()
        self._seconds = seconds
        self._threads = threads
        self._engine = create_engine(
            "sqlite://", creator=self._connect, poolclass=QueuePool, pool_size=_POOLED, max_overflow=0, pool_timeout=seconds
        )

    def _connect(self) -> sqlite3.Connection:
        # Autocommit, so that the BEGIN below is the only one: the driver's own begins too late to guard a read before a write.
        return sqlite3.connect(self._path, timeout=self._seconds, check_same_thread=False, isolation_level=None)

    def _run(self, work: Work[T], begin: str) -> T:
        try:
            with self._engine.connect() as connection:
                try:
                    connection.exec_driver_sql(begin)
                    done = work(connection)
                    connection.exec_driver_sql("COMMIT")
                except BaseException:
                    # With the connection, whatever it had begun is gone, also where the engine refuses to say ROLLBACK.
                    connection.invalidate()
                    raise
                return done
        except (SQLAlchemyError, sqlite3.Error, OSError) as error:
            raise StoreUnavailable(_told(str(self._path), error)) from error

    async def run(self, work: Work[T]) -> T:
        # Not cancelled with its caller: a thread cannot be; it ends by itself within the busy time.
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._run, work, "BEGIN")

    async def alone(self, name: str, work: Work[T]) -> T:
        del name  # a file has one writer at a time, whatever it writes
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._run, work, "BEGIN IMMEDIATE")

    async def prepare(self, schema: Schema) -> None:
        await self.alone(schema.name, schema.prepare)

    async def close(self) -> None:
        self._engine.dispose()


class _Postgres:
    """A server, by a small pool of the running loop."""

    def __init__(self, url: str, seconds: float) -> None:
        self._dsn = "postgresql://" + url.partition("://")[2]
        self._seconds = seconds
        self._engine = self._made()

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

        return await asyncpg.connect(self._dsn, timeout=_CONNECT_SECONDS, command_timeout=self._seconds)

    async def run(self, work: Work[T]) -> T:
        import asyncpg  # noqa: PLC0415

        try:
            async with asyncio.timeout(self._seconds), self._engine.begin() as connection:
                return await connection.run_sync(work)
        except (SQLAlchemyError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError) as error:
            raise StoreUnavailable(_told(_shown(self._dsn), error)) from error

    async def alone(self, name: str, work: Work[T]) -> T:
        key = _lock_key(name)

        def locked(connection: Connection) -> T:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": key})
            return work(connection)

        return await self.run(locked)

    async def prepare(self, schema: Schema) -> None:
        await self.alone(schema.name, schema.prepare)

    async def close(self) -> None:
        await self._engine.dispose()


def _lock_key(name: str) -> int:
    """A 64-bit key: the same in every process and release."""
    return int.from_bytes(hashlib.sha256(f"arbiter:{name}".encode()).digest()[:8], signed=True)


def _told(place: str, error: Exception) -> str:
    """What hinders, without the statement and its values, which SQLAlchemy would quote."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    return f"the database {place} cannot be used: {cause or type(error).__name__}"
