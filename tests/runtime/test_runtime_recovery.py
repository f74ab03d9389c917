"""Promises of recovery: the desk goes on where the disk says it was, fill for fill."""

from __future__ import annotations

import contextlib
import sqlite3
from decimal import Decimal
from pathlib import Path

import pytest

from bot.core.decision import Action
from bot.core.desk import TradingDesk
from bot.core.effects import Record, StoreIntent
from bot.core.facts import FillBooked
from bot.core.inputs import Filled, Input, InstrumentChanged, IntentStored, OrderAccepted, Proposed, SourceJoined
from bot.core.market import Side
from bot.core.orders import Fill
from bot.journal.codec import encode_snapshot
from bot.journal.errors import JournalCorrupt
from bot.journal.journal import Journal
from bot.journal.queries import Queries
from bot.journal.run import BookKey, RunStart
from bot.journal.writer import Watch
from bot.runtime.recovery import recover
from tests.factories import BTC, RULE, T0, a_config, a_decision, a_quote, a_source, an_instrument

BOOK = BookKey("test", "paper", "simulated", "real")


class Life:
    """A desk whose inputs and facts are journaled, except where a test plays the crash."""

    def __init__(self, journal: Journal) -> None:
        self.journal = journal
        self.desk = TradingDesk(a_config())
        self.stored: list[StoreIntent] = []

    def begin(self) -> None:
        initial = {"config": self.desk.config, "desk": self.desk.state, "sources": {}}
        start = RunStart("run-1", BOOK, T0, False, {}, "test", initial=initial)
        self.journal.begin(start, Watch(lambda trouble: pytest.fail(str(trouble)), lambda: None))

    def turn(self, event: Input, recorded: bool = True, told: bool = True) -> None:
        number = self.journal.input(event) if recorded else 0
        effects = self.desk.handle(event)
        if recorded:
            self.journal.effects(number, effects)
        for effect in effects:
            if isinstance(effect, Record) and told:
                self.journal.append(effect.fact, durable=effect.durable)
            elif isinstance(effect, StoreIntent):
                self.stored.append(effect)
                self.journal.store(effect.request, T0, lambda error: None)

    def buy(self) -> str:
        """Up to the venue's acceptance."""
        self.turn(InstrumentChanged(T0, an_instrument(BTC)))
        self.turn(SourceJoined(T0, a_source(RULE)))
        self.turn(a_quote(100.0, at=T0))
        self.turn(Proposed(T0, a_decision(Action.BUY, RULE, T0)))
        order = self.stored[-1].request.id
        self.turn(IntentStored(T0, order))
        self.turn(OrderAccepted(T0, order, "v1"))
        return order

    def fill(self, order: str, name: str) -> Fill:
        return Fill(name, order, BTC, Side.BUY, Decimal(1), Decimal(100), Decimal("0.1"), "USDT", T0)


@pytest.fixture
async def life(tmp_path: Path) -> Life:
    return Life(Journal.open(f"sqlite:///{tmp_path / 'arbiter.db'}", tmp_path))


async def test_a_first_start_has_nothing_to_recover(tmp_path: Path, life: Life) -> None:
    del life
    found = recover(f"sqlite:///{tmp_path / 'arbiter.db'}", tmp_path, BOOK)
    assert (found.state, found.replayed) == (None, 0)


async def test_the_inputs_after_the_snapshot_bring_the_desk_back(tmp_path: Path, life: Life) -> None:
    life.begin()
    order = life.buy()
    life.turn(Filled(T0, life.fill(order, "t1")))
    await life.journal.close(T0, None)
    found = recover(f"sqlite:///{tmp_path / 'arbiter.db'}", tmp_path, BOOK)
    assert encode_snapshot(found.state) == encode_snapshot(life.desk.state)
    assert (found.replayed, found.fills, found.untold, found.strays) == (7, 0, [], [])


async def test_what_the_tables_lack_is_told_again_and_nothing_else(tmp_path: Path, life: Life) -> None:
    life.begin()
    order = life.buy()
    life.turn(Filled(T0, life.fill(order, "t1")), told=False)
    life.turn(Filled(T0 + 5, life.fill(order, "t2")), told=False)
    await life.journal.close(T0, None)
    found = recover(f"sqlite:///{tmp_path / 'arbiter.db'}", tmp_path, BOOK)
    told = [type(fact).__name__ for fact in found.untold]
    assert told == [
        "FillBooked",
        "DecisionFate",
        "PositionChanged",
        "OrderChanged",
        "FillBooked",
        "PositionChanged",
        "OrderChanged",
    ]
    assert [fact.fill.id for fact in found.untold if isinstance(fact, FillBooked)] == ["t1", "t2"]


async def test_what_the_tables_lacked_is_told_before_the_next_run_begins_and_only_once(tmp_path: Path, life: Life) -> None:
    life.begin()
    order = life.buy()
    life.turn(Filled(T0, life.fill(order, "t1")), told=False)
    await life.journal.close(T0, None)
    url = f"sqlite:///{tmp_path / 'arbiter.db'}"
    found = recover(url, tmp_path, BOOK)
    Journal.open(url, tmp_path).complete(found.run, found.untold)
    with Queries(url) as queries:
        assert [fill.id for fill in queries.fills(run="run-1", book=BOOK)] == ["t1"]
    again = recover(url, tmp_path, BOOK)
    assert (again.untold, again.fills) == ([], 0)
    assert encode_snapshot(again.state) == encode_snapshot(found.state)


async def test_a_fill_that_only_reached_the_tables_is_booked_once(tmp_path: Path, life: Life) -> None:
    life.begin()
    order = life.buy()
    life.turn(Filled(T0, life.fill(order, "t1")))
    life.turn(Filled(T0, life.fill(order, "t2")), recorded=False)
    await life.journal.close(T0, None)
    found = recover(f"sqlite:///{tmp_path / 'arbiter.db'}", tmp_path, BOOK)
    assert found.state is not None
    assert (found.fills, found.strays) == (1, [])
    assert found.state.portfolio.amount(BTC) == Decimal(2)
    assert found.state.portfolio.cash == life.desk.portfolio.cash


async def test_an_order_whose_cause_was_lost_is_adopted_with_its_fills(tmp_path: Path, life: Life) -> None:
    life.begin()
    life.turn(InstrumentChanged(T0, an_instrument(BTC)))
    life.turn(SourceJoined(T0, a_source(RULE)))
    life.turn(a_quote(100.0, at=T0))
    life.turn(Proposed(T0, a_decision(Action.BUY, RULE, T0)), recorded=False)
    order = life.stored[-1].request.id
    life.turn(IntentStored(T0, order), recorded=False)
    life.turn(Filled(T0, life.fill(order, "t1")), recorded=False)
    await life.journal.close(T0, None)
    found = recover(f"sqlite:///{tmp_path / 'arbiter.db'}", tmp_path, BOOK)
    assert (found.adopted, found.fills, found.strays) == (1, 1, [])
    assert found.state is not None
    assert found.state.portfolio.amount(BTC) == Decimal(1)
    assert found.state.orders[order].filled == Decimal(1)


async def test_a_fill_without_an_order_is_a_stray(tmp_path: Path, life: Life) -> None:
    life.begin()
    order = life.buy()
    life.turn(Filled(T0, life.fill(order, "t1")))
    await life.journal.close(T0, None)
    with contextlib.closing(sqlite3.connect(tmp_path / "arbiter.db")) as database, database:
        database.execute("UPDATE fills SET order_id = 'nobody'")
    found = recover(f"sqlite:///{tmp_path / 'arbiter.db'}", tmp_path, BOOK)
    assert found.strays == ["t1"]


async def test_a_snapshot_that_is_not_a_desks_is_refused(tmp_path: Path, life: Life) -> None:
    start = RunStart("run-1", BOOK, T0, False, {}, "test", initial={"cash": 1})
    life.journal.begin(start, Watch(lambda trouble: None, lambda: None))
    await life.journal.close(T0, None)
    with pytest.raises(JournalCorrupt, match="run-1"):
        recover(f"sqlite:///{tmp_path / 'arbiter.db'}", tmp_path, BOOK)
