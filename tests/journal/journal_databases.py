"""What a test does to a journal's database behind the journal's back."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import asyncpg

from bot.journal.address import database_name, is_postgres, sqlite_path
from bot.journal.loops import LoopThread
from bot.journal.upgrade import upgrade

_SECONDS = 20.0


@cache
def _empty_database() -> bytes:
    """A migrated, empty journal: migrating once is enough for a test run."""
    with TemporaryDirectory() as folder:
        upgrade(f"sqlite:///{folder}/journal.db")
        return (Path(folder) / "journal.db").read_bytes()


def empty_file(folder: Path) -> str:
    """The URL of an empty journal in a file there."""
    (folder / "journal.db").write_bytes(_empty_database())
    return f"sqlite:///{folder / 'journal.db'}"


def another_database(server: str, name: str) -> str:
    """The same server, another database."""
    address, _, query = server.partition("?")
    return f"{address.rpartition('/')[0]}/{name}" + (f"?{query}" if query else "")


def on_server(url: str, *statements: str) -> list[tuple[Any, ...]]:
    """Run statements, each by itself; the rows of the last one."""

    async def run() -> list[tuple[Any, ...]]:
        connection = await asyncpg.connect(url)
        try:
            found = [await connection.fetch(statement) for statement in statements]
        finally:
            await connection.close()
        return [tuple(row) for row in found[-1]]

    with LoopThread("test") as loop:
        return loop.run(run(), _SECONDS)


def rows(url: str, sql: str) -> list[tuple[Any, ...]]:
    """What a plain client sees."""
    if is_postgres(url):
        return on_server(url, sql)
    with closing(sqlite3.connect(sqlite_path(url))) as connection:
        return connection.execute(sql).fetchall()


def change(url: str, *statements: str) -> None:
    """What no client should do."""
    if is_postgres(url):
        on_server(url, *statements)
        return
    with closing(sqlite3.connect(sqlite_path(url))) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def rescue_file(url: str, folder: Path, run: str) -> Path:
    """Where the rows of a run are kept that could not reach the database."""
    name = f"postgresql-{database_name(url)}" if is_postgres(url) else sqlite_path(url).name
    return folder / f"{name}.rescue-{run}.jsonl"


@contextmanager
def locked(url: str) -> Iterator[None]:
    """Somebody else holds what the writer needs."""
    if not is_postgres(url):
        with closing(sqlite3.connect(sqlite_path(url), isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield
            other.execute("ROLLBACK")
        return
    with LoopThread("test") as loop:
        other = loop.run(asyncpg.connect(url), _SECONDS)
        try:
            loop.run(other.execute("BEGIN; LOCK TABLE orders, fates, equity IN EXCLUSIVE MODE"), _SECONDS)
            yield
            loop.run(other.execute("ROLLBACK"), _SECONDS)
        finally:
            loop.run(other.close(), _SECONDS)


def lose_connections(url: str) -> int:
    """End every session of this database as an administrator does; how many there were."""
    return len(
        on_server(
            url,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
            "AND pid <> pg_backend_pid()",
        )
    )
