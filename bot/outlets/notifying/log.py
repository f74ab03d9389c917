"""The delivery log: what was told to whom, and what became of it, in the journal's database.

It is written by a task of its own, in batches, and nobody waits for it: what finds no room is dropped and counted. The newest
rows are kept, so many and no more. An address never gets here, and texts are those that were sent, secrets taken out.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import structlog
from sqlalchemy import Connection, Row, TextClause, inspect, text

from bot.core.effects import Severity
from bot.outlets.notifying.channel import Delivery, Outcome
from bot.outlets.topics import Topic
from bot.store.database import Database, open_database, open_prepared
from bot.store.errors import StoreUnavailable
from bot.store.schema import Schema

_log = structlog.get_logger(__name__)

LARGEST_PAGE = 200
_SCHEMA = Schema(
    "notify",
    {
        1: (
            "CREATE TABLE IF NOT EXISTS notify_deliveries ("
            "id BIGINT NOT NULL PRIMARY KEY, at BIGINT NOT NULL, channel TEXT NOT NULL, severity TEXT NOT NULL, "
            "topic TEXT NOT NULL, title TEXT NOT NULL, text TEXT NOT NULL, outcome TEXT NOT NULL, "
            "attempts INTEGER NOT NULL, detail TEXT NOT NULL)",
            "CREATE INDEX IF NOT EXISTS ix_notify_deliveries_channel ON notify_deliveries (channel, id)",
        )
    },
)
_TABLE = "notify_deliveries"
_COLUMNS = ("at", "channel", "severity", "topic", "title", "text", "outcome", "attempts", "detail")
_INSERT = text(
    f"INSERT INTO notify_deliveries (id, {', '.join(_COLUMNS)}) "  # noqa: S608 - constants of this module
    f"VALUES (:id, {', '.join(f':{name}' for name in _COLUMNS)})"
)
_LOCK = "notify"
_BATCH = 100
_RETRY_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Logged:
    """A row of the log; newer rows have greater ids."""

    id: int
    delivery: Delivery


class DeliveryLog:
    """The log in the journal's database, which must be there. `keep` rows stay; `failures` counts failed tries to write."""

    def __init__(self, url: str, *, keep: int = 5_000, waiting: int = 1_000, seconds: float = 5.0) -> None:
        self._url, self._keep, self._most, self._seconds = url, keep, waiting, seconds
        self._database: Database | None = None
        self._to_read: Database | None = None
        self._waiting: deque[Delivery] = deque()
        self._work = asyncio.Event()
        self._writing = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self._dropped = 0
        self.failures = 0

    @property
    def dropped(self) -> int:
        """How many rows found no room to wait."""
        return self._dropped

    def add(self, delivery: Delivery) -> None:
        """Take a row to be written. Returns at once."""
        if len(self._waiting) >= self._most:
            self._waiting.popleft()
            self._dropped += 1
        self._waiting.append(delivery)
        self._work.set()

    async def start(self) -> None:
        """Begin to write."""
        self._task = asyncio.create_task(self._run(), name="delivery log")

    async def close(self, seconds: float = 2.0) -> None:
        """Write what is left, for at most so long, and release the database."""
        try:
            async with asyncio.timeout(seconds):
                async with self._writing:  # a batch under way is not cut short: it would be written a second time
                    await self._end()
                await self.flush()
        except (TimeoutError, StoreUnavailable) as error:
            await self._end()
            _log.warning("delivery_log_unwritten", rows=len(self._waiting), error=str(error) or "no time was left")
        finally:
            for database in (self._database, self._to_read):
                if database is not None:
                    await database.close()
            self._database = self._to_read = None

    async def flush(self) -> None:
        """Write what waits; `StoreUnavailable` if the database cannot be used."""
        async with self._writing:
            while self._waiting:
                batch = [self._waiting[place] for place in range(min(len(self._waiting), _BATCH))]
                database = await self._opened()
                await database.alone(_LOCK, partial(_write, rows=batch, keep=self._keep))
                for row in batch:  # some may have made room for newer ones meanwhile
                    if self._waiting and self._waiting[0] is row:
                        self._waiting.popleft()

    async def page(self, limit: int, *, channel: str | None = None, before: int | None = None) -> Sequence[Logged]:
        """The newest rows, of one channel or of all, with ids below `before`; newest first. Nothing is made or changed.

        `StoreUnavailable` if the database cannot be used. Where nothing was ever logged there are no rows.
        """
        where = [f"{name} :{key}" for name, key, given in _filters(channel, before) if given is not None]
        values = {key: given for _, key, given in _filters(channel, before) if given is not None}
        asked = text(
            f"SELECT id, {', '.join(_COLUMNS)} FROM notify_deliveries "  # noqa: S608 - constants of this module
            f"{'WHERE ' + ' AND '.join(where) if where else ''} ORDER BY id DESC LIMIT :limit"
        )
        if _absent(self._url):
            return ()
        if self._to_read is None:
            self._to_read = open_database(self._url, self._seconds)
        values["limit"] = max(1, min(limit, LARGEST_PAGE + 1))
        return await self._to_read.run(lambda c: _read(c, asked, values))

    async def _run(self) -> None:
        while True:
            await self._work.wait()
            self._work.clear()
            try:
                await self.flush()
            except StoreUnavailable as error:
                self.failures += 1
                if self.failures == 1:
                    _log.warning("delivery_log_unavailable", error=str(error))
                self._work.set()
                await asyncio.sleep(_RETRY_SECONDS)

    async def _end(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def _opened(self) -> Database:
        if self._database is None:
            self._database = await open_prepared(self._url, _SCHEMA, self._seconds)
        return self._database


def _filters(channel: str | None, before: int | None) -> tuple[tuple[str, str, object], ...]:
    return (("channel =", "channel", channel), ("id <", "before", before))


def _absent(url: str) -> bool:
    """Whether there is no file yet: to connect to it would make it."""
    path = url.removeprefix("sqlite:///")
    return path != url and not Path(path).is_file()


def _read(connection: Connection, asked: TextClause, values: Mapping[str, object]) -> list[Logged]:
    if not inspect(connection).has_table(_TABLE):
        return []
    return [_logged(row) for row in connection.execute(asked, values)]


def _write(connection: Connection, rows: Sequence[Delivery], keep: int) -> None:
    newest = int(connection.execute(text("SELECT coalesce(max(id), 0) FROM notify_deliveries")).scalar_one())
    values = [{name: getattr(row, name) for name in _COLUMNS} | {"id": newest + 1 + n} for n, row in enumerate(rows)]
    connection.execute(_INSERT, [_plain(each) for each in values])
    connection.execute(text("DELETE FROM notify_deliveries WHERE id <= :gone"), {"gone": newest + len(rows) - keep})


def _plain(values: dict[str, object]) -> dict[str, object]:
    """Enums by their values, and no NUL, which PostgreSQL refuses."""
    return {name: str(value).replace("\x00", "") if isinstance(value, str) else value for name, value in values.items()}


def _logged(row: Row[Any]) -> Logged:
    delivery = Delivery(
        row.at,
        row.channel,
        Severity(row.severity),
        Topic(row.topic),
        row.title,
        row.text,
        Outcome(row.outcome),
        row.attempts,
        row.detail,
    )
    return Logged(row.id, delivery)
