"""A book of any size: what is done for every call looks at a few rows, never at all of them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from decimal import Decimal
from typing import Any

from sqlalchemy import Engine, event

from sources.llm.cache import Recorded, Replies
from sources.llm.records import DECIDED, Records
from tests.sources.llm.ledger_world import LUNA, SOURCE, START, USAGE, ledger_world
from tests.sources.llm.test_llm_recorded_replies import QUESTION, REPLY
from tests.sources.llm.test_llm_records import ASKED

Statement = tuple[str, Any]


@contextmanager
def statements() -> Iterator[list[Statement]]:
    """What is said to the database meanwhile."""
    said: list[Statement] = []

    def hear(_connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        said.append((statement, parameters))

    event.listen(Engine, "before_cursor_execute", hear)
    try:
        yield said
    finally:
        event.remove(Engine, "before_cursor_execute", hear)


def scans(path: str, said: list[Statement]) -> set[str]:
    """Steps of SQLite's plans that walk through a whole table or index."""
    found: set[str] = set()
    with closing(sqlite3.connect(path)) as connection:
        for statement, parameters in said:
            if statement.split()[0] in {"SELECT", "INSERT", "UPDATE", "DELETE"}:
                plan = connection.execute(f"EXPLAIN QUERY PLAN {statement}", parameters).fetchall()
                found |= {detail for *_, detail in plan if detail.startswith("SCAN") and "CONSTANT" not in detail}
    return found


async def test_a_call_from_reservation_to_record_walks_through_no_table(sqlite_url: str) -> None:
    async with ledger_world(sqlite_url) as world:
        ledger, records, replies = await world.ledger(), Records(world.database, str), Replies(world.database)
        with statements() as said:
            purse = ledger.purse(SOURCE)
            await ledger.advice("llm:one")
            await purse.lost(await purse.reserve(LUNA, Decimal("0.1")))
            await purse.settle(await purse.reserve(LUNA, Decimal("0.1")), Decimal("0.01"), USAGE)
            await purse.decided("d1", DECIDED)
            await records.add(ASKED)
            await replies.keep(QUESTION, REPLY, outcome=DECIDED, ts=START)
            await Recorded(world.database).reply(QUESTION)
            await ledger.sweep()
        assert len(said) > 20
        # Only the reservations that are open, which are as many as there are calls under way.
        (walked,) = scans(sqlite_url.removeprefix("sqlite:///"), said)
        assert walked.endswith("INDEX ix_llm_calls_held")


async def test_a_page_of_a_long_history_is_found_by_an_index(sqlite_url: str) -> None:
    async with ledger_world(sqlite_url) as world:
        records, costs = Records(world.database, str), world.costs
        with statements() as said:
            await costs.calls(source="llm:one", before=(START, "x"))
            await costs.of_decision("d1")
            await costs.earned({"d1": Decimal(1)})
            await costs.decisions(START, START + 1, after="d1")
            await costs.total(START, START + 1)
            for named in ({"source": "a"}, {"run": "a"}, {"template": "a"}, {"decision": "a"}):
                await records.lines(before=(START, "x"), **named)  # type: ignore[arg-type]
            await Replies(world.database).of_run("a")
        assert len(said) > 10
        assert scans(sqlite_url.removeprefix("sqlite:///"), said) == set()
