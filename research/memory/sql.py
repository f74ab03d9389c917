"""The memory in the journal's database, in tables of its own.

The journal refuses a database that holds tables but no journal, so open the memory after the journal is there. A call does one
short transaction and waits at most `seconds`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

from sqlalchemy import BigInteger, Column, Connection, MetaData, Table, Text, column, func, inspect, select, table
from sqlalchemy.dialects import postgresql, sqlite

from bot.store.database import Database, Work, open_database, open_prepared
from bot.store.errors import StoreUnavailable
from bot.store.schema import Schema
from research.memory.confidence import Confidence
from research.memory.errors import MemoryUnavailable
from research.memory.evidence import Evidence, Subject, dumped, kind_of, loaded
from research.memory.lessons import Lesson
from research.memory.parameters import RobustParameters
from research.memory.policy import DEFAULT_POLICY, MemoryPolicy
from research.memory.store import Recollection, recall, sorted_subjects

T = TypeVar("T")

_VERSIONS: dict[int, tuple[str, ...]] = {
    1: (
        "CREATE TABLE IF NOT EXISTS memory_evidence ("
        "id TEXT NOT NULL PRIMARY KEY, kind TEXT NOT NULL, symbol TEXT NOT NULL, strategy TEXT NOT NULL, "
        "timeframe TEXT NOT NULL, known_at BIGINT NOT NULL, body TEXT NOT NULL)",
        "CREATE INDEX IF NOT EXISTS ix_memory_evidence_subject "
        "ON memory_evidence (symbol, strategy, timeframe, kind, known_at, id)",
    ),
}
VERSION = len(_VERSIONS)
_SCHEMA = Schema("memory", _VERSIONS)
_NOTHING_YET = "so nothing was remembered yet: trade, or run a backtest with --analyse"
_ROWS_PER_STATEMENT = 100

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


class SqlMemory:
    """A `MemoryStore` in a database; make it with `open`, and close it."""

    def __init__(self, database: Database, policy: MemoryPolicy) -> None:
        self._database = database
        self._policy = policy

    @classmethod
    async def open(cls, url: str, policy: MemoryPolicy = DEFAULT_POLICY, *, seconds: float = 10.0) -> Self:
        """Reach the database of a `sqlite:///FILE` or `postgresql://` URL and make the tables if they are missing.

        Raises `MemoryUnavailable` if it cannot be reached or was made by a newer version.
        """
        try:
            return cls(await open_prepared(url, _SCHEMA, seconds), policy)
        except StoreUnavailable as error:
            raise MemoryUnavailable(_told(error)) from error

    @classmethod
    async def open_to_read(cls, url: str, policy: MemoryPolicy = DEFAULT_POLICY, *, seconds: float = 10.0) -> Self:
        """Reach it for look-ups alone: nothing is made or changed.

        Raises `MemoryUnavailable` also where nothing was ever remembered, or what is there is of another version.
        """
        try:
            _refuse_absent(url)
            database = open_database(url, seconds)
            try:
                await database.run(_examine)
            except BaseException:
                await database.close()
                raise
        except StoreUnavailable as error:
            raise MemoryUnavailable(_told(error)) from error
        return cls(database, policy)

    @property
    def policy(self) -> MemoryPolicy:
        """How its look-ups weigh the evidence."""
        return self._policy

    async def remember(self, evidence: Sequence[Evidence]) -> int:
        """Keep it all or none of it; how many were new."""
        rows = list({row["id"]: row for row in map(_row, evidence)}.values())
        return await self._run(lambda connection: _insert(connection, rows)) if rows else 0

    async def subjects(self, as_of: int) -> Sequence[Subject]:
        """What anything is known about."""
        columns = _evidence.c.symbol, _evidence.c.strategy, _evidence.c.timeframe
        asked = select(*columns).where(_evidence.c.known_at <= as_of).distinct()
        found = await self._run(lambda connection: connection.execute(asked).all())
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
        return await self._run(lambda connection: _known(connection, subject, as_of, window))

    async def _run(self, work: Work[T]) -> T:
        try:
            return await self._database.run(work)
        except StoreUnavailable as error:
            raise MemoryUnavailable(_told(error)) from error

    async def close(self) -> None:
        """Release the connections."""
        await self._database.close()


def _refuse_absent(url: str) -> None:
    """To connect to a file that is not there would make it."""
    path = url.removeprefix("sqlite:///")
    if path != url and not Path(path).is_file():
        message = f"there is no {path}, {_NOTHING_YET}"
        raise MemoryUnavailable(message)


def _examine(connection: Connection) -> None:
    """Refuse what cannot be read as this version reads it."""
    kept = f"{_SCHEMA.name}_schema"
    if not inspect(connection).has_table(kept):
        message = f"the database has no memory in it, {_NOTHING_YET}"
        raise MemoryUnavailable(message)
    there = connection.execute(select(func.max(column("version"))).select_from(table(kept))).scalar_one_or_none() or 0
    if there != VERSION:
        message = f"the memory's tables are of version {there}, this bot reads {VERSION}: use the newer bot, or run it once"
        raise MemoryUnavailable(message)


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


def _told(error: StoreUnavailable) -> str:
    return f"the memory cannot be used: {error}; nothing was remembered by this call"
