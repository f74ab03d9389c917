"""What was done once under an idempotency key, kept for 24 hours, across restarts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum

import orjson
from sqlalchemy import Connection, text

from bot.store.database import Database
from bot.web.security.keys import new_id
from bot.web.security.tables import SCHEMA

KEPT_MS = 24 * 3_600_000
LONGEST_BODY = 32 * 1024
_MOST = 10_000
_SAME = "principal = :principal AND name = :name"


class Begun(Enum):
    """What became of the wish to begin."""

    NEW = "new"
    OTHER_REQUEST = "other request"
    RUNNING = "running"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Done:
    """A response as it was given. `body` is None for one that was too long to keep, or streamed."""

    status: int
    headers: Mapping[str, str]
    body: bytes | None = field(repr=False)


class OnceStore:
    """Records of the requests that carried an idempotency key, by principal and key. At most 10,000; the oldest give way."""

    def __init__(self, database: Database, now: Callable[[], int]) -> None:
        self._database = database
        self._now = now
        self._process = new_id()

    async def begin(self, principal: str, name: str, request: str) -> Begun | Done:
        """Take the key for this request (its hash), or learn how it went before.

        `UNKNOWN` means that another process began and never finished: whether it was done, nobody can tell from here.
        """
        now = self._now()
        key = {"principal": principal, "name": name}

        def work(connection: Connection) -> Begun | Done:
            connection.execute(text("DELETE FROM web_once WHERE created <= :limit"), {"limit": now - KEPT_MS})
            found = connection.execute(text(f"SELECT * FROM web_once WHERE {_SAME}"), key).first()  # noqa: S608
            if found is None:
                connection.execute(
                    text(
                        "INSERT INTO web_once (principal, name, request, process, created) "
                        "VALUES (:principal, :name, :request, :process, :now)"
                    ),
                    {**key, "request": request, "process": self._process, "now": now},
                )
                _make_room(connection)
                return Begun.NEW
            if found.request != request:
                return Begun.OTHER_REQUEST
            if found.status is None:
                return Begun.RUNNING if found.process == self._process else Begun.UNKNOWN
            return Done(found.status, orjson.loads(found.headers), found.body)

        return await self._database.alone(SCHEMA.name, work)

    async def finish(self, principal: str, name: str, done: Done) -> None:
        """Keep the response."""
        body = done.body if done.body is not None and len(done.body) <= LONGEST_BODY else None
        values = {"status": done.status, "headers": orjson.dumps(dict(done.headers)).decode(), "body": body}
        kept = f"UPDATE web_once SET status = :status, headers = :headers, body = :body WHERE {_SAME}"  # noqa: S608
        await self._write(kept, principal, name, values)

    async def release(self, principal: str, name: str) -> None:
        """Nothing was done: the key is free again."""
        await self._write(f"DELETE FROM web_once WHERE {_SAME} AND status IS NULL", principal, name, {})  # noqa: S608

    async def _write(self, statement: str, principal: str, name: str, values: Mapping[str, object]) -> None:
        given = {"principal": principal, "name": name, **values}
        await self._database.alone(SCHEMA.name, lambda connection: connection.execute(text(statement), given))


def _make_room(connection: Connection) -> None:
    kept = "SELECT created FROM web_once ORDER BY created DESC LIMIT 1 OFFSET :most"
    connection.execute(text(f"DELETE FROM web_once WHERE created <= ({kept})"), {"most": _MOST})  # noqa: S608
