"""The journal's tables, from the schema itself."""

from __future__ import annotations

from sqlalchemy import Column, Table
from sqlalchemy.dialects import postgresql, sqlite

from bot.docs import markdown as md
from bot.journal.migrations import HEAD
from bot.journal.tables import metadata

_INTRO = """
The journal is a database (SQLite in `DATA/arbiter.db` unless `journal.url` says otherwise) and, beside it, the recorded
inputs. Read the database with any client; write to it with none.

- Money and amounts are text, exactly as the decimal was; add them up as decimals, not as floats.
- Statistics are doubles and may be null. Times are milliseconds UTC. Text from outside is stored as it came, made storable.
- `book` names the (bot, mode, venue, world) that a fact belongs to, `run` the start of the bot. A simulated world never
  shares a book with real data.
- Tables of facts only grow, and their `row` is the order of writing; `runs`, `snapshots`, `segments` and `orders` keep the
  newest state of each key.
- An order's row is on the disk before the venue hears of the order.
- Once an hour the running bot lets go of telemetry older than `journal.retention` and of closed segments older than
  `journal.segment_retention`. Orders, their events, fills, closed lots and decisions that have no fate yet are never deleted.
"""
_SEGMENTS = """
## Recorded inputs

`DATA/segments/RUN/000001.jsonl`, and so on, hold every input of the desk and what it returned, in order: a line
`{"n": 12, "type": "Quote", "in": [...]}` for each input, followed by `{"n": 12, "out": [...]}` where there were effects. A
full segment (`journal.segment_bytes`) is closed, compressed (`.jsonl.gz`) and listed in the table `segments` with its
SHA-256. That is what
`python -m bot replay` reads; see [replay and recovery](../explanation/replay-and-recovery.md).

## Files in the data directory

| file | what it is |
|---|---|
| `arbiter.db`, `-wal`, `-shm` | the database; the last two exist while it is open |
| `arbiter.db.ballast` | a disk reserve (`journal.ballast_bytes`), given up when the disk is full so that exits stay writable |
| `arbiter.db.rescue-RUN.jsonl` | rows that could not reach the database before the bot had to stop; put in at the next start |
| `postgresql-NAME.rescue-RUN.jsonl` | the same, where the journal is on PostgreSQL |
| `segments/` | recorded inputs, a directory for each run |
| `backups/` | where `db backup` writes unless told otherwise |
| `bot.lock` | a lock that keeps a second bot out; the file stays, what counts is the lock |
| `feed.json` | where the running bot listens, with the token (mode 0600); there only while it runs |
| `secrets.json` | the encrypted secrets, if any were set |
"""


def page() -> str:
    """The reference of the journal."""
    parts = [part for table in metadata.tables.values() for part in (f"### `{table.name}`", _columns(table))]
    return md.page("Journal", _INTRO, _SEGMENTS, "## Tables", f"Schema revision `{HEAD}`.", *parts)


def _columns(table: Table) -> str:
    return md.table(["column", "SQLite", "PostgreSQL", "null", "refers to"], [_column(column) for column in table.columns])


def _column(column: Column[object]) -> list[str]:
    dialects = (sqlite.dialect(), postgresql.dialect())  # type: ignore[no-untyped-call]
    kinds = [column.type.compile(dialect=dialect) for dialect in dialects]
    refers = ", ".join(md.code(name) for name in sorted(key.target_fullname for key in column.foreign_keys))
    key = " (key)" if column.primary_key else ""
    return [f"{md.code(column.name)}{key}", *kinds, "yes" if column.nullable else "", refers]
