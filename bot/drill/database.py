"""The journal's database in a drill: SQLite in the scratch folder, or a database of its own on a PostgreSQL server.

Both can be locked by somebody else, and both can become impossible to write: a full disk, a server that is gone.
"""

from __future__ import annotations

import secrets
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit, urlunsplit

from bot.drill.wire import Wire

_PATIENCE_SECONDS = 10.0
_FULL_AT_BYTES = 4_096


class Database(Protocol):
    """Where the bot of a drill journals to. `url` is the bot's way, `audit_url` the auditor's."""

    url: str
    audit_url: str

    def locked(self) -> AbstractAsyncContextManager[None]:
        """Somebody else holds a lock that no writer gets past."""
        ...

    def unwritable(self, pid: int) -> AbstractAsyncContextManager[None]:
        """The process cannot write its journal at all."""
        ...

    async def close(self, keep: bool = False) -> None:
        """Let go of it; remove it, unless it is to be looked at."""
        ...


class SqliteDatabase:
    """A file in the scratch folder."""

    def __init__(self, place: Path) -> None:
        self.path = place / "arbiter.db"
        self.url = self.audit_url = f"sqlite:///{self.path}"

    @asynccontextmanager
    async def locked(self) -> AsyncIterator[None]:
        """Another process has begun to write and does not come to an end."""
        other = sqlite3.connect(self.path, isolation_level=None, timeout=_PATIENCE_SECONDS)
        try:
            other.execute("BEGIN IMMEDIATE")
            yield
            other.execute("ROLLBACK")
        finally:
            other.close()

    @asynccontextmanager
    async def unwritable(self, pid: int) -> AsyncIterator[None]:
        """The disk is full for the process: no file of its own can be written beyond its first page."""
        if sys.platform != "linux":
            message = "a full disk can be played on Linux alone"
            raise OSError(message)
        import resource  # noqa: PLC0415 - not on every system

        soft, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (_FULL_AT_BYTES, hard))
        try:
            yield
        finally:
            with suppress(ProcessLookupError):
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (soft, hard))

    async def close(self, keep: bool = False) -> None:
        """It goes with the scratch folder."""


class PostgresDatabase:
    """A database of the drill's own, reached through a wire that can be cut."""

    def __init__(self, server: str, name: str, wire: Wire) -> None:
        self._server = server
        self._name = name
        self._wire = wire
        parts = urlsplit(server)
        self.audit_url = urlunsplit(parts._replace(path=f"/{name}"))
        user, mark, _ = parts.netloc.rpartition("@")
        self.url = urlunsplit(parts._replace(netloc=f"{user}{mark}127.0.0.1:{wire.port}", path=f"/{name}"))

    @classmethod
    async def create(cls, server: str) -> PostgresDatabase:
        """Make it on the server of that URL, whose user must be allowed to."""
        name = f"arbiter_drill_{secrets.token_hex(6)}"
        await _execute(server, f'CREATE DATABASE "{name}"')
        parts = urlsplit(server)
        wire = Wire(parts.hostname or "127.0.0.1", parts.port or 5432)
        await wire.connect()
        return cls(server, name, wire)

    @asynccontextmanager
    async def locked(self) -> AsyncIterator[None]:
        """Another session holds every table of orders and does not come to an end."""
        import asyncpg  # noqa: PLC0415 - only for PostgreSQL

        other = await asyncpg.connect(_dsn(self.audit_url), timeout=_PATIENCE_SECONDS)
        try:
            await other.execute("BEGIN")
            await other.execute("LOCK TABLE orders, order_events, fills IN EXCLUSIVE MODE", timeout=_PATIENCE_SECONDS)
            yield
            await other.execute("ROLLBACK")
        finally:
            await other.close(timeout=_PATIENCE_SECONDS)

    @asynccontextmanager
    async def unwritable(self, pid: int) -> AsyncIterator[None]:
        """The server is gone: connections break, and new ones are refused."""
        del pid
        await self._wire.cut()
        try:
            yield
        finally:
            await self._wire.connect()

    async def close(self, keep: bool = False) -> None:
        """Drop it, unless it is to be looked at."""
        await self._wire.cut()
        if not keep:
            await _execute(self._server, f'DROP DATABASE IF EXISTS "{self._name}" WITH (FORCE)')


def _dsn(url: str) -> str:
    return url.replace("+asyncpg", "", 1)


async def _execute(url: str, statement: str) -> None:
    import asyncpg  # noqa: PLC0415 - only for PostgreSQL

    connection = await asyncpg.connect(_dsn(url), timeout=_PATIENCE_SECONDS)
    try:
        await connection.execute(statement, timeout=_PATIENCE_SECONDS)
    finally:
        await connection.close(timeout=_PATIENCE_SECONDS)
