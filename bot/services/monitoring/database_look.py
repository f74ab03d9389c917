"""The journal's database, looked at: size, rows, age, and how fast it answers. Nothing here walks through a table."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from sqlalchemy import Connection, text

from bot.journal.address import is_postgres, sqlite_path
from bot.journal.tables import metadata
from bot.services.look_up import database_to_read
from bot.services.use_case import Ground, UseCaseError
from bot.store.database import Database
from bot.store.errors import StoreUnavailable

PROBES = 5
_MOST_TABLES = 200
_PROBE = 'SELECT max("row") FROM decisions'
_DATED = tuple(sorted(name for name, table in metadata.tables.items() if {"row", "at"} <= set(table.columns.keys())))


@dataclass(frozen=True, slots=True)
class TableLook:
    """A table; `rows` is an estimate: the span of its row numbers, or what the planner believes. `bytes` where it is known."""

    name: str
    rows: int
    bytes: int | None = None


async def _database_of(ground: Ground) -> Database:
    database = await database_to_read(ground)
    if database is None:
        message = f"there is no journal in {sqlite_path(ground.loaded.settings.database_url)} yet; it is made by the first run"
        raise UseCaseError(message)
    return database


async def read_seconds(ground: Ground) -> list[float]:
    """How long a small query took, several times, the connection and the thread not counted."""
    database = await _database_of(ground)

    def probe(connection: Connection) -> list[float]:
        took = []
        for _ in range(PROBES):
            began = perf_counter()
            connection.execute(text(_PROBE)).all()
            took.append(perf_counter() - began)
        return took

    try:
        return await database.run(probe)
    except StoreUnavailable as error:
        raise UseCaseError(str(error)) from error


async def look(ground: Ground) -> dict[str, object]:
    """Engine, sizes (bytes), tables, and the oldest row (ms UTC)."""
    database, url = await _database_of(ground), ground.loaded.settings.database_url
    server = is_postgres(url)
    try:
        tables = await database.run(_server_tables if server else _file_tables)
        oldest = await database.run(lambda connection: _oldest(connection, {table.name for table in tables}))
        size = await database.run(_server_size) if server else None
    except StoreUnavailable as error:
        raise UseCaseError(str(error)) from error
    files = [] if server else await asyncio.to_thread(_files, sqlite_path(url))
    segments = await asyncio.to_thread(_segments, ground.loaded.settings.bot.data_dir)
    return {
        "engine": "postgresql" if server else "sqlite",
        "bytes": size if size is not None else sum(one for _, one in files),
        "files": [{"path": name, "bytes": one} for name, one in files],
        "wal_bytes": next((one for name, one in files if name.endswith("-wal")), 0 if not server else None),
        "segments_bytes": segments,
        "oldest": oldest,
        "tables": [{"name": table.name, "rows": table.rows, "bytes": table.bytes} for table in tables],
    }


def _file_tables(connection: Connection) -> list[TableLook]:
    asked = "SELECT name, sql FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name LIMIT :most"
    found = connection.execute(text(asked), {"most": _MOST_TABLES}).all()
    return [TableLook(name, _span(connection, name)) for name, sql in found if "WITHOUT ROWID" not in str(sql).upper()]


def _span(connection: Connection, table: str) -> int:
    quoted = '"' + table.replace('"', '""') + '"'
    # Two statements, so that each is a look at one end of the tree.
    last = connection.execute(text(f"SELECT max(rowid) FROM {quoted}")).scalar_one()  # noqa: S608 - a name of the catalogue
    first = connection.execute(text(f"SELECT min(rowid) FROM {quoted}")).scalar_one()  # noqa: S608
    return 0 if last is None else int(last) - int(first) + 1


def _server_tables(connection: Connection) -> list[TableLook]:
    asked = (
        "SELECT c.relname, c.reltuples::bigint, pg_total_relation_size(c.oid) FROM pg_class c "
        "WHERE c.relkind = 'r' AND c.relnamespace = current_schema()::regnamespace ORDER BY c.relname LIMIT :most"
    )
    rows = connection.execute(text(asked), {"most": _MOST_TABLES}).all()
    return [TableLook(name, max(0, int(believed)), int(size)) for name, believed, size in rows]


def _server_size(connection: Connection) -> int:
    return int(connection.execute(text("SELECT pg_database_size(current_database())")).scalar_one())


def _oldest(connection: Connection, there: set[str]) -> int | None:
    """When the oldest fact that is still kept happened."""
    firsts: list[int] = []
    for name in _DATED:
        if name in there:
            asked = text(f'SELECT at FROM {name} ORDER BY "row" LIMIT 1')  # noqa: S608 - a name of our own
            firsts += [int(at) for (at,) in connection.execute(asked).all()]
    return min(firsts, default=None)


def _files(path: Path) -> Sequence[tuple[str, int]]:
    places = [path, path.with_name(path.name + "-wal"), path.with_name(path.name + "-shm")]
    return [(str(place), place.stat().st_size) for place in places if place.exists()]


def _segments(data_dir: Path) -> int:
    """Bytes of the recorded inputs beside the journal."""
    folder = data_dir / "segments"
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) if folder.is_dir() else 0
