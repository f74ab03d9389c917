"""What was done once under an idempotency key, kept for 24 hours, across restarts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum

import orjson
from sqlalchemy import Connection, text

from bot.outlets.admission import LONGEST_MS
from bot.store.database import Database
from bot.web.security.keys import new_id
from bot.web.security.tables import SCHEMA

KEPT_MS = 24 * 3_600_000
RESUMED_MS = LONGEST_MS - 60_000
"""How long after its beginning a change whose outcome is unknown may be sent again: while the bot surely knows its nonce."""
LONGEST_BODY = 32 * 1024
_MOST = 10_000
_SAME = "principal = :principal AND name = :name"


class Begun(Enum):
    """What became of the wish to begin."""

    NEW = "new"
    AGAIN = "again"
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
        self._in_hand: set[tuple[str, str]] = set()

    async def begin(self, principal: str, name: str, request: str, run: str = "") -> Begun | Done:
        """Take the key for this request (its hash), or learn how it went before; `run` is the one that the bot is in.

        `UNKNOWN` means that it was begun and never finished: whether it was done, nobody can tell from here. `AGAIN` says so too,
        but the same run of the bot still knows its nonce: sent under that again, it is done once all the same.
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
            if found.status is not None:
                return Done(found.status, orjson.loads(found.headers), found.body)
            if found.process == self._process:
                return Begun.RUNNING if (principal, name) in self._in_hand else Begun.UNKNOWN
            if not run or found.process != _left_with(run) or not 0 <= now - found.created < RESUMED_MS:
                return Begun.UNKNOWN
            connection.execute(text(f"UPDATE web_once SET process = :process WHERE {_SAME}"), {**key, "process": self._process})  # noqa: S608
            return Begun.AGAIN

        begun = await self._database.alone(SCHEMA.name, work)
        if begun is Begun.NEW or begun is Begun.AGAIN:
            self._in_hand.add((principal, name))
        return begun

    def let_go(self, principal: str, name: str) -> None:
        """Whoever began it is through with it, also where its end could not be written down."""
        self._in_hand.discard((principal, name))

    async def finish(self, principal: str, name: str, done: Done) -> None:
        """Keep the response."""
        body = done.body if done.body is not None and len(done.body) <= LONGEST_BODY else None
        values = {"status": done.status, "headers": orjson.dumps(dict(done.headers)).decode(), "body": body}
        kept = f"UPDATE web_once SET status = :status, headers = :headers, body = :body WHERE {_SAME}"  # noqa: S608
        await self._write(kept, principal, name, values)

    async def release(self, principal: str, name: str) -> None:
        """Nothing was done: the key is free again."""
        await self._write(f"DELETE FROM web_once WHERE {_SAME} AND status IS NULL", principal, name, {})  # noqa: S608

    async def doubt(self, principal: str, name: str, run: str) -> None:
        """Nobody knows whether it was done: it was left with this run of the bot, or with none if that is empty."""
        left = f"UPDATE web_once SET process = :process WHERE {_SAME} AND status IS NULL"  # noqa: S608
        await self._write(left, principal, name, {"process": _left_with(run)})

    async def _write(self, statement: str, principal: str, name: str, values: Mapping[str, object]) -> None:
        given = {"principal": principal, "name": name, **values}
        await self._database.alone(SCHEMA.name, lambda connection: connection.execute(text(statement), given))


def _left_with(run: str) -> str:
    """Who has it in hand, where that is a run of the bot and not a process of the control room."""
    return f"run {run}"


def _make_room(connection: Connection) -> None:
    kept = "SELECT created FROM web_once ORDER BY created DESC LIMIT 1 OFFSET :most"
    connection.execute(text(f"DELETE FROM web_once WHERE created <= ({kept})"), {"most": _MOST})  # noqa: S608
