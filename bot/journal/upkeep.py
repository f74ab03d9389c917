"""Keeping the journal small, while the bot runs or not.

Orders, their events, fills, closed lots and decisions that have no fate yet are never deleted. Rows go in small transactions, so
that an intent never waits long behind a clean-up. All of this blocks: call it from a thread, a process or the command line.
"""

from __future__ import annotations

import time
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sqlalchemy import ColumnElement, Connection, Executable, Select, Table, exists, func, not_, select

from bot.journal import tables as t
from bot.journal.database import Database, open_database
from bot.journal.errors import JournalUnavailable

DAY_MS = 86_400_000
_CHUNK = 500
# Between two chunks the writer gets its turn: SQLite's lock is not fair.
_PAUSE_SECONDS = 0.005
_BUSY_MS = 5_000
# Facts of which only the recent past is asked for. A decision waits for its fate, its verdict and what overruling it cost.
_EXPIRING = (
    t.fates,
    t.decision_fills,
    t.verdicts,
    t.claims,
    t.abstentions,
    t.positions,
    t.equity,
    t.shadow_samples,
    t.market_health,
)
# The newest row of each of these is the present state, however old.
_PRESENT = {"positions": "symbol", "shadow_samples": "source"}


@dataclass(frozen=True, slots=True)
class Retention:
    """How long rows and segments are kept, in days, and how many bytes of closed segments; None keeps everything."""

    row_days: float | None = 365
    segment_days: float | None = 30
    segment_bytes: int | None = 10 << 30


@dataclass(frozen=True, slots=True)
class Retired:
    """What a clean-up removed."""

    rows: int
    segments: int
    segment_bytes: int


def retire(url: str, data_dir: Path, now: int, keep: Retention) -> Retired:
    """Delete what is older than `keep` allows at `now` (ms). Raises `JournalUnavailable` or `JournalCorrupt`."""
    with closing(open_database(url, write=True, busy_ms=_BUSY_MS)) as database:
        rows = 0
        if keep.row_days is not None:
            before = int(now - keep.row_days * DAY_MS)
            # Decisions first: whether one has its fate is seen from the fates.
            rows += _delete(database, t.decisions, [_fated(), not_(_ordered(t.decisions, "id"))], before)
            rows += sum(_delete(database, table, _spared(table), before) for table in _EXPIRING)
        segments, size = _retire_segments(database, data_dir, now, keep)
    return Retired(rows, segments, size)


def _fated() -> ColumnElement[bool]:
    return exists().where(t.fates.c.book == t.decisions.c.book, t.fates.c.decision_id == t.decisions.c.id)


def _ordered(table: Table, decision: str) -> ColumnElement[bool]:
    """Whether the decision that a row is about led to an order."""
    return exists().where(t.orders.c.book == table.c.book, t.orders.c.decision_id == table.c[decision])


def _spared(table: Table) -> list[ColumnElement[bool]]:
    """What an old row must be, to go."""
    if table.name in _PRESENT:
        by, newer = _PRESENT[table.name], table.alias()
        newest = select(func.max(newer.c.row)).where(newer.c.book == table.c.book, newer.c[by] == table.c[by])
        return [table.c.row < newest.scalar_subquery()]
    if table in {t.fates, t.decision_fills}:
        return [not_(_ordered(table, "decision_id"))]
    return []


def _delete(database: Database, table: Table, conditions: list[ColumnElement[bool]], before: int) -> int:
    """Delete in chunks, found by a read that locks nobody out; how many rows went."""
    deleted = last = 0
    while True:
        find = select(table.c.row).where(table.c.row > last, table.c.at < before, *conditions).order_by(table.c.row).limit(_CHUNK)
        found = database.run(partial(_delete_found, table, find))
        if not found:
            return deleted
        deleted += len(found)
        last = found[-1]
        time.sleep(_PAUSE_SECONDS)


def _delete_found(table: Table, find: Select[int], connection: Connection) -> list[int]:
    found = list(connection.execute(find).scalars())
    if found:
        connection.execute(table.delete().where(table.c.row.in_(found)))
    return found


def _retire_segments(database: Database, data_dir: Path, now: int, keep: Retention) -> tuple[int, int]:
    """Delete closed segments, oldest first, that are too old or too many; how many and how many bytes on the disk."""
    c = t.segments.c
    closed = select(c.run, c.number, c.path, c.at).where(c.closed).order_by(c.at.desc(), c.run.desc(), c.number.desc())
    total = removed = size = 0
    for run, number, name, at in database.run(lambda connection: connection.execute(closed).all()):
        path = data_dir / name
        with suppress(OSError):
            total += path.stat().st_size
        too_old = keep.segment_days is not None and at < now - keep.segment_days * DAY_MS
        too_many = keep.segment_bytes is not None and total > keep.segment_bytes
        if not (too_old or too_many):
            continue
        size += _unlink(path)
        gone = t.segments.delete().where(c.run == run, c.number == number)
        database.run(partial(_execute, gone))
        removed += 1
        with suppress(OSError):
            path.parent.rmdir()
    return removed, size


def _execute(statement: Executable, connection: Connection) -> None:
    connection.execute(statement)


def _unlink(path: Path) -> int:
    """Delete a file; its size, 0 if it was gone already."""
    try:
        size = path.stat().st_size
        path.unlink()
    except FileNotFoundError:
        return 0
    except OSError as error:
        message = f"{path} cannot be deleted: {error}; check the folder's permissions"
        raise JournalUnavailable(message) from error
    return size
