"""The record of every question to an LLM: what it was told, what it said, and what became of that.

Texts are redacted before they are written, and cut where they are too long. Their hashes are those of the whole texts, as they
were sent and received.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from sqlalchemy import Row, text

from bot.store.database import Database
from sources.llm.asking import Role
from sources.llm.paging import page
from sources.llm.retention import Retention, prune

DECIDED = "decided"  # the outcome of a question that led to a decision; any other is the reason code of an abstention
_PRUNE_EVERY = 500  # records

Redact: TypeAlias = Callable[[str], str]
Clamp: TypeAlias = Mapping[str, str | int | float | bool | None]


@dataclass(frozen=True, slots=True)
class Record:
    """One question, as it is to be kept; `reply` empty where none came.

    `calls` are the ledger's rows of its tries, the last being the one that answered. `template_version` 0 is a template that has
    no versions. `validation` says what the checks found, `clamps` what they changed. `cache_key` and `state_hash` are those of
    `sources.llm.cache.Question`, empty where there is none.
    """

    ts: int
    source: str
    role: Role
    outcome: str
    provider: str
    model: str
    prompt: str
    prompt_hash: str
    reply: str | bytes = b""
    symbol: str = ""
    run: str = ""
    decision: str | None = None
    calls: Sequence[str] = ()
    template: str = ""
    template_version: int = 0
    state_hash: str = ""
    cache_key: str = ""
    validation: str = ""
    clamps: Sequence[Clamp] = ()


@dataclass(frozen=True, slots=True)
class RecordLine:
    """A record without its texts. Sizes are characters, of the whole texts."""

    id: str
    ts: int
    source: str
    role: Role
    outcome: str
    provider: str
    model: str
    symbol: str
    run: str
    decision: str | None
    call: str
    template: str
    template_version: int
    prompt_hash: str
    state_hash: str
    cache_key: str
    reply_hash: str
    prompt_size: int
    reply_size: int


@dataclass(frozen=True, slots=True)
class RecordTexts:
    """The texts of a record, redacted and perhaps cut."""

    prompt: str
    reply: str
    validation: str
    clamps: tuple[Clamp, ...]


_LINE = (
    "id, ts, source, role, outcome, provider, model, symbol, run, decision, call, template, template_version, prompt_hash, "
    "state_hash, cache_key, reply_hash, prompt_size, reply_size"
)
_COLUMNS = f"{_LINE}, prompt, reply, validation, clamps"
_INSERT = text(
    f"INSERT INTO llm_records ({_COLUMNS}) VALUES ({', '.join(f':{each.strip()}' for each in _COLUMNS.split(','))})"  # noqa: S608
)


class Records:
    """Writes and finds records. `redact` takes secrets out of a text."""

    def __init__(self, database: Database, redact: Redact, retention: Retention | None = None) -> None:
        self._database = database
        self._redact = redact
        self._retention = retention or Retention()
        self._added = 0

    async def add(self, record: Record) -> str:
        """Keep a record; its id. Now and then, old ones go. Raises `StoreUnavailable`."""
        # In a thread: a reply may be of a megabyte, and the loop may be the desk's.
        row = await asyncio.to_thread(self._row, record)
        await self._database.run(lambda connection: connection.execute(_INSERT, row))
        self._added += 1
        if self._added % _PRUNE_EVERY == 0:
            await prune(self._database, self._retention, record.ts)
        return str(row["id"])

    async def lines(
        self,
        *,
        source: str | None = None,
        run: str | None = None,
        template: str | None = None,
        decision: str | None = None,
        limit: int = 100,
        before: tuple[int, str] | None = None,
    ) -> list[RecordLine]:
        """Records, newest first, of what is named or of all; the next page is that before (ts, id) of the last one here."""
        named = {"source": source, "run": run, "template": template, "decision": decision}
        asked = {name: value for name, value in named.items() if value is not None}
        where = "".join(f"{name} = :{name} AND " for name in asked)
        ts, id_ = before or (2**62, "")
        statement = text(
            f"SELECT {_LINE} FROM llm_records WHERE {where}"  # noqa: S608 - names of columns, all from this module
            "(ts < :ts OR (ts = :ts AND id < :id)) ORDER BY ts DESC, id DESC LIMIT :limit"
        )
        values = {**asked, "ts": ts, "id": id_, "limit": page(limit)}
        return [_line(row) for row in await self._database.run(lambda connection: connection.execute(statement, values).all())]

    async def texts(self, id_: str) -> RecordTexts | None:
        """What was said; None if there is no such record (any more)."""
        asked = text("SELECT prompt, reply, validation, clamps FROM llm_records WHERE id = :id")
        row = await self._database.run(lambda connection: connection.execute(asked, {"id": id_}).one_or_none())
        if row is None:
            return None
        return RecordTexts(str(row.prompt), str(row.reply), str(row.validation), tuple(json.loads(row.clamps)))

    def _row(self, record: Record) -> dict[str, Any]:
        reply = record.reply if isinstance(record.reply, bytes) else record.reply.encode(errors="replace")
        told = reply.decode(errors="replace")
        clamps = json.dumps([dict(clamp) for clamp in record.clamps])
        row = {
            "id": secrets.token_hex(8),
            "ts": record.ts,
            "source": record.source,
            "role": record.role.value,
            "outcome": record.outcome,
            "provider": record.provider,
            "model": record.model,
            "symbol": record.symbol,
            "run": record.run,
            "decision": record.decision,
            "call": record.calls[-1] if record.calls else "",
            "template": record.template,
            "template_version": record.template_version,
            "prompt_hash": record.prompt_hash,
            "state_hash": record.state_hash,
            "cache_key": record.cache_key,
            "reply_hash": hashlib.sha256(reply).hexdigest() if reply else "",
            "prompt_size": len(record.prompt),
            "reply_size": len(told),
            "prompt": self._kept(record.prompt, self._retention.prompt_chars),
            "reply": self._kept(told, self._retention.reply_chars),
            "validation": self._kept(record.validation, self._retention.reply_chars),
            "clamps": self._redact(clamps),
        }
        return {name: storable(value) if isinstance(value, str) else value for name, value in row.items()}

    def _kept(self, told: str, most: int) -> str:
        # Redacted before it is cut: half a key is one that nobody would recognise.
        return self._redact(told)[:most]


def storable(told: str) -> str:
    """The text as both databases take it: PostgreSQL has no room for NUL, and neither for half a surrogate pair."""
    return told.replace("\x00", "\ufffd").encode(errors="replace").decode()


def _line(row: Row[Any]) -> RecordLine:
    values = row._asdict()
    return RecordLine(**{**values, "role": Role(values["role"])})
