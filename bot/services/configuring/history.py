"""Who changed which setting, secret or source, when, from what to what: a side table of the journal's database."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import orjson
from sqlalchemy import Connection, Row, inspect, text

from bot.services.side_store import store_of
from bot.services.use_case import Ground
from bot.store.database import Database, open_prepared
from bot.store.schema import Schema

_HELD = "config.history"
_FIRST = (
    "CREATE TABLE IF NOT EXISTS config_changes ("
    "id TEXT NOT NULL PRIMARY KEY, at BIGINT NOT NULL, run TEXT NOT NULL, author TEXT NOT NULL, action TEXT NOT NULL, "
    "subject TEXT NOT NULL, before TEXT NOT NULL, after TEXT NOT NULL, note TEXT NOT NULL)",
)
SCHEMA = Schema("config", {1: _FIRST})


@dataclass(frozen=True, slots=True)
class Entry:
    """One change. `before` and `after` are JSON values with passwords starred out, of a secret only whether there is one."""

    action: str
    subject: str
    before: object
    after: object


class ChangeHistory:
    """The history; every call raises `StoreUnavailable` where the database cannot be used."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    async def open(cls, url: str) -> Self:
        """The history in the journal's database, which must be there; close it."""
        return cls(await open_prepared(url, SCHEMA))

    async def close(self) -> None:
        """Release the connections."""
        await self._database.close()

    async def keep(self, at: int, run: str, author: str, note: str, entries: Sequence[Entry], then: Callable[[], object]) -> None:
        """Keep what is changed and, last before it counts, do it: where `then` fails, nothing was kept."""
        rows = [_row(at, run, author, note, number, entry) for number, entry in enumerate(entries)]

        def work(connection: Connection) -> None:
            if rows:
                connection.execute(
                    text(
                        "INSERT INTO config_changes VALUES (:id, :at, :run, :author, :action, :subject, :before, :after, :note)"
                    ),
                    rows,
                )
            then()

        await self._database.run(work)


async def newest(database: Database, limit: int, before: str | None = None) -> list[Mapping[str, object]]:
    """Changes, the newest first; `before` is the id of the last one of the page before. Nothing where none was ever kept."""
    asked = text("SELECT * FROM config_changes WHERE id < :before ORDER BY id DESC LIMIT :limit")

    def work(connection: Connection) -> list[Mapping[str, object]]:
        if not inspect(connection).has_table("config_changes"):
            return []
        return [_told(row) for row in connection.execute(asked, {"before": before or "9" * 32, "limit": limit}).all()]

    return await database.run(work)


def _row(at: int, run: str, author: str, note: str, number: int, entry: Entry) -> dict[str, object]:
    # Of one width and of figures alone, so that their order as text is that of time in every collation.
    key = f"{at:014d}{number:04d}{secrets.randbelow(10**8):08d}"
    return {
        "id": key,
        "at": at,
        "run": run,
        "author": author,
        "action": entry.action,
        "subject": entry.subject,
        "before": orjson.dumps(entry.before, default=str).decode(),
        "after": orjson.dumps(entry.after, default=str).decode(),
        "note": note,
    }


def _told(row: Row[Any]) -> Mapping[str, object]:
    values = dict(row._mapping)  # noqa: SLF001 - the documented way to a row's columns by name
    return {**values, "before": orjson.loads(values["before"]), "after": orjson.loads(values["after"])}


async def history_of(ground: Ground) -> ChangeHistory:
    """The history of this ground, closed with it; where there is no journal yet, it is made. `UseCaseError` if it cannot be."""
    return await store_of(ground, _HELD, ChangeHistory.open)
