"""What a scrape reads of the desk and the journal: how they are, not how they were told last."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from pathlib import Path

from bot.app.readings import _bind_desk, _bind_journal, _bind_stages
from bot.core.decision import Action
from bot.core.facts import FillBooked
from bot.core.inputs import SetTradingState, TradingState
from tests.factories import BTC
from tests.runtime.shell_rig import Rig, running


async def scraped(rig: Rig) -> dict[str, float]:
    """The samples of a scrape, by name and labels."""
    text, _ = await rig.shell.outlets.metrics.scrape()
    lines = [line.rpartition(" ") for line in text.decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}


async def test_the_worth_of_the_book_is_that_of_the_newest_price(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        _bind_desk(rig.shell)
        rig.quote(100.0)
        await rig.propose(Action.BUY)
        await rig.facts.count(FillBooked)
        rig.quote(150.0)
        await rig.settled()
        found = await scraped(rig)
        books = rig.shell.desk.portfolio
        assert found["bot_equity"] == books.equity > 10_000
        assert found[f'bot_position_quote{{symbol="{BTC}"}}'] == float(books.amount(BTC)) * 150.0
        assert (found["bot_positions_open"], found["bot_cash"]) == (1, float(books.cash))
        assert found["bot_exposure_ratio"] == books.exposure / books.equity


async def test_a_kill_switch_of_an_earlier_run_is_seen(tmp_path: Path) -> None:
    """No fact says it anew when a halted bot starts again: it is read from the desk."""
    async with running(tmp_path) as rig:
        _bind_desk(rig.shell)
        rig.shell.desk.state.risk.state = TradingState.HALTED
        found = await scraped(rig)
        assert (found["bot_kill_switch"], found['bot_trading_state{state="halted"}']) == (1, 1)
        rig.inbox.put_command(SetTradingState(rig.now, TradingState.ACTIVE, "test", ""))
        await rig.settled()
        found = await scraped(rig)
        assert (found["bot_kill_switch"], found['bot_trading_state{state="active"}']) == (0, 1)


async def test_the_journal_s_lag_is_how_long_rows_wait_while_it_cannot_write(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        _bind_journal(rig.shell)
        await rig.shell.journal.flush()
        found = await scraped(rig)
        assert found["bot_journal_up"] == 1
        assert found["bot_journal_lag_seconds"] < 1
        before = found["bot_journal_commit_seconds_count"]
        with closing(sqlite3.connect(rig.database, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            rig.quote(100.0)
            await rig.propose(Action.BUY)
            async with asyncio.timeout(5):
                while (found := await scraped(rig))["bot_journal_lag_seconds"] < 0.3:
                    await asyncio.sleep(0.01)
            assert (found["bot_journal_up"], found["bot_journal_backlog"] > 0) == (0, True)
            assert found["bot_journal_failures_total"] > 0
            other.execute("ROLLBACK")
        await rig.shell.journal.flush()
        async with asyncio.timeout(5):
            while (found := await scraped(rig))["bot_journal_lag_seconds"] > 0.1 or not found["bot_journal_up"]:
                await asyncio.sleep(0.01)
        assert found["bot_journal_commit_seconds_count"] > before


async def test_the_stages_are_served_as_histograms(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        _bind_stages(rig.shell)
        rig.quote(100.0)
        await rig.propose(Action.BUY)
        await rig.facts.count(FillBooked)
        await rig.shell.journal.flush()
        found = await scraped(rig)
        names = ("decision_intent", "intent_stored", "intent_sent", "order_accepted", "order_filled")
        assert [found[f"bot_{name}_seconds_count"] for name in names] == [1] * len(names)
        assert found["bot_decision_latency_seconds_count"] == 1
        assert found["bot_event_handled_seconds_count"] >= 2
        assert found["bot_decision_latency_seconds_sum"] > 0
