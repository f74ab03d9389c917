"""Completing an earlier run: the facts that a crash kept out of its tables, put there before the next run begins.

The next run begins with a snapshot in which they have happened already, so whoever recovers that one never learns that they are
missing. Told before, they can be told again: what is in the tables by then is not told twice.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select

from bot.core.facts import Fact
from bot.journal import tables as t
from bot.journal.engine import Engine, Write
from bot.journal.queries import Queries
from bot.journal.rows import Row, rows_by_table


def complete(url: str, engine: Engine, run: str, facts: Sequence[Fact]) -> None:
    """Store facts of an earlier run, all or none, on the disk when this returns. Raises `StoreFault` or `RowFault`."""
    with Queries(url) as queries:
        book = queries.read(lambda connection: connection.execute(select(t.runs.c.book).where(t.runs.c.id == run)).scalar_one())
    scope: Row = {"book": book, "run": run}
    writes = [Write(table, [to_row(fact) | scope for fact in group]) for table, group, to_row in rows_by_table(facts)]
    engine.commit(writes, durable=True)
