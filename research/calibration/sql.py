"""Outcomes, people's feedback, what was frozen and the maps that were used, in the journal's database, in tables of their own.

The journal refuses a database that holds tables but no journal, so open this after the journal is there. A call is one short
transaction and waits at most `seconds`; it raises `CalibrationUnavailable` if the database cannot be used.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar

import orjson
from sqlalchemy import BigInteger, Column, Connection, MetaData, Table, Text, column, delete, func, inspect, select, table
from sqlalchemy.dialects import postgresql, sqlite

from bot.store.database import Database, Work, open_database
from bot.store.errors import StoreUnavailable
from bot.store.schema import Schema
from research.calibration.errors import CalibrationUnavailable
from research.calibration.evidence import Part, dumped, loaded
from research.calibration.feedback import Feedback, Opined
from research.calibration.maps import CalibrationMap, Key, map_from, map_json
from research.calibration.states import SourceState, state_from, state_json
from research.memory.errors import EvidenceError

T = TypeVar("T")

_VERSIONS: dict[int, tuple[str, ...]] = {
    1: (
        "CREATE TABLE IF NOT EXISTS calibration_outcomes ("
        "id TEXT NOT NULL PRIMARY KEY, source TEXT NOT NULL, decision_id TEXT NOT NULL, known_at BIGINT NOT NULL, "
        "body TEXT NOT NULL)",
        "CREATE INDEX IF NOT EXISTS ix_calibration_outcomes_source ON calibration_outcomes (source, known_at, id)",
        "CREATE TABLE IF NOT EXISTS calibration_feedback ("
        "id TEXT NOT NULL PRIMARY KEY, decision_id TEXT NOT NULL, opined TEXT NOT NULL, at BIGINT NOT NULL, "
        "author TEXT NOT NULL, note TEXT NOT NULL)",
        "CREATE INDEX IF NOT EXISTS ix_calibration_feedback_at ON calibration_feedback (at, id)",
        "CREATE TABLE IF NOT EXISTS calibration_states (source TEXT NOT NULL PRIMARY KEY, body TEXT NOT NULL)",
        "CREATE TABLE IF NOT EXISTS calibration_maps ("
        "version TEXT NOT NULL, source TEXT NOT NULL, model TEXT NOT NULL, action TEXT NOT NULL, as_of BIGINT NOT NULL, "
        "body TEXT NOT NULL, PRIMARY KEY (version, source, model, action))",
        "CREATE INDEX IF NOT EXISTS ix_calibration_maps_source ON calibration_maps (source, as_of)",
    ),
}
_SCHEMA = Schema("calibration", _VERSIONS)
_NOTHING_YET = "so nothing was learnt yet: let the bot trade with `learning.enabled: true`"
_ROWS_PER_STATEMENT = 100
MAPS_KEPT = 500
"""Maps of a source that are kept, the newest, so that the one behind a decision can be looked up."""

# Only names for queries: nothing is created from these.
_metadata = MetaData()
_outcomes = Table(
    "calibration_outcomes",
    _metadata,
    *(Column(name, Text) for name in ("id", "source", "decision_id")),
    Column("known_at", BigInteger),
    Column("body", Text),
)
_feedback = Table(
    "calibration_feedback",
    _metadata,
    *(Column(name, Text) for name in ("id", "decision_id", "opined", "author", "note")),
    Column("at", BigInteger),
)
_states = Table("calibration_states", _metadata, Column("source", Text), Column("body", Text))
_maps = Table(
    "calibration_maps",
    _metadata,
    *(Column(name, Text) for name in ("version", "source", "model", "action", "body")),
    Column("as_of", BigInteger),
)


class SqlCalibration:
    """What was learnt, in a database; make it with `open`, and close it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    async def open(cls, url: str, *, seconds: float = 10.0) -> Self:
        """Reach the database of a `sqlite:///FILE` or `postgresql://` URL and make the tables if they are missing."""
        return await cls._opened(url, seconds, to_read=False)

    @classmethod
    async def open_to_read(cls, url: str, *, seconds: float = 10.0) -> Self:
        """Reach it for look-ups alone: nothing is made. `CalibrationUnavailable` also where nothing was ever learnt."""
        return await cls._opened(url, seconds, to_read=True)

    @classmethod
    async def _opened(cls, url: str, seconds: float, *, to_read: bool) -> Self:
        try:
            if to_read:
                _refuse_absent(url)
            database = open_database(url, seconds)
            try:
                await (database.run(_examine) if to_read else database.prepare(_SCHEMA))
            except BaseException:
                await database.close()
                raise
        except StoreUnavailable as error:
            raise CalibrationUnavailable(_told(error)) from error
        return cls(database)

    async def keep(self, parts: Sequence[Part]) -> int:
        """Keep outcomes, all or none; how many were new. What is there already stays as it is."""
        rows = list({row["id"]: row for row in map(_row, parts)}.values())
        return await self._run(lambda connection: _insert(connection, _outcomes, ["id"], rows)) if rows else 0

    async def sources(self, as_of: int) -> list[str]:
        """Whose outcomes are known, sorted."""
        asked = select(_outcomes.c.source).where(_outcomes.c.known_at <= as_of).distinct()
        return sorted(await self._run(lambda connection: connection.execute(asked).scalars().all()))

    async def parts(self, source: str, as_of: int, limit: int = 4_000) -> list[Part]:
        """The newest outcomes of a source up to `as_of`, oldest first. `EvidenceError` for a row that is none."""
        c = _outcomes.c
        asked = select(c.body).where(c.source == source, c.known_at <= as_of).order_by(c.known_at.desc(), c.id.desc())
        found = await self._run(lambda connection: connection.execute(asked.limit(limit)).scalars().all())
        return await asyncio.to_thread(lambda: [loaded(body) for body in reversed(found)])

    async def say(self, feedback: Feedback) -> None:
        """Keep what somebody says of a decision."""
        row = {
            "id": feedback.id,
            "decision_id": feedback.decision,
            "opined": feedback.opined.value,
            "at": feedback.at,
            "author": feedback.author,
            "note": feedback.note,
        }
        await self._run(lambda connection: _insert(connection, _feedback, ["id"], [row]))

    async def feedback(self, as_of: int, decision: str | None = None, limit: int = 10_000) -> list[Feedback]:
        """What was said up to `as_of`, the newest of it, oldest first."""
        c = _feedback.c
        asked = select(c.decision_id, c.opined, c.at, c.author, c.note).where(c.at <= as_of)
        if decision is not None:
            asked = asked.where(c.decision_id == decision)
        newest = asked.order_by(c.at.desc(), c.id.desc()).limit(limit)
        rows = await self._run(lambda connection: connection.execute(newest).all())
        return [Feedback(row.decision_id, Opined(row.opined), int(row.at), row.author, row.note) for row in reversed(rows)]

    async def states(self) -> dict[str, SourceState]:
        """What was frozen or reset, by source."""
        rows = await self._run(lambda connection: connection.execute(select(_states.c.source, _states.c.body)).all())
        return {str(row.source): state_from(_read(row.body)) for row in rows}

    async def put_state(self, source: str, state: SourceState) -> None:
        """Keep it in the place of the one before."""
        row = {"source": source, "body": orjson.dumps(state_json(state)).decode()}

        def put(connection: Connection) -> None:
            connection.execute(delete(_states).where(_states.c.source == source))
            connection.execute(_states.insert().values(row))

        try:
            await self._database.alone("calibration", put)
        except StoreUnavailable as error:
            raise CalibrationUnavailable(_told(error)) from error

    async def keep_maps(self, maps: Mapping[Key, CalibrationMap], as_of: int) -> None:
        """Keep the maps that are in use at `as_of`; of each source, the newest `MAPS_KEPT` stay."""
        rows = [
            {
                "version": found.version,
                "source": source,
                "model": model,
                "action": action,
                "as_of": as_of,
                "body": orjson.dumps(map_json(found)).decode(),
            }
            for (source, model, action), found in maps.items()
        ]

        def put(connection: Connection) -> None:
            for row in rows:
                connection.execute(_again(connection, row))
            for source in sorted({str(row["source"]) for row in rows}):
                _forget(connection, source)

        if rows:
            await self._run(put)

    async def map(self, version: str) -> CalibrationMap | None:
        """The map of a version, as a decision's evidence names it; None if it is not, or no longer, known."""
        asked = select(_maps.c.body).where(_maps.c.version == version).limit(1)
        body = await self._run(lambda connection: connection.execute(asked).scalar_one_or_none())
        return None if body is None else map_from(_read(body))

    async def close(self) -> None:
        """Release the connections."""
        await self._database.close()

    async def _run(self, work: Work[T]) -> T:
        try:
            return await self._database.run(work)
        except StoreUnavailable as error:
            raise CalibrationUnavailable(_told(error)) from error


def _read(body: str) -> dict[str, Any]:
    try:
        return dict(orjson.loads(body))
    except (ValueError, TypeError) as error:
        message = f"a row of calibration is no JSON: {error}; it was changed by hand"
        raise EvidenceError(message) from error


def _row(part: Part) -> dict[str, Any]:
    told = part.opinion
    return {
        "id": part.id,
        "source": told.source,
        "decision_id": told.decision,
        "known_at": part.known_at,
        "body": dumped(part),
    }


def _insert(connection: Connection, into: Table, key: list[str], rows: Sequence[dict[str, Any]]) -> int:
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    new = 0
    for first in range(0, len(rows), _ROWS_PER_STATEMENT):
        some = insert(into).values(rows[first : first + _ROWS_PER_STATEMENT]).on_conflict_do_nothing(index_elements=key)
        new += len(connection.execute(some.returning(into.c[key[0]])).all())
    return new


def _again(connection: Connection, row: dict[str, Any]) -> Any:
    """A map that is used still: only when it was last used changes."""
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = insert(_maps).values(row)
    return statement.on_conflict_do_update(
        index_elements=["version", "source", "model", "action"], set_={"as_of": statement.excluded.as_of}
    )


def _forget(connection: Connection, source: str) -> None:
    c = _maps.c
    oldest = select(c.as_of).where(c.source == source).order_by(c.as_of.desc()).offset(MAPS_KEPT).limit(1)
    found = connection.execute(oldest).scalar_one_or_none()
    if found is not None:
        connection.execute(delete(_maps).where(c.source == source, c.as_of < found))


def _refuse_absent(url: str) -> None:
    """To connect to a file that is not there would make it."""
    path = url.removeprefix("sqlite:///")
    if path != url and not Path(path).is_file():
        message = f"there is no {path}, {_NOTHING_YET}"
        raise CalibrationUnavailable(message)


def _examine(connection: Connection) -> None:
    """Refuse what cannot be read as this version reads it."""
    kept = f"{_SCHEMA.name}_schema"
    if not inspect(connection).has_table(kept):
        message = f"the database holds no calibration, {_NOTHING_YET}"
        raise CalibrationUnavailable(message)
    there = connection.execute(select(func.max(column("version"))).select_from(table(kept))).scalar_one_or_none() or 0
    if there != _SCHEMA.version:
        message = f"the tables are of version {there}, this bot reads {_SCHEMA.version}: use the newer bot, or run it once"
        raise CalibrationUnavailable(message)


def _told(error: StoreUnavailable) -> str:
    return f"calibration cannot be used: {error}; nothing was kept by this call"
