"""The ledger outlives what goes wrong: a killed process, a cancelled caller, a database that is away."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, text

from bot.journal.upgrade import upgrade
from bot.store.database import Database, Work
from bot.store.errors import StoreUnavailable
from bot.store.schema import Schema
from sources.llm.budget import Advice, BudgetRefused, Limit
from sources.llm.ledger import Ledger
from sources.llm.owners import is_gone, this_process
from sources.llm.purse import Ticket
from sources.llm.tables import open_tables
from tests.journal.journal_databases import rows
from tests.sources.llm.ledger_world import LUNA, OTHER, SOURCE, START, USAGE, WIDE, LedgerWorld, ledger_world

CENT = Decimal("0.01")
_MID_CALL = """
import asyncio, sys
from decimal import Decimal
from sources.llm.ledger import Ledger
from sources.llm.tables import open_tables
from tests.sources.llm.ledger_world import LUNA, SOURCE, START, USAGE, WIDE

async def main():
    ledger = await Ledger.open(await open_tables(sys.argv[1]), WIDE, now=lambda: START, told=print)
    await ledger.settle(await ledger.reserve(SOURCE, LUNA, Decimal("0.5")), Decimal("0.01"), USAGE)
    await ledger.reserve(SOURCE, LUNA, Decimal("0.3"))
    print("called", flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


def killed_mid_call(url: str) -> None:
    """A process that reserved, sent, and was killed before the answer came."""
    command = [sys.executable, "-c", _MID_CALL, url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3]) as process:
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == "called\n"
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait(timeout=10)


async def test_a_kill_mid_call_leaves_the_reservation_booked_once_as_spent(database_url: str) -> None:
    await asyncio.to_thread(killed_mid_call, database_url)
    async with ledger_world(database_url) as world:
        assert await world.spent() == Decimal("0.31")
        ledger = await world.ledger()
        assert [(row.state, row.usd, row.outcome) for row in await world.costs.calls()] == [
            ("lost", Decimal("0.3"), "process-ended"),
            ("settled", CENT, "answered"),
        ]
        (day, _) = await ledger.standing()
        assert (day.spent, day.held) == (Decimal("0.31"), Decimal(0))
        assert await ledger.sweep() == 0
        await world.ledger()
        assert await world.spent() == Decimal("0.31")


async def test_what_another_living_process_has_reserved_is_left_to_it(database_url: str) -> None:
    async with ledger_world(database_url) as world:
        one = await world.ledger()
        ticket = await one.reserve(SOURCE, LUNA, Decimal("0.3"))
        await world.ledger()
        assert [row.state for row in await world.costs.calls()] == ["held"]
        await one.settle(ticket, CENT, USAGE)
        assert await world.spent() == CENT


async def test_what_nobody_settles_in_time_is_spent_and_can_still_be_corrected(database_url: str) -> None:
    async with ledger_world(database_url) as world:
        one = await world.ledger()
        late = await one.reserve(SOURCE, LUNA, Decimal("0.3"))
        world.at += WIDE.overdue_ms + 1
        await one.reserve(OTHER, LUNA, CENT)
        assert [(row.state, row.outcome) for row in await world.costs.calls(source="llm:one")] == [("lost", "overdue")]
        await one.settle(late, Decimal("0.02"), USAGE)
        assert await world.spent() == Decimal("0.03")


async def test_a_ledger_that_is_closed_leaves_nothing_reserved(database_url: str) -> None:
    async with ledger_world(database_url) as world:
        ledger = await world.ledger()
        await ledger.reserve(SOURCE, LUNA, CENT)
        await ledger.close()
        assert [(row.state, row.usd) for row in await world.costs.calls()] == [("lost", CENT)]


class Gate:
    """A database whose transactions end only when they are let."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.written = asyncio.Event()
        self.open = asyncio.Event()

    async def run(self, work: Work[object]) -> object:
        return await self._database.run(work)

    async def alone(self, name: str, work: Work[object]) -> object:
        done = await self._database.alone(name, work)
        self.written.set()
        await asyncio.wait_for(self.open.wait(), 10)
        return done

    async def prepare(self, schema: Schema) -> None:
        await self._database.prepare(schema)

    async def close(self) -> None:
        await self._database.close()


async def test_a_reservation_whose_caller_gave_up_meanwhile_is_undone(database_url: str) -> None:
    async with ledger_world(database_url) as world:
        gate = Gate(world.database)
        gate.open.set()
        ledger = await Ledger.open(gate, WIDE, now=lambda: START, told=world.alerts.append)  # type: ignore[arg-type]
        gate.open.clear()
        gate.written.clear()
        doing = asyncio.create_task(ledger.reserve(SOURCE, LUNA, CENT))
        await asyncio.wait_for(gate.written.wait(), 10)
        doing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(doing, 10)  # at once, though the database still thinks
        gate.open.set()
        await ledger.close()
        assert [row.state for row in await world.costs.calls()] == ["released"]


async def test_a_settlement_is_written_though_its_caller_gave_up(database_url: str) -> None:
    async with ledger_world(database_url) as world:
        ledger = await world.ledger()
        ticket = await ledger.reserve(SOURCE, LUNA, Decimal("0.3"))
        doing = asyncio.create_task(ledger.settle(ticket, CENT, USAGE))
        await asyncio.sleep(0)  # it has begun
        doing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await doing
        await ledger.close()
        assert await world.spent() == CENT


async def test_a_slow_database_holds_up_nobody_who_has_his_answer(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sources.llm.ledger._PATIENCE_S", 0.01)
    async with ledger_world(sqlite_url) as world:
        gate = Gate(world.database)
        gate.open.set()
        ledger = await Ledger.open(gate, WIDE, now=lambda: START, told=world.alerts.append)  # type: ignore[arg-type]
        ticket = await ledger.reserve(SOURCE, LUNA, Decimal("0.3"))
        gate.open.clear()
        await asyncio.wait_for(ledger.settle(ticket, CENT, USAGE), 20)
        gate.open.set()
        await ledger.close()
        assert await world.spent() == CENT


async def test_no_call_is_made_while_the_ledger_cannot_be_written_and_no_cost_is_forgotten(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    database = await open_tables(f"sqlite:///{path}", seconds=0.05)
    ledger = await Ledger.open(database, WIDE, now=lambda: START, told=lambda _: None)
    ticket = await ledger.reserve(SOURCE, LUNA, Decimal("0.3"))
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(BudgetRefused, match="locked") as refused:
            await ledger.reserve(SOURCE, LUNA, CENT)
        assert refused.value.limit is Limit.UNAVAILABLE
        await ledger.settle(ticket, CENT, USAGE)
        other.execute("ROLLBACK")
    assert (ledger.counters.deferred, ledger.counters.dropped) == (1, 0)
    world = LedgerWorld(database, WIDE)
    assert await world.spent() == Decimal("0.3")
    await ledger.reserve(SOURCE, LUNA, Decimal("0.1"))
    assert await world.spent() == Decimal("0.11")
    await database.close()


async def test_the_advice_of_a_ledger_that_cannot_be_read_is_off(tmp_path: Path) -> None:
    database = await open_tables(f"sqlite:///{tmp_path / 'journal.db'}")
    ledger = await Ledger.open(database, WIDE, now=lambda: START, told=lambda _: None)
    assert await ledger.advice() is Advice.NORMAL
    (tmp_path / "journal.db").write_bytes(b"this is no database" * 1000)
    assert await ledger.advice() is Advice.OFF
    with pytest.raises(BudgetRefused):
        await ledger.reserve(SOURCE, LUNA, CENT)
    with pytest.raises(StoreUnavailable):
        await ledger.sweep()
    await database.close()


steps = st.lists(
    st.tuples(st.sampled_from(["reserve", "settle", "lost", "release", "later", "sweep", "reopen"]), st.integers(0, 5)),
    max_size=25,
)


@given(steps)
@settings(max_examples=15, deadline=None)
async def test_the_running_totals_are_always_the_sums_of_the_rows(taken: list[tuple[str, int]]) -> None:
    with TemporaryDirectory() as folder:
        url = f"sqlite:///{folder}/journal.db"
        async with ledger_world(url, replace(WIDE, per_day=Decimal("0.2"))) as world:
            await walk(world, taken)
            await world.database.run(check_totals)


async def walk(world: LedgerWorld, taken: list[tuple[str, int]]) -> None:
    """Do what the steps say, whatever comes of it."""
    ledger, tickets = await world.ledger(), list[Ticket]()
    for step, n in taken:
        if step == "reserve":
            with contextlib.suppress(BudgetRefused):
                tickets.append(await ledger.reserve(SOURCE if n % 2 else OTHER, LUNA, CENT * (n + 1)))
        elif step == "later":
            world.at += n * WIDE.overdue_ms
        elif step == "sweep":
            await ledger.sweep()
        elif step == "reopen":
            await ledger.close()
            ledger = await world.ledger()
        elif tickets:
            ticket = tickets[n % len(tickets)]
            await (ledger.settle(ticket, CENT * n, USAGE) if step == "settle" else getattr(ledger, step)(ticket))


def check_totals(connection: Connection) -> None:
    """What is held and spent per limit and period, told by the totals and by the rows."""
    for scope, period, held, spent in connection.execute(text("SELECT scope, period, held, spent FROM llm_totals")):
        asked = text(
            "SELECT coalesce(sum(CASE WHEN state = 'held' THEN pico END), 0), "
            "coalesce(sum(CASE WHEN state <> 'held' THEN pico END), 0) FROM llm_calls "
            "WHERE substr(day, 1, length(:period)) = :period AND (:scope = '' OR source = :scope)"
        )
        assert tuple(connection.execute(asked, {"scope": scope, "period": period}).one()) == (held, spent)


def test_a_process_that_ended_is_told_from_one_that_lives() -> None:
    assert not is_gone(f"{this_process()}|abc")
    host, number, _ = this_process().split("|")
    assert is_gone(f"{host}|{number}|1|abc"), "another process that had our number"
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait(timeout=10)
    assert is_gone(f"{host}|{ended.pid}|1|abc")
    assert not is_gone(f"elsewhere|{ended.pid}|1|abc")
    assert not is_gone("")


async def test_the_tables_live_beside_a_journal(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'journal.db'}"
    upgrade(url)
    async with ledger_world(url) as world:
        await (await world.ledger()).reserve(SOURCE, LUNA, CENT)
    upgrade(url)
    assert rows(url, "SELECT count(*) FROM llm_calls") == [(1,)]
