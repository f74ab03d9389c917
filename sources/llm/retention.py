"""How much of what LLMs were told and answered is kept, and for how long.

Recorded replies and prompt templates are kept for ever: replay and audit live on them. So are the totals per day and month.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, text

from bot.store.database import Database

_DAY_MS = 86_400_000
_AT_ONCE = 1000  # rows of one transaction, so that nobody waits long for it


@dataclass(frozen=True, slots=True)
class Retention:
    """Bounds. Records are kept for `record_days`, at most `records` of them; rows of the ledger for `call_days`.

    Prompts and replies are cut at so many characters; their full size and hash are kept. `ValueError` for bounds below 1.
    """

    record_days: int = 365
    records: int = 200_000
    call_days: int = 800
    prompt_chars: int = 100_000
    reply_chars: int = 50_000

    def __post_init__(self) -> None:
        for name in ("record_days", "records", "call_days", "prompt_chars", "reply_chars"):
            if getattr(self, name) < 1:
                message = f"retention.{name} is {getattr(self, name)}: give 1 or more"
                raise ValueError(message)


@dataclass(frozen=True, slots=True)
class Pruned:
    """How many rows went."""

    records: int
    calls: int


async def prune(database: Database, retention: Retention, at: int) -> Pruned:
    """Delete what is too old or too much, oldest first, in short transactions. Raises `StoreUnavailable`."""
    gone = {"llm_records": 0, "llm_calls": 0}
    before = {"llm_records": at - retention.record_days * _DAY_MS, "llm_calls": at - retention.call_days * _DAY_MS}
    for table in gone:
        while some := await database.run(lambda connection, table=table: _older(connection, table, before[table])):  # type: ignore[misc]
            gone[table] += some
    while some := await database.run(lambda connection: _beyond(connection, retention.records)):
        gone["llm_records"] += some
    return Pruned(gone["llm_records"], gone["llm_calls"])


def _older(connection: Connection, table: str, before: int) -> int:
    unless_held = " AND state <> 'held'" if table == "llm_calls" else ""
    return connection.execute(
        text(
            f"DELETE FROM {table} WHERE id IN "  # noqa: S608 - a constant of this module
            f"(SELECT id FROM {table} WHERE ts < :before{unless_held} ORDER BY ts, id LIMIT :some)"
        ),
        {"before": before, "some": _AT_ONCE},
    ).rowcount


def _beyond(connection: Connection, most: int) -> int:
    there = int(connection.execute(text("SELECT count(*) FROM llm_records")).scalar_one())
    if there <= most:
        return 0
    return connection.execute(
        text("DELETE FROM llm_records WHERE id IN (SELECT id FROM llm_records ORDER BY ts, id LIMIT :some)"),
        {"some": min(there - most, _AT_ONCE)},
    ).rowcount
