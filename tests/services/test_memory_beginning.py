"""The memory of a run begins where the journal says the last one ended."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from bot.core.decision import Action
from bot.core.facts import DecisionSeen, Fact, FillBooked, LotClosed, PositionChanged
from bot.core.portfolio import Portfolio
from bot.journal.queries import Queries
from bot.journal.run import BookKey
from bot.runtime.hosting import Port
from bot.services.memory.beginning import begin_memory, held_in
from bot.services.memory.live import FACTOR, LiveMemory
from bot.services.memory.subjects import subject_of
from bot.settings import Settings
from research.memory.errors import MemoryUnavailable
from tests.factories import BTC, RULE, a_decision
from tests.journal.journal_databases import change, rows
from tests.runtime.shell_rig import Rig, running
from tests.services.memory_life import DAY, a_backtest, a_ground, a_rule

BOOK = BookKey("main", "paper", "test", "simulated")
SIMULATED = subject_of(RULE, BTC, "1h", simulated=True)


def settings_in(place: Path, **memory: Any) -> Settings:
    (place / "data").mkdir(exist_ok=True)
    return a_ground(place, **memory).loaded.settings


async def trade(rig: Rig, number: int = 1) -> None:
    """Buy at 100 and sell at 110."""
    for _ in range(number):
        before = len(rig.facts.of(LotClosed))
        rig.quote(100.0)
        await rig.propose(Action.BUY, name=f"buy-{before}")
        await rig.facts.until(lambda: any(fact.amount for fact in rig.facts.of(PositionChanged)[-1:]))
        rig.quote(110.0)
        await rig.propose(Action.SELL, name=f"sell-{before}")
        await rig.facts.count(LotClosed, before + 1)
        await rig.facts.until(lambda: not rig.facts.of(PositionChanged)[-1].amount)


async def begun(place: Path, settings: Settings, portfolio: Portfolio, now: int, book: BookKey = BOOK) -> LiveMemory:
    live = await begin_memory(settings, book, [a_rule(place / "sources")], portfolio, lambda: now)
    assert live is not None
    return live


async def test_trades_that_a_run_did_not_come_to_keep_are_learnt_at_the_next_start(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    async with running(tmp_path / "data") as rig:
        await trade(rig, 3)
        await rig.shell.journal.flush()
        now = rig.now
        live = await begun(tmp_path, settings, rig.shell.desk.portfolio, now)
        found = await live.store.confidence(SIMULATED, now)
        assert found is not None
        assert found.trades == 3
        assert live.adjust(a_decision(at=now + 1)).evidence[FACTOR] == 1.0  # three winners prove nothing yet
        await live.close(1.0)


async def test_what_was_heard_and_what_is_read_again_is_the_same(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    async with running(tmp_path / "data") as rig:
        live = await begun(tmp_path, settings, rig.shell.desk.portfolio, rig.now)

        def saw(fact: Fact) -> None:
            rig.facts(fact)
            live.saw(fact)

        rig.shell._saw = saw
        await trade(rig, 4)
        assert live.waiting == 4
        await live.close(1.0)
        await rig.shell.journal.flush()
        again = await begun(tmp_path, settings, rig.shell.desk.portfolio, rig.now)
        found = await again.store.confidence(SIMULATED, rig.now)
        assert found is not None
        assert found.trades == 4
        await again.close(1.0)


async def test_what_is_known_weighs_the_decision_the_order_and_the_fill(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    async with running(tmp_path / "data") as rig:
        live = await begun(tmp_path, settings, rig.shell.desk.portfolio, rig.now)
        good = a_backtest(strategy=SIMULATED.strategy, began=0, until=730 * DAY, known_at=rig.now - 1)
        await live.store.remember([good])
        port = Port(rig.inbox, rig.shell.desk, rig.shell.clock.now, live.adjust)
        rig.quote(100.0)
        await port.propose(a_decision(Action.BUY, RULE, rig.now))
        [fill] = await rig.facts.count(FillBooked)
        [seen] = rig.facts.of(DecisionSeen)
        assert 0.6 < seen.decision.confidence == fill.confidence <= 0.75
        assert (seen.decision.raw_confidence, seen.decision.evidence[FACTOR]) == (0.6, seen.decision.confidence / 0.6)
        await live.close(1.0)
        await rig.shell.journal.flush()
        with Queries(settings.database_url) as journal:
            [kept] = journal.decisions()
        assert (kept.confidence, kept.raw_confidence) == (seen.decision.confidence, 0.6)


async def test_a_row_that_is_no_evidence_takes_no_memory_away(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    async with running(tmp_path / "data") as rig:
        await trade(rig, 2)
        await rig.shell.journal.flush()
        await (await begun(tmp_path, settings, rig.shell.desk.portfolio, rig.now)).close(1.0)
        change(settings.database_url, "UPDATE memory_evidence SET body = '{}'")
        await trade(rig, 1)
        await rig.shell.journal.flush()
        live = await begun(tmp_path, settings, rig.shell.desk.portfolio, rig.now)
        assert live.adjust(a_decision(at=rig.now)).confidence == 0.6
        await live.close(1.0)
    assert rows(settings.database_url, "SELECT count(*) FROM memory_evidence") == [(3,)]


async def test_the_trades_of_another_book_are_not_learnt_from(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    async with running(tmp_path / "data") as rig:
        await trade(rig)
        await rig.shell.journal.flush()
        other = BookKey("main", "paper", "binance", "real")
        live = await begun(tmp_path, settings, rig.shell.desk.portfolio, rig.now, other)
        assert await live.store.subjects(rig.now) == []
        await live.close(1.0)


async def test_positions_are_told_by_their_oldest_opener(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        rig.quote(100.0)
        await rig.propose(Action.BUY)
        await rig.facts.count(PositionChanged)
        assert held_in(rig.shell.desk.portfolio)[BTC] == (Decimal(10), RULE)


async def test_a_memory_that_is_off_is_none(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, enabled=False)
    portfolio = Portfolio.opening("USDT", Decimal(10_000))
    assert await begin_memory(settings, BOOK, [], portfolio, lambda: 0) is None


async def test_a_plug_in_that_is_not_there_is_named(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, store="letta")
    portfolio = Portfolio.opening("USDT", Decimal(10_000))
    with pytest.raises(MemoryUnavailable, match=r"memory.store = 'letta'.*sql"):
        await begin_memory(settings, BOOK, [], portfolio, lambda: 0)
