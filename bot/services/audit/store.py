"""The audit in the journal's database. Pages are bounded; lines are numbered in the order in which they were kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import orjson
from sqlalchemy import Connection, Row, text

from bot.services.audit.entry import Entry
from bot.services.audit.tables import SCHEMA
from bot.store.database import Database, open_prepared

LARGEST_PAGE = 500
_LOCK = "audit"
_CHUNK = 1_000
_COLUMNS = (
    "number", "id", "at", "bot", "run", "mode", "simulated", "actor", "command", "target", "args", "before", "after", "outcome",
    "detail", "nonce",
)  # fmt: skip
_INSERT = text(
    f"INSERT INTO audit ({', '.join(_COLUMNS)}) VALUES (:{', :'.join(_COLUMNS)}) ON CONFLICT (id) DO NOTHING"  # noqa: S608 - constants
)


@dataclass(frozen=True, slots=True)
class Scene:
    """Where lines come from: which bot, which start of it, how it trades, and whether its market is not a real one."""

    bot: str
    run: str
    mode: str
    simulated: bool


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which lines: all, or those of an actor, of a command, of a time (ms UTC, `until` excluded), of a world."""

    actor: str | None = None
    command: str | None = None
    since: int | None = None
    until: int | None = None
    simulated: bool | None = None
    before: int | None = None

    def clause(self) -> tuple[str, dict[str, object]]:
        """The condition and its values."""
        tests = {
            "actor": ("actor = :actor", self.actor),
            "command": ("command = :command", self.command),
            "since": ("at >= :since", self.since),
            "until": ("at < :until", self.until),
            "simulated": ("simulated = :simulated", None if self.simulated is None else int(self.simulated)),
            "before": ("number < :before", self.before),
        }
        asked = {name: (test, value) for name, (test, value) in tests.items() if value is not None}
        where = " AND ".join(test for test, _ in asked.values())
        return (f"WHERE {where} " if where else ""), {name: value for name, (_, value) in asked.items()}


class AuditStore:
    """The lines. Every call raises `StoreUnavailable` where the database cannot be used."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    async def open(cls, url: str, seconds: float = 10.0) -> Self:
        """The store in the journal's database, which must be there; close it."""
        return cls(await open_prepared(url, SCHEMA, seconds))

    async def close(self) -> None:
        """Release the connections."""
        await self._database.close()

    async def keep(self, scene: Scene, entries: Sequence[Entry]) -> None:
        """Write lines, all or none; one that is there already, because a write was cut short, stays as it is."""
        rows = [_values(scene, entry) for entry in entries]

        def work(connection: Connection) -> None:
            last = int(connection.execute(text("SELECT coalesce(max(number), 0) FROM audit")).scalar_one())
            connection.execute(_INSERT, [{"number": last + place, **row} for place, row in enumerate(rows, 1)])

        if rows:
            await self._database.alone(_LOCK, work)

    async def newest(self, wanted: Wanted, limit: int) -> list[Mapping[str, object]]:
        """Lines as plain JSON, the newest first."""
        where, values = wanted.clause()
        asked = text(f"SELECT * FROM audit {where}ORDER BY number DESC LIMIT :limit")  # noqa: S608 - constants of this file
        values["limit"] = max(1, min(limit, LARGEST_PAGE))
        rows = await self._database.run(lambda connection: connection.execute(asked, values).all())
        return [_told(row) for row in rows]

    async def retire(self, before: int | None, most: int) -> int:
        """Let go of the oldest: what is older than `before` (ms UTC), and what goes beyond `most` lines. How many went."""
        oldest = text(
            "DELETE FROM audit WHERE number IN (SELECT number FROM audit WHERE at < :before OR number <= "
            "(SELECT coalesce(max(number), 0) FROM audit) - :most ORDER BY number LIMIT :chunk)"
        )
        values = {"before": -1 if before is None else before, "most": most, "chunk": _CHUNK}
        gone = 0
        while True:
            went = await self._database.alone(_LOCK, lambda connection: connection.execute(oldest, values).rowcount)
            gone += went
            if went < _CHUNK:
                return gone


def _values(scene: Scene, entry: Entry) -> dict[str, object]:
    return {
        "id": entry.id,
        "at": entry.at,
        "bot": scene.bot,
        "run": scene.run,
        "mode": scene.mode,
        "simulated": int(scene.simulated),
        "actor": entry.actor,
        "command": entry.command,
        "target": entry.target,
        "args": _json(entry.args),
        "before": _json(entry.before),
        "after": _json(entry.after),
        "outcome": entry.outcome.value,
        "detail": entry.detail,
        "nonce": entry.nonce,
    }


def _json(value: object) -> str:
    # PostgreSQL's text holds no NUL; JSON writes it as an escape, so that it never stands there itself.
    return orjson.dumps(value, default=str).decode()


def _told(row: Row[Any]) -> dict[str, object]:
    values = dict(row._mapping)  # noqa: SLF001 - the row's public face in SQLAlchemy
    told = {name: values[name] for name in _COLUMNS}
    return told | {name: orjson.loads(values[name]) for name in ("args", "before", "after")} | {"simulated": bool(row.simulated)}
