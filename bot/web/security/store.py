"""The control room's own file, `web.db` in the data directory: one-time links, sessions, tokens, and what was done once.

Every key is kept as its hash (`bot.web.security.keys` says why that is enough). The command line opens the same file beside a
running control room, so nothing of it is cached: what is revoked is refused with the next request. Times are ms UTC.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import structlog
from sqlalchemy import Connection, Row, text

from bot.store.database import Database, open_prepared
from bot.store.errors import StoreUnavailable
from bot.web.security.attempts import Attempts
from bot.web.security.errors import AccessError
from bot.web.security.keys import TOKEN_PREFIX, digest, new_id, new_key, plausible
from bot.web.security.once import OnceStore
from bot.web.security.pending import Pending
from bot.web.security.principal import OWNER, Principal, Scope
from bot.web.security.tables import SCHEMA

log = structlog.get_logger(__name__)

ACCESS_FILE = "web.db"
LINK_MS = 30 * 60_000
IDLE_MS = 12 * 3_600_000
SESSION_MS = 7 * 86_400_000
LONGEST_TOKEN_MS = 400 * 86_400_000
_NOTED_MS = 60_000
_REMEMBERED_MS = 90 * 86_400_000
_MOST_LINKS = 20
_MOST_SESSIONS = 100
_MOST_TOKENS = 100
_BUSY_SECONDS = 5.0
_NOTE_SECONDS = 0.5
_THREADS = 4
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,47}")


@dataclass(frozen=True, slots=True)
class NewSession:
    """A session that just began; the only time that its key is known."""

    key: str = field(repr=False)
    principal: Principal
    expires: int


@dataclass(frozen=True, slots=True)
class Token:
    """What may be shown of a token. `used` is None until it was; `revoked` is None while it was not."""

    id: str
    name: str
    scope: Scope
    created: int
    expires: int
    used: int | None
    revoked: int | None

    def state(self, now: int) -> str:
        """`active`, `expired` or `revoked`."""
        if self.revoked is not None:
            return "revoked"
        return "active" if now < self.expires else "expired"


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token that was just made; the only time that its value is known."""

    value: str = field(repr=False)
    token: Token


class AccessStore:
    """Who has access. Calls raise `bot.store.errors.StoreUnavailable` where the file cannot be used.

    `attempts`, `pending` and `once` are what the gate, the confirmations and the idempotency keys remember.
    """

    def __init__(self, database: Database, now: Callable[[], int], threads: Executor | None = None) -> None:
        self._threads = threads
        self._database = database
        self._now = now
        self._not_noted = -_NOTED_MS
        self.attempts = Attempts(now)
        self.pending = Pending(now)
        self.once = OnceStore(database, now)

    @classmethod
    async def open(cls, data_dir: Path, now: Callable[[], int]) -> Self:
        """The store of a data directory, made if it is not there, for its owner's eyes only; close it.

        Its threads are its own: whatever else takes long, whoever comes is recognised.
        """
        path = data_dir / ACCESS_FILE
        await asyncio.to_thread(_make_private, path)
        threads = ThreadPoolExecutor(_THREADS, "access")
        try:
            return cls(await open_prepared(f"sqlite:///{path}", SCHEMA, _BUSY_SECONDS, threads), now, threads)
        except BaseException:
            threads.shutdown(wait=False)
            raise

    async def close(self) -> None:
        """Release the connections and the threads."""
        await self._database.close()
        if self._threads is not None:
            self._threads.shutdown(wait=False)

    async def issue_link(self, lasting: int = LINK_MS) -> str:
        """A key that opens one session, once, within `lasting` ms. At most 20 wait; older ones give way."""
        key, now = new_key(), self._now()

        def work(connection: Connection) -> None:
            connection.execute(text("DELETE FROM web_links WHERE expires <= :now"), {"now": now})
            connection.execute(text("INSERT INTO web_links VALUES (:hash, :now, :expires)"), _row(key, now, now + lasting))
            _keep_newest(connection, "web_links", "created", _MOST_LINKS)

        await self._database.alone(SCHEMA.name, work)
        return key

    async def use_link(self, key: str) -> NewSession | None:
        """A session for the key of a link, which is thereby used up; None if it is unknown, used or expired."""
        if not plausible(key):
            return None
        now, made = self._now(), new_key()

        def work(connection: Connection) -> NewSession | None:
            removed = connection.execute(
                text("DELETE FROM web_links WHERE hash = :hash AND expires > :now"), {"hash": digest(key), "now": now}
            )
            return _begin(connection, made, now) if removed.rowcount == 1 else None

        return await self._database.alone(SCHEMA.name, work)

    async def new_session(self) -> NewSession:
        """A session of the owner, who was recognised otherwise."""
        now, made = self._now(), new_key()
        return await self._database.alone(SCHEMA.name, lambda connection: _begin(connection, made, now))

    async def session(self, key: str) -> Principal | None:
        """Whose session it is; None if it is unknown, ended, over, or was idle for 12 hours. Being asked keeps it awake."""
        if not plausible(key):
            return None
        now, row = self._now(), await self._one("SELECT id, seen, expires FROM web_sessions WHERE hash = :key", digest(key))
        if row is None or now >= row.expires or now - row.seen >= IDLE_MS:
            return None
        if now - row.seen >= _NOTED_MS:
            await self._note("UPDATE web_sessions SET seen = :now WHERE id = :id", now, row.id)
        return _owner(row.id)

    async def end_session(self, key: str) -> bool:
        """End a session by its key; whether there was one."""
        return await self._do("DELETE FROM web_sessions WHERE hash = :hash", hash=digest(key)) > 0

    async def end_all_sessions(self, but: str = "") -> int:
        """End every session except the one of this id, and void every link that waits; how many sessions ended."""

        def work(connection: Connection) -> int:
            connection.execute(text("DELETE FROM web_links"))
            return int(connection.execute(text("DELETE FROM web_sessions WHERE id <> :but"), {"but": but}).rowcount)

        return await self._database.alone(SCHEMA.name, work)

    async def new_token(self, name: str, scope: Scope, expires: int) -> NewToken:
        """A token until `expires` (ms UTC, at most 400 days ahead); `AccessError` for another name, time or number of tokens."""
        now = self._now()
        _check_token(name, expires, now)
        value, token = TOKEN_PREFIX + new_key(), Token(new_id(), name, scope, now, expires, None, None)

        def work(connection: Connection) -> None:
            # What is long over makes room; what is over makes its name free.
            over = text("DELETE FROM web_tokens WHERE coalesce(revoked, expires) <= :limit OR (name = :name AND expires <= :now)")
            connection.execute(over, {"limit": now - _REMEMBERED_MS, "name": name, "now": now})
            _check_room(connection, name, now)
            connection.execute(
                text(
                    "INSERT INTO web_tokens (id, name, hash, scope, created, expires) "
                    "VALUES (:id, :name, :hash, :scope, :now, :expires)"
                ),
                {"id": token.id, "name": name, "scope": int(scope), **_row(value, now, expires)},
            )

        await self._database.alone(SCHEMA.name, work)
        return NewToken(value, token)

    async def token(self, value: str) -> Principal | None:
        """Whose token it is; None if it is unknown, revoked or expired."""
        if not plausible(value) or not value.startswith(TOKEN_PREFIX):
            return None
        now, row = self._now(), await self._one("SELECT * FROM web_tokens WHERE hash = :key", digest(value))
        if row is None or row.revoked is not None or now >= row.expires:
            return None
        if row.used is None or now - row.used >= _NOTED_MS:
            await self._note("UPDATE web_tokens SET used = :now WHERE id = :id", now, row.id)
        return Principal(row.name, Scope(row.scope), "token", row.id)

    async def tokens(self) -> list[Token]:
        """Every token that is remembered, the newest first: those that are over stay for 90 days."""

        def work(connection: Connection) -> list[Token]:
            rows = connection.execute(text("SELECT * FROM web_tokens ORDER BY created DESC, id LIMIT 1000")).all()
            return [Token(r.id, r.name, Scope(r.scope), r.created, r.expires, r.used, r.revoked) for r in rows]

        return await self._database.run(work)

    async def revoke(self, name: str) -> bool:
        """Revoke the token of this name, at once; whether there was one to revoke."""
        now = self._now()
        asked = "UPDATE web_tokens SET revoked = :now WHERE name = :name AND revoked IS NULL AND expires > :now"
        return await self._do(asked, now=now, name=name) > 0

    async def _note(self, statement: str, now: int, key: str) -> None:
        """Write down that it was used. A full or locked disk must not cost the door: it is tried again a minute later."""
        if 0 <= now - self._not_noted < _NOTED_MS:
            return
        try:
            async with asyncio.timeout(_NOTE_SECONDS):
                await self._do(statement, now=now, id=key)
        except (StoreUnavailable, TimeoutError) as error:
            self._not_noted = now
            log.warning("use_not_noted", reason=str(error) or "the file is locked")

    async def _one(self, statement: str, key: str) -> Row[Any] | None:
        return await self._database.run(lambda connection: connection.execute(text(statement), {"key": key}).first())

    async def _do(self, statement: str, **values: object) -> int:
        return await self._database.alone(
            SCHEMA.name, lambda connection: int(connection.execute(text(statement), values).rowcount)
        )


def _make_private(path: Path) -> None:
    """The file with mode 0600 from its first byte, SQLite gives its journal the same; the directory 0700 if it is made here."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    if os.name == "posix":
        path.chmod(0o600)


def _row(key: str, now: int, expires: int) -> Mapping[str, object]:
    return {"hash": digest(key), "now": now, "expires": expires}


def _owner(session: str) -> Principal:
    return Principal(OWNER, Scope.ADMIN, "session", session)


def _begin(connection: Connection, key: str, now: int) -> NewSession:
    session, expires = new_id(), now + SESSION_MS
    connection.execute(
        text("DELETE FROM web_sessions WHERE expires <= :now OR seen <= :idle"), {"now": now, "idle": now - IDLE_MS}
    )
    connection.execute(
        text("INSERT INTO web_sessions VALUES (:hash, :id, :now, :now, :expires)"), {"id": session, **_row(key, now, expires)}
    )
    _keep_newest(connection, "web_sessions", "seen", _MOST_SESSIONS)
    return NewSession(key, _owner(session), expires)


def _keep_newest(connection: Connection, table: str, by: str, most: int) -> None:
    # Both names are this module's own.
    kept = f"SELECT rowid FROM {table} ORDER BY {by} DESC, rowid DESC LIMIT :most"  # noqa: S608
    connection.execute(text(f"DELETE FROM {table} WHERE rowid NOT IN ({kept})"), {"most": most})  # noqa: S608


def _check_token(name: str, expires: int, now: int) -> None:
    if not _NAME.fullmatch(name):
        message = "a token's name is 1 to 48 letters, digits, dots, dashes and underscores, such as grafana"
        raise AccessError(message)
    if name.lower() == OWNER:
        message = f"{OWNER} is who logs in by a link or the password, and the audit must tell the two apart; choose another name"
        raise AccessError(message)
    if not now < expires <= now + LONGEST_TOKEN_MS:
        message = "a token lasts from now on for at most 400 days; say for how long, such as 30d"
        raise AccessError(message)


def _check_room(connection: Connection, name: str, now: int) -> None:
    live = connection.execute(
        text("SELECT name FROM web_tokens WHERE revoked IS NULL AND expires > :now LIMIT 1000"), {"now": now}
    )
    names = set(live.scalars())
    if name in names:
        message = f"a token is called {name} already; revoke it first: python -m bot token revoke {name}"
        raise AccessError(message)
    if len(names) >= _MOST_TOKENS:
        message = f"there are {_MOST_TOKENS} tokens already; revoke some: python -m bot token list"
        raise AccessError(message)
