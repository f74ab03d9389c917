"""Errors in a side table of the journal's database, so that a restart keeps their history. Each bot has its own."""

from __future__ import annotations

from typing import Any, Self

import orjson
from sqlalchemy import Connection, Row, text

from bot.services.monitoring.error_book import ErrorEntry, Kind, Resolved, Unsaved
from bot.store.database import Database, open_prepared
from bot.store.schema import Schema

_SECONDS = 1.0
_FIRST = (
    "CREATE TABLE IF NOT EXISTS monitor_errors ("
    "bot TEXT NOT NULL, fingerprint TEXT NOT NULL, event TEXT NOT NULL, logger TEXT NOT NULL, level TEXT NOT NULL, "
    "exception TEXT NOT NULL, first BIGINT NOT NULL, last BIGINT NOT NULL, count BIGINT NOT NULL, sample TEXT NOT NULL, "
    "hours TEXT NOT NULL, resolved BIGINT NOT NULL, author TEXT NOT NULL, note TEXT NOT NULL, reopened INTEGER NOT NULL, "
    "PRIMARY KEY (bot, fingerprint))",
)
SCHEMA = Schema("monitor", {1: _FIRST})
_COLUMNS = (
    "bot", "fingerprint", "event", "logger", "level", "exception", "first", "last", "count", "sample", "hours", "resolved",
    "author", "note", "reopened",
)  # fmt: skip
_CHANGING = ("first", "last", "count", "sample", "hours", "resolved", "author", "note", "reopened")
_SAVE = (
    f"INSERT INTO monitor_errors ({', '.join(_COLUMNS)}) VALUES ({', '.join(':' + name for name in _COLUMNS)}) "  # noqa: S608
    f"ON CONFLICT (bot, fingerprint) DO UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in _CHANGING)}"
)


class ErrorStore:
    """The errors of one bot; every call raises `StoreUnavailable` where the database cannot be used."""

    def __init__(self, database: Database, bot: str) -> None:
        self._database = database
        self._bot = bot

    @classmethod
    async def open(cls, url: str, bot: str) -> Self:
        """The table in the journal's database, which must be there; close it. A call waits a second, as a stop cannot wait."""
        return cls(await open_prepared(url, SCHEMA, _SECONDS), bot)

    async def close(self) -> None:
        """Release the connections."""
        await self._database.close()

    async def load(self, most: int) -> list[ErrorEntry]:
        """What was kept, the newest."""
        asked = "SELECT * FROM monitor_errors WHERE bot = :bot ORDER BY last DESC LIMIT :most"
        rows = await self._database.run(
            lambda connection: connection.execute(text(asked), {"bot": self._bot, "most": most}).all()
        )
        return [_entry(row) for row in rows]

    async def save(self, unsaved: Unsaved) -> None:
        """Write what changed."""
        rows = [self._row(entry) for entry in unsaved.entries]
        gone = [{"bot": self._bot, "fingerprint": each} for each in unsaved.gone]

        def work(connection: Connection) -> None:
            if gone:
                connection.execute(text("DELETE FROM monitor_errors WHERE bot = :bot AND fingerprint = :fingerprint"), gone)
            if rows:
                connection.execute(text(_SAVE), rows)

        if rows or gone:
            await self._database.run(work)

    def _row(self, entry: ErrorEntry) -> dict[str, object]:
        kind, resolved = entry.kind, entry.resolved or Resolved(0, "")
        return {
            "bot": self._bot,
            "fingerprint": entry.fingerprint,
            "event": kind.event,
            "logger": kind.logger,
            "level": kind.level,
            "exception": kind.exception,
            "first": entry.first,
            "last": entry.last,
            "count": entry.count,
            "sample": entry.sample,
            "hours": orjson.dumps({str(hour): count for hour, count in entry.hours.items()}).decode(),
            "resolved": resolved.at,
            "author": resolved.author,
            "note": resolved.note,
            "reopened": entry.reopened,
        }


def _entry(row: Row[Any]) -> ErrorEntry:
    kind = Kind(row.event, row.logger, row.level, row.exception)
    resolved = Resolved(row.resolved, row.author, row.note) if row.resolved else None
    hours = {int(hour): number for hour, number in orjson.loads(row.hours).items()}
    count = row._mapping["count"]  # noqa: SLF001 - a row is a tuple, which has a `count` of its own
    return ErrorEntry(kind, row.first, row.last, count, row.sample, hours, resolved, row.reopened)
