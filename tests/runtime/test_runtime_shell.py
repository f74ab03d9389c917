"""From a quote to a fill and back, through the real journal, outlets and paper broker."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

from bot.core.decision import Action, Denial, Fate
from bot.core.desk import TradingDesk
from bot.core.facts import DecisionFate, DecisionSeen, FillBooked, OrderChanged, PositionChanged
from bot.core.inputs import MarketHealth, OrderAccepted
from bot.core.market import Health, Side, Trade
from bot.core.orders import OrderState
from bot.journal.queries import Queries
from bot.runtime.shell import ShellRules
from tests.factories import BTC, QC, RULE, a_config, a_source
from tests.runtime.shell_rig import NO_FEES, QUICK, order_states, running


async def test_a_buy_and_a_sell_go_from_quote_to_fill_and_into_the_journal(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        rig.quote(100.0)
        bought = await rig.propose(Action.BUY)
        (fill,) = await rig.facts.count(FillBooked)
        assert (fill.decision_id, fill.fill.price, fill.fill.amount) == (bought.id, Decimal(100), Decimal(10))
        rig.quote(110.0)
        sold = await rig.propose(Action.SELL)
        _, fill = await rig.facts.count(FillBooked, 2)
        assert fill.realised == Decimal(100)
        await rig.settled()
        books = rig.shell.desk.portfolio
        assert books.cash == Decimal(10_100)
        assert rig.broker.balances()["USDT"].free == Decimal(10_100)
        await rig.shell.journal.flush()
        with Queries(f"sqlite:///{rig.database}") as queries:
            assert [row.order_id for row in reversed(queries.fills())] == [order.id for order, _ in rig.broker.heard]
            fates = {row.id: row.fate for row in queries.decisions()}
        assert fates == {bought.id: Fate.EXECUTED, sold.id: Fate.EXECUTED}
        tally = rig.shell.tally
        assert (tally.orders, tally.fills, tally.decisions[RULE], tally.fates["executed"]) == (2, 2, 2, 2)
        assert tally.to_fill.count == 2


async def test_an_intent_is_in_the_database_before_the_broker_hears_of_the_order(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        rig.quote(100.0)
        await rig.propose(Action.BUY)
        await rig.facts.count(FillBooked)
        await rig.propose(Action.SELL)
        await rig.facts.count(FillBooked, 2)
        assert [states[:1] for _, states in rig.broker.heard] == [["intent"], ["intent"]]


async def test_while_the_journal_is_locked_nothing_is_sent_and_when_it_is_free_again_the_order_goes_out(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        rig.quote(100.0)
        await rig.settled()
        await rig.shell.journal.flush()
        with closing(sqlite3.connect(rig.database, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            decision = await rig.propose(Action.BUY)
            await rig.facts.until(lambda: rig.facts.states().count(OrderState.CANCELLED) >= 2)
            assert rig.broker.heard == []
            assert "locked" in rig.troubles
            assert not rig.facts.of(DecisionFate)
            other.execute("ROLLBACK")
        (fill,) = await rig.facts.count(FillBooked)
        assert fill.decision_id == decision.id
        assert len(rig.broker.heard) == 1
        await rig.shell.journal.flush()
        refused = {fact.request.id for fact in rig.facts.of(OrderChanged) if fact.state is OrderState.CANCELLED}
        sent = rig.broker.heard[0][0].id
        assert sent not in refused
        assert order_states(rig.database, sent)[0] == "intent"


async def test_a_stop_between_two_quotes_that_were_conflated_is_not_missed(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        rig.quote(100.0)
        await rig.propose(Action.BUY, stop_loss=95.0)
        await rig.facts.until(lambda: any(fact.stop_loss == 95.0 for fact in rig.facts.of(PositionChanged)))
        await rig.settled()
        before = rig.inbox.conflated
        rig.quote(100.0)
        rig.quote(94.0)
        rig.quote(101.0)
        assert rig.inbox.conflated == before + 2
        _, left = await rig.facts.count(FillBooked, 2)
        assert left.fill.side is Side.SELL
        assert rig.facts.of(OrderChanged)[-1].request.leg.value == "stop-loss"


async def test_a_settle_window_ends_by_the_timer_alone_with_no_market_to_wake_the_desk(tmp_path: Path) -> None:
    async with running(tmp_path, (a_source(RULE, settle_ms=80),)) as rig:
        rig.quote(100.0)
        began = rig.now
        await rig.propose(Action.BUY)
        (fill,) = await rig.facts.count(FillBooked)
        assert fill.at - began >= 80


async def test_a_standing_decision_outranks_a_lower_tier_until_it_expires(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        rig.quote(100.0)
        await rig.propose(Action.BUY, QC, lasts=100)
        await rig.facts.count(FillBooked)
        await rig.propose(Action.SELL, RULE)
        await rig.facts.until(lambda: Fate.OUTRANKED in [fate.fate for fate in rig.facts.of(DecisionFate)])
        async with asyncio.timeout(20):
            while rig.shell.desk.state.bench(BTC).standing is not None:
                await asyncio.sleep(0.005)
        await rig.propose(Action.SELL, RULE)
        fills = await rig.facts.count(FillBooked, 2)
        assert [(fill.source, fill.fill.side) for fill in fills] == [(QC, Side.BUY), (RULE, Side.SELL)]


async def test_paper_latency_is_kept_by_the_timer(tmp_path: Path) -> None:
    config = a_config(trading=QUICK, fills=replace(NO_FEES, latency_ms=60))
    async with running(tmp_path, config=config) as rig:
        rig.quote(100.0)
        began = rig.now
        await rig.propose(Action.BUY)
        (fill,) = await rig.facts.count(FillBooked)
        assert fill.at - began >= 60


async def test_a_timer_whose_time_has_passed_does_not_spin(tmp_path: Path) -> None:
    async with running(tmp_path, (a_source(RULE, settle_ms=50),)) as rig:
        rig.quote(100.0)
        await rig.propose(Action.BUY)
        await rig.facts.count(FillBooked)
        turns = rig.shell.cycle.turns
        wakes = 0
        ring = rig.inbox.wake

        def counted() -> None:
            nonlocal wakes
            wakes += 1
            ring()

        rig.inbox.wake = counted  # type: ignore[method-assign]
        await asyncio.sleep(0.3)
        assert wakes <= 3
        assert rig.shell.cycle.turns - turns <= 3


async def test_a_timer_that_rings_too_early_rings_again(tmp_path: Path) -> None:
    """An event loop may call a hair before the time that was asked for; the desk must not wait for the next quote then."""
    async with running(tmp_path, (a_source(RULE, settle_ms=150),)) as rig:
        rig.quote(100.0)
        await rig.propose(Action.BUY)
        await rig.facts.count(DecisionSeen)
        rig.shell._ring()
        await rig.settled()
        assert [fill.fill.side for fill in await rig.facts.count(FillBooked)] == [Side.BUY]


async def test_broker_updates_that_pile_up_halt_entries_until_they_are_worked_off(tmp_path: Path) -> None:
    async with running(tmp_path, rules=ShellRules(alarm=10)) as rig:
        rig.quote(100.0)
        await rig.settled()
        backlogs: list[bool] = []
        for number in range(400):
            rig.inbox.put_broker(OrderAccepted(rig.now, f"nobody{number}", ""))
        decision = await rig.propose(Action.BUY)
        turn = rig.shell.cycle.turn

        def seen(event: object) -> None:
            turn(event)  # type: ignore[arg-type]
            backlogs.append(rig.shell.desk.state.risk.backlog)

        rig.shell.cycle.turn = seen  # type: ignore[method-assign]
        await rig.facts.count(FillBooked)
        assert True in backlogs
        assert backlogs[-1] is False
        assert rig.facts.of(FillBooked)[0].decision_id == decision.id


async def test_a_backlog_does_not_outlive_the_process_that_had_it(tmp_path: Path) -> None:
    config = a_config(trading=QUICK, fills=NO_FEES)
    past = TradingDesk(config)
    past.state.risk.backlog = True
    async with running(tmp_path, config=config, desk=TradingDesk.restore(config, past.snapshot())) as rig:
        rig.quote(100.0)
        await rig.propose(Action.BUY)
        await rig.facts.count(FillBooked)
        assert rig.shell.desk.state.risk.backlog is False


async def test_a_stop_handles_what_had_arrived_and_leaves_no_timer(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        await rig.settled()
        for number in range(500):
            rig.shell.on_trade(Trade(BTC, rig.now, rig.now, str(number), 100.0, 1.0, Side.BUY))
        rig.quote(100.0)
        rig.shell.stop()
        assert rig.desk_task is not None
        await asyncio.wait_for(rig.desk_task, 20)
        assert rig.shell.tally.market_events == 501
        assert len(rig.inbox) == 0
        assert rig.shell._timer is None


async def test_a_fault_of_the_broker_ends_the_desk_with_that_fault(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:

        def fail(trade: Trade) -> None:
            raise RuntimeError(trade.id)

        rig.broker.on_trade = fail  # type: ignore[method-assign]
        rig.shell.on_trade(Trade(BTC, rig.now, rig.now, "the trade", 100.0, 1.0, Side.BUY))
        assert rig.desk_task is not None
        await asyncio.wait([rig.desk_task], timeout=20)
        assert rig.desk_task.done()
        assert isinstance(rig.desk_task.exception(), RuntimeError)
        assert rig.shell._timer is None


async def test_stale_data_denies_an_entry_until_it_is_fresh(tmp_path: Path) -> None:
    limits = replace(a_config().limits, stale_after_ms=10_000)
    async with running(tmp_path, config=a_config(limits, trading=QUICK, fills=NO_FEES)) as rig:
        rig.quote(100.0)
        rig.shell.on_health(MarketHealth(rig.now, BTC, Health.STALE))
        await rig.settled()
        await rig.propose(Action.BUY)
        await rig.facts.count(DecisionSeen)
        await rig.settled()
        assert rig.shell.desk.state.bench(BTC).refused is Denial.STALE_DATA
        rig.shell.on_health(MarketHealth(rig.now, BTC, Health.FRESH))
        await rig.facts.count(FillBooked)


async def test_paper_that_does_not_wait_for_the_disk_trades_at_once_and_a_late_failure_of_the_intent_changes_nothing(
    tmp_path: Path,
) -> None:
    async with running(tmp_path, rules=ShellRules(await_intent=False)) as rig:
        rig.quote(100.0)
        await rig.settled()
        await rig.shell.journal.flush()
        with closing(sqlite3.connect(rig.database, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            await rig.propose(Action.BUY)
            await rig.facts.count(FillBooked)
            async with asyncio.timeout(20):
                while not rig.shell.desk.state.ignored.get("intent-twice"):
                    await asyncio.sleep(0.01)
            other.execute("ROLLBACK")
        assert rig.shell.desk.portfolio.amount(BTC) == Decimal(10)
        assert OrderState.CANCELLED not in rig.facts.states()
        await rig.shell.journal.flush()
        sent = rig.broker.heard[0][0].id
        assert order_states(rig.database, sent)[-1] == "filled"


async def test_facts_of_a_stop_in_the_middle_of_trading_are_all_in_the_journal(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        rig.quote(100.0)
        for number in range(40):
            await rig.propose(Action.BUY if number % 2 else Action.SELL, name=f"d{number}")
        seen = rig.facts
    with Queries(f"sqlite:///{rig.database}") as queries:
        assert len(queries.decisions(limit=1_000)) == len(seen.of(DecisionSeen)) == 40
        assert len(queries.fills(limit=1_000)) == len(seen.of(FillBooked))
