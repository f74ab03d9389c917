"""The memory in the journal's database, in tables of its own.

The journal refuses a database that holds tables but no journal, so open the memory after the journal is there. The schema is the
memory's own: plain statements per version, and a row that says which version is there. Works on SQLite (in a thread) and on
PostgreSQL (by its asynchronous driver); a call does one short transaction and waits at most `seconds`.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar

from sqlalchemy import BigInteger, Column, Connection, Integer, MetaData, Table, Text, create_engine, func, select, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import NullPool

from research.memory.confidence import Confidence
from research.memory.errors import MemoryUnavailable
from research.memory.evidence import Evidence, Subject, dumped, kind_of, loaded
from research.memory.lessons import Lesson
from research.memory.parameters import RobustParameters
from research.memory.policy import DEFAULT_POLICY, MemoryPolicy
from research.memory.store import Recollection, recall, sorted_subjects

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

T = TypeVar("T")
Work = Callable[[Connection], T]

VERSION = 1
# The statements that lead to each version, for both engines; each may be said again after an interruption.
_DDL: dict[int, tuple[str, ...]] = {
    1: (
        "CREATE TABLE IF NOT EXISTS memory_evidence ("
        "id TEXT NOT NULL PRIMARY KEY, kind TEXT NOT NULL, symbol TEXT NOT NULL, strategy TEXT NOT NULL, "
        "timeframe TEXT NOT NULL, known_at BIGINT NOT NULL, body TEXT NOT NULL)",
        "CREATE INDEX IF NOT EXISTS ix_memory_evidence_subject "
        "ON memory_evidence (symbol, strategy, timeframe, kind, known_at, id)",
    ),
}
_VERSION_TABLE = "CREATE TABLE IF NOT EXISTS memory_schema (version INTEGER NOT NULL)"
# Two bots that start at once: the second waits, and finds the tables there.
_LOCK = 0x4152_4D45
_SQLITE_PREFIX = "sqlite:///"
_POSTGRES = ("postgresql://", "postgresql+asyncpg://")
_CONNECT_SECONDS = 5.0
_ROWS_PER_STATEMENT = 100
_POOLED = 2

# Only names for queries: nothing is created from this.
_metadata = MetaData()
_evidence = Table(
    "memory_evidence",
    _metadata,
    Column("id", Text, primary_key=True),
    Column("kind", Text),
    Column("symbol", Text),
    Column("strategy", Text),
    Column("timeframe", Text),
    Column("known_at", BigInteger),
    Column("body", Text),
)
_schema = Table("memory_schema", _metadata, Column("version", Integer))


class SqlMemory:
    """A `MemoryStore` in a database; make it with `open`, and close it."""

    def __init__(self, database: _Database, policy: MemoryPolicy) -> None:
        self._database = database
        self._policy = policy

    @classmethod
    async def open(cls, url: str, policy: MemoryPolicy = DEFAULT_POLICY, *, seconds: float = 10.0) -> Self:
        """Reach the database of a `sqlite:///FILE` or `postgresql://` URL and make the tables if they are missing.

        Raises `MemoryUnavailable` if it cannot be reached or was made by a newer version.
        """
        store = cls(_database(url, seconds), policy)
        try:
            await store._database.run(_prepare)
        except BaseException:
            await store.close()
            raise
        return store

    async def remember(self, evidence: Sequence[Evidence]) -> int:
        """Keep it all or none of it; how many were new."""
        rows = list({row["id"]: row for row in map(_row, evidence)}.values())
        return await self._database.run(lambda connection: _insert(connection, rows)) if rows else 0

    async def subjects(self, as_of: int) -> Sequence[Subject]:
        """What anything is known about."""
        columns = _evidence.c.symbol, _evidence.c.strategy, _evidence.c.timeframe
        asked = select(*columns).where(_evidence.c.known_at <= as_of).distinct()
        found = await self._database.run(lambda connection: connection.execute(asked).all())
        return sorted_subjects(Subject(*row) for row in found)

    async def lessons(self, subject: Subject, as_of: int, limit: int = 100) -> Sequence[Lesson]:
        """Newest first."""
        return await self._recalled(subject, as_of, lambda known: known.lessons(limit))

    async def confidence(self, subject: Subject, as_of: int) -> Confidence | None:
        """None if nothing is known."""
        return await self._recalled(subject, as_of, Recollection.confidence)

    async def parameters(self, subject: Subject, as_of: int) -> RobustParameters | None:
        """None if the history cannot tell."""
        return await self._recalled(subject, as_of, Recollection.parameters)

    async def evidence(self, subject: Subject, as_of: int) -> list[Evidence]:
        """All that a look-up sees, newest first of each kind: to fill a quicker store. `EvidenceError` for a row that is none."""
        bodies = await self._bodies(subject, as_of)
        return await asyncio.to_thread(lambda: [loaded(kind, body) for kind, body in bodies])

    async def _recalled(self, subject: Subject, as_of: int, told: Callable[[Recollection], T]) -> T:
        bodies = await self._bodies(subject, as_of)
        # In a thread: hundreds of backtests take milliseconds, and the caller's loop may be the desk's.
        return await asyncio.to_thread(
            lambda: told(recall((loaded(kind, body) for kind, body in bodies), as_of, self._policy)),
        )

    async def _bodies(self, subject: Subject, as_of: int) -> list[tuple[str, str]]:
        window = self._policy.window
        return await self._database.run(lambda connection: _known(connection, subject, as_of, window))

    async def close(self) -> None:
        """Release the connections."""
        await self._database.close()


def _row(evidence: Evidence) -> dict[str, Any]:
    subject = evidence.subject
    return {
        "id": evidence.id,
        "kind": kind_of(evidence),
        "symbol": subject.symbol,
        "strategy": subject.strategy,
        "timeframe": subject.timeframe,
        "known_at": evidence.known_at,
        "body": dumped(evidence),
    }


def _insert(connection: Connection, rows: Sequence[dict[str, Any]]) -> int:
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    new = 0
    for first in range(0, len(rows), _ROWS_PER_STATEMENT):
        some = rows[first : first + _ROWS_PER_STATEMENT]
        statement = insert(_evidence).values(some).on_conflict_do_nothing(index_elements=["id"])
        new += len(connection.execute(statement.returning(_evidence.c.id)).all())
    return new


def _known(connection: Connection, subject: Subject, as_of: int, window: int) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for kind in ("trade", "backtest"):
        asked = (
            select(_evidence.c.kind, _evidence.c.body)
            .where(
                _evidence.c.symbol == subject.symbol,
                _evidence.c.strategy == subject.strategy,
                _evidence.c.timeframe == subject.timeframe,
                _evidence.c.kind == kind,
                _evidence.c.known_at <= as_of,
            )
            .order_by(_evidence.c.known_at.desc(), _evidence.c.id.desc())
            .limit(window)
        )
        found += [(str(row.kind), str(row.body)) for row in connection.execute(asked)]
    return found


def _prepare(connection: Connection) -> None:
    """Bring the tables to this version, whoever else does so at the same time."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(_LOCK)))
    connection.execute(text(_VERSION_TABLE))
    there = connection.execute(select(func.max(_schema.c.version))).scalar_one_or_none() or 0
    if there > VERSION:
        message = f"the memory's tables are of version {there}, this bot knows {VERSION}: use the newer bot"
        raise MemoryUnavailable(message)
    for version in range(there + 1, VERSION + 1):
        for statement in _DDL[version]:
            connection.execute(text(statement))
        connection.execute(_schema.insert().values(version=version))


class _Database(Protocol):
    async def run(self, work: Work[T]) -> T: ...

    async def close(self) -> None: ...


def _database(url: str, seconds: float) -> _Database:
    if url.startswith(_SQLITE_PREFIX) and url != _SQLITE_PREFIX:
        return _Sqlite(Path(url.removeprefix(_SQLITE_PREFIX)), seconds)
    if url.startswith(_POSTGRES):
        return _Postgres(url, seconds)
    message = f"memory url {_shown(url)!r} is not served: use sqlite:///FILE or postgresql://USER@HOST/NAME"
    raise MemoryUnavailable(message)


def _shown(url: str) -> str:
    """The URL as a message may show it: without user, password and parameters."""
    scheme, mark, rest = url.partition("://")
    return scheme + mark + rest.rpartition("@")[2].partition("?")[0]


class _Sqlite:
    """A file. A connection per call, in a thread; the wait for another writer is SQLite's own, `seconds` at most."""

    def __init__(self, path: Path, seconds: float) -> None:
        self._path = path.absolute()
        self._seconds = seconds
        self._engine = create_engine("sqlite://", creator=self._connect, poolclass=NullPool)

    def _connect(self) -> sqlite3.Connection:
        # Autocommit, so that the BEGIN below is the only one: the driver's own begins too late to guard a read before a write.
        return sqlite3.connect(self._path, timeout=self._seconds, check_same_thread=False, isolation_level=None)

    def _run(self, work: Work[T]) -> T:
        try:
            with self._engine.connect() as connection:
                connection.exec_driver_sql("BEGIN IMMEDIATE" if work is _prepare else "BEGIN")
                try:
                    done = work(connection)
                except BaseException:
                    connection.exec_driver_sql("ROLLBACK")
                    raise
                connection.exec_driver_sql("COMMIT")
                return done
        except (SQLAlchemyError, sqlite3.Error, OSError) as error:
            raise MemoryUnavailable(_told(str(self._path), error)) from error

    async def run(self, work: Work[T]) -> T:
        # Not cancelled with its caller: a thread cannot be; it ends by itself within the busy time.
        return await asyncio.to_thread(self._run, work)

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
            raise MemoryUnavailable(_told(_shown(self._dsn), error)) from error

    async def close(self) -> None:
        await self._engine.dispose()


def _told(place: str, error: Exception) -> str:
    """What hinders, without the statement and its values, which SQLAlchemy would quote."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    return f"the memory in {place} cannot be used: {cause or type(error).__name__}; nothing was remembered by this call"
