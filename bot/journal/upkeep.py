"""Keeping the journal small, copied and sound, while the bot runs or not.

Orders, their events, fills, closed lots and decisions that have no fate yet are never deleted. Rows go in small transactions, so
that an intent never waits long behind a clean-up. All of this blocks: call it from a thread, a process or the command line.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from bot.journal.errors import JournalCorrupt, JournalError, JournalUnavailable
from bot.journal.upgrade import sqlite_path

DAY_MS = 86_400_000
_CHUNK = 500
# Between two chunks the writer gets its turn: SQLite's lock is not fair.
_PAUSE_SECONDS = 0.005
_BUSY_SECONDS = 5.0
# Facts of which only the recent past is asked for. A decision waits for its fate, its verdict and what overruling it cost.
_EXPIRING = (
    "fates",
    "decision_fills",
    "verdicts",
    "claims",
    "abstentions",
    "positions",
    "equity",
    "shadow_samples",
    "market_health",
)
# The newest row of each of these is the present state, however old.
_PRESENT = {"positions": "symbol", "shadow_samples": "source"}
_FATED = "EXISTS (SELECT 1 FROM fates f WHERE f.book = t.book AND f.decision_id = t.id)"
_ORDERED = "EXISTS (SELECT 1 FROM orders o WHERE o.book = t.book AND o.decision_id = t.id)"
_OWNER = "EXISTS (SELECT 1 FROM orders o WHERE o.book = t.book AND o.decision_id = t.decision_id)"


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


@contextmanager
def _opened(url: str) -> Iterator[tuple[Path, sqlite3.Connection]]:
    """A connection of our own to a journal that must exist; SQLite's errors as the journal's."""
    path = sqlite_path(url)
    if not path.exists():
        message = f"{path} does not exist: no run was journaled there yet"
        raise JournalUnavailable(message)
    try:
        with closing(sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)) as connection:
            yield path, connection
    except sqlite3.OperationalError as error:
        message = f"{path}: {error}"
        raise JournalUnavailable(message) from error
    except sqlite3.DatabaseError as error:
        message = f"{path} is damaged ({error}): restore a backup over it, or move it away"
        raise JournalCorrupt(message) from error


def retire(url: str, data_dir: Path, now: int, keep: Retention) -> Retired:
    """Delete what is older than `keep` allows at `now` (ms). Raises `JournalUnavailable` or `JournalCorrupt`."""
    with _opened(url) as (_, connection):
        rows = 0
        if keep.row_days is not None:
            before = int(now - keep.row_days * DAY_MS)
            # Decisions first: whether one has its fate is seen from the fates.
            rows += _delete(connection, "decisions", f"t.at < ? AND {_FATED} AND NOT {_ORDERED}", before)
            rows += sum(_delete(connection, table, _condition(table), before) for table in _EXPIRING)
        segments, size = _retire_segments(connection, data_dir, now, keep)
    return Retired(rows, segments, size)


def _condition(table: str) -> str:
    if table in _PRESENT:
        by = _PRESENT[table]
        return f"t.at < ? AND t.row < (SELECT max(n.row) FROM {table} n WHERE n.book = t.book AND n.{by} = t.{by})"  # noqa: S608
    if table in {"fates", "decision_fills"}:
        return f"t.at < ? AND NOT {_OWNER}"
    return "t.at < ?"


def _delete(connection: sqlite3.Connection, table: str, condition: str, before: int) -> int:
    """Delete in chunks, found by a read that locks nobody out; how many rows went. Names and conditions are this module's own."""
    deleted = last = 0
    while True:
        find = f"SELECT t.row FROM {table} t WHERE t.row > ? AND {condition} ORDER BY t.row LIMIT {_CHUNK}"  # noqa: S608
        found = connection.execute(find, (last, before)).fetchall()
        if not found:
            return deleted
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(f"DELETE FROM {table} WHERE row = ?", found)  # noqa: S608
        connection.execute("COMMIT")
        deleted += len(found)
        last = found[-1][0]
        time.sleep(_PAUSE_SECONDS)


def _retire_segments(connection: sqlite3.Connection, data_dir: Path, now: int, keep: Retention) -> tuple[int, int]:
    """Delete closed segments, oldest first, that are too old or too many; how many and how many bytes on the disk."""
    find = "SELECT run, number, path, at FROM segments WHERE closed ORDER BY at DESC, run DESC, number DESC"
    total = removed = size = 0
    for run, number, name, at in connection.execute(find).fetchall():
        path = data_dir / name
        with suppress(OSError):
            total += path.stat().st_size
        too_old = keep.segment_days is not None and at < now - keep.segment_days * DAY_MS
        too_many = keep.segment_bytes is not None and total > keep.segment_bytes
        if not (too_old or too_many):
            continue
        size += _unlink(path)
        connection.execute("DELETE FROM segments WHERE run = ? AND number = ?", (run, number))
        removed += 1
        with suppress(OSError):
            path.parent.rmdir()
    return removed, size


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


def backup(url: str, to: Path) -> int:
    """Copy the database to `to`, consistent while the bot writes; its size in bytes. Never overwrites.

    The copy is checked before it takes its name. Raises `JournalError` if `to` exists, `JournalUnavailable`, `JournalCorrupt`.
    """
    if to.exists():
        message = f"{to} exists already: name another file"
        raise JournalError(message)
    partial = to.with_name(to.name + ".partial")
    try:
        to.parent.mkdir(parents=True, exist_ok=True)
        with _opened(url) as (_, source), closing(sqlite3.connect(partial)) as target:
            # In one step: the copy of a journal that grows would start anew with each commit of the bot.
            source.backup(target)
            target.execute("PRAGMA journal_mode = DELETE").fetchone()
            _check(target, partial)
        partial.replace(to)
        return to.stat().st_size
    except OSError as error:
        message = f"the backup {to} cannot be written: {error}"
        raise JournalUnavailable(message) from error
    finally:
        partial.unlink(missing_ok=True)


def check(url: str) -> None:
    """Read every page, index and reference of the database. Raises `JournalCorrupt`, which names what is wrong."""
    with _opened(url) as (path, connection):
        _check(connection, path)


def _check(connection: sqlite3.Connection, path: Path) -> None:
    faults = [str(fault) for (fault,) in connection.execute("PRAGMA integrity_check(5)") if fault != "ok"]
    faults += [
        f"a row of {table} refers to nothing in {other}" for table, _, other, _ in connection.execute("PRAGMA foreign_key_check")
    ]
    if faults:
        message = f"{path} is damaged ({'; '.join(faults[:5])}): restore a backup over it, or move it away"
        raise JournalCorrupt(message)
