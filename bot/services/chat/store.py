"""What was said and proposed, kept in the journal's database. Pages are bounded; texts are kept as they may be shown."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from enum import StrEnum
from typing import Any, Self

import orjson
from sqlalchemy import Connection, Row, text

from bot.services.chat.proposals import Kind, Proposal, ProposalRefused, State
from bot.services.chat.tables import SCHEMA
from bot.services.side_store import store_of, store_to_read
from bot.services.use_case import Ground, Missing
from bot.store.database import Database, open_prepared
from sources.llm.ledger_rows import to_usd

HELD = "chat.store"
LARGEST_PAGE = 200
_LOCK = "chat"
_LONGEST_TITLE = 80
_MOST_SKIPPED = 100_000


class Said(StrEnum):
    """Who said it."""

    PERSON = "person"
    ASSISTANT = "assistant"


@dataclass(frozen=True, slots=True)
class Session:
    """A conversation. `thread` is the one that goes on: an answer is given from what was said in its thread only."""

    id: str
    ts: int
    at: int
    title: str
    run: str
    thread: int

    def told(self) -> dict[str, object]:
        """As plain JSON."""
        return {"id": self.id, "ts": self.ts, "at": self.at, "title": self.title, "run": self.run, "thread": self.thread}


@dataclass(frozen=True, slots=True)
class Line:
    """One message. `tools` are the look-ups made for it, `cost` is USD, `fault` why an answer is none or not whole."""

    session: str
    number: int
    thread: int
    ts: int
    role: Said
    text: str
    tools: Sequence[Mapping[str, Any]] = ()
    model: str = ""
    cost: Decimal = Decimal(0)
    fault: str = ""

    def told(self) -> dict[str, object]:
        """As plain JSON."""
        return {
            "session": self.session,
            "number": self.number,
            "thread": self.thread,
            "ts": self.ts,
            "role": self.role.value,
            "text": self.text,
            "tools": [dict(each) for each in self.tools],
            "model": self.model,
            "cost": str(self.cost),
            "fault": self.fault,
        }


class ChatStore:
    """Sessions, messages and proposals. Every call raises `StoreUnavailable` where the database cannot be used."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    async def open(cls, url: str) -> Self:
        """The store in the journal's database, which must be there; close it."""
        return cls(await open_prepared(url, SCHEMA))

    async def close(self) -> None:
        """Release the connections."""
        await self._database.close()

    async def begin(self, now: int, run: str, title: str = "") -> Session:
        """A new session with its first thread."""
        made = Session(secrets.token_hex(6), now, now, title[:_LONGEST_TITLE], run, 1)
        values = {**made.told()}
        await self._database.run(
            lambda connection: connection.execute(
                text("INSERT INTO chat_sessions (id, ts, at, title, run, thread) VALUES (:id, :ts, :at, :title, :run, :thread)"),
                values,
            )
        )
        return made

    async def session(self, name: str) -> Session:
        """One session; `Missing` if there is none of that id."""
        found = await self._database.run(
            lambda connection: connection.execute(text("SELECT * FROM chat_sessions WHERE id = :id"), {"id": name}).first()
        )
        if found is None:
            raise unknown_session(name)
        return _session(found)

    async def new_thread(self, name: str, now: int) -> Session:
        """Begin another thread of a session: what was said before is kept, and no longer told to the model."""
        await self._database.alone(
            _LOCK,
            lambda connection: connection.execute(
                text("UPDATE chat_sessions SET thread = thread + 1, at = :now WHERE id = :id"), {"id": name, "now": now}
            ),
        )
        return await self.session(name)

    async def add(self, line: Line) -> Line:
        """Keep a message; its number is the next of its session."""

        def work(connection: Connection) -> int:
            asked = text("SELECT coalesce(max(number), 0) + 1 FROM chat_messages WHERE session = :session")
            number = int(connection.execute(asked, {"session": line.session}).scalar_one())
            connection.execute(_INSERT, _values(replace(line, number=number)))
            connection.execute(
                text("UPDATE chat_sessions SET at = :at, title = CASE WHEN title = '' THEN :title ELSE title END WHERE id = :id"),
                {"at": line.ts, "id": line.session, "title": " ".join(line.text.split())[:_LONGEST_TITLE]},
            )
            return number

        return replace(line, number=await self._database.alone(_LOCK, work))

    async def sessions(self, limit: int, skip: int = 0) -> list[Session]:
        """Those that were last spoken in first."""
        asked = text("SELECT * FROM chat_sessions ORDER BY at DESC, id LIMIT :limit OFFSET :skip")
        return [_session(row) for row in await self._rows(asked, _page(limit, skip))]

    async def messages(self, session: str, limit: int, skip: int = 0, thread: int | None = None) -> list[Line]:
        """The newest page of a session, or of one of its threads, oldest first."""
        within = "" if thread is None else "AND thread = :thread "
        asked = text(
            f"SELECT * FROM chat_messages WHERE session = :session {within}"  # noqa: S608 - a constant of this function
            "ORDER BY number DESC LIMIT :limit OFFSET :skip"
        )
        values = _page(limit, skip) | {"session": session} | ({} if thread is None else {"thread": thread})
        return [_line(row) for row in reversed(await self._rows(asked, values))]

    async def search(self, words: str, limit: int, skip: int = 0, session: str | None = None) -> list[Line]:
        """Messages that hold these words as they stand, in whatever case; the newest first."""
        needle = words.casefold().replace("!", "!!").replace("%", "!%").replace("_", "!_")
        within = "" if session is None else "AND session = :session "
        asked = text(
            f"SELECT * FROM chat_messages WHERE folded LIKE :needle ESCAPE '!' {within}"  # noqa: S608 - a constant
            "ORDER BY ts DESC, session, number DESC LIMIT :limit OFFSET :skip"
        )
        values = _page(limit, skip) | {"needle": f"%{needle}%"} | ({} if session is None else {"session": session})
        return [_line(row) for row in await self._rows(asked, values)]

    async def spent(self, payer: str, before: str | None = None) -> Decimal:
        """USD that calls of a payer cost, or may have cost: all of it, or what was spent before a UTC day."""
        until = "" if before is None else "AND day < :day "
        asked = text(
            "SELECT coalesce(sum(pico), 0) AS pico FROM llm_calls "  # noqa: S608 - a constant of this function
            f"WHERE source = :source {until}AND state <> 'released'"
        )
        (row,) = await self._rows(asked, {"source": payer} | ({} if before is None else {"day": before}))
        return to_usd(int(row.pico))

    async def offer(self, proposal: Proposal) -> None:
        """Keep a proposal."""
        values = {
            "id": proposal.id,
            "session": proposal.session,
            "ts": proposal.ts,
            "kind": proposal.kind.value,
            "parameters": orjson.dumps(dict(proposal.parameters)).decode(),
            "rendered": proposal.rendered,
            "hash": proposal.hash,
            "nonce": proposal.nonce,
            "expires": proposal.expires,
            "state": proposal.state.value,
            "at": proposal.ts,
            "outcome": "",
        }
        names = ", ".join(values)
        insert = text(f"INSERT INTO chat_proposals ({names}) VALUES (:{', :'.join(values)})")  # noqa: S608 - names of this function
        await self._database.run(lambda connection: connection.execute(insert, values))

    async def claim(self, name: str, token: str, now: int) -> Proposal:
        """Take a proposal to carry it out: only one caller ever gets it. `ProposalRefused` for everybody else."""

        def work(connection: Connection) -> Proposal | ProposalRefused:
            row = connection.execute(text("SELECT * FROM chat_proposals WHERE id = :id"), {"id": name}).first()
            if row is None:
                return ProposalRefused(f"there is no proposal {name[:40]!r}")
            found = _proposal(row)
            try:
                found.check(token, now)
            except ProposalRefused as refused:
                if found.state is State.PENDING and now >= found.expires:
                    _move(connection, name, State.EXPIRED, now, "")
                return refused
            _move(connection, name, State.CONFIRMED, now, "")
            return replace(found, state=State.CONFIRMED, at=now)

        claimed = await self._database.alone(_LOCK, work)
        if isinstance(claimed, ProposalRefused):
            raise claimed
        return claimed

    async def ended(self, name: str, state: State, now: int, outcome: str) -> None:
        """Say what became of a proposal that was carried out."""
        await self._database.run(lambda connection: _move(connection, name, state, now, outcome))

    async def proposals(self, session: str, limit: int) -> list[Proposal]:
        """Those of a session, the newest first."""
        asked = text("SELECT * FROM chat_proposals WHERE session = :session ORDER BY ts DESC, id LIMIT :limit OFFSET :skip")
        return [_proposal(row) for row in await self._rows(asked, _page(limit, 0) | {"session": session})]

    async def _rows(self, asked: Any, values: Mapping[str, object]) -> Sequence[Row[Any]]:
        return await self._database.run(lambda connection: connection.execute(asked, dict(values)).all())


def unknown_session(name: str) -> Missing:
    """What is raised for a session that there is not."""
    return Missing(f"no chat session is called {name[:40]!r}; `chat.sessions` lists them")


async def chats_of(ground: Ground) -> ChatStore:
    """The store of this ground, opened when it is first needed; closed with it. `UseCaseError` if it cannot be used."""
    return await store_of(ground, HELD, ChatStore.open)


async def chats_to_read(ground: Ground) -> ChatStore | None:
    """The same for a look-up; None where nobody has ever chatted."""
    return await store_to_read(ground, HELD, ChatStore.open, "chat_sessions")


_COLUMNS = ("session", "number", "thread", "ts", "role", "text", "folded", "tools", "model", "cost", "fault")
_INSERT = text(f"INSERT INTO chat_messages ({', '.join(_COLUMNS)}) VALUES (:{', :'.join(_COLUMNS)})")  # noqa: S608 - constants


def _values(line: Line) -> dict[str, object]:
    return {**line.told(), "folded": line.text.casefold(), "tools": orjson.dumps([dict(each) for each in line.tools]).decode()}


def _page(limit: int, skip: int) -> dict[str, object]:
    return {"limit": max(1, min(limit, LARGEST_PAGE)), "skip": max(0, min(skip, _MOST_SKIPPED))}


def _move(connection: Connection, name: str, state: State, now: int, outcome: str) -> None:
    connection.execute(
        text("UPDATE chat_proposals SET state = :state, at = :at, outcome = :outcome WHERE id = :id"),
        {"id": name, "state": state.value, "at": now, "outcome": outcome[:500]},
    )


def _session(row: Row[Any]) -> Session:
    return Session(str(row.id), int(row.ts), int(row.at), str(row.title), str(row.run), int(row.thread))


def _line(row: Row[Any]) -> Line:
    return Line(
        str(row.session),
        int(row.number),
        int(row.thread),
        int(row.ts),
        Said(row.role),
        str(row.text),
        tuple(orjson.loads(row.tools)),
        str(row.model),
        Decimal(row.cost),
        str(row.fault),
    )


def _proposal(row: Row[Any]) -> Proposal:
    return Proposal(
        str(row.id),
        str(row.session),
        int(row.ts),
        Kind(row.kind),
        orjson.loads(row.parameters),
        str(row.rendered),
        str(row.hash),
        str(row.nonce),
        int(row.expires),
        State(row.state),
        int(row.at),
        str(row.outcome),
    )
