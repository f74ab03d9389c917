"""A venue changes its rules while the bot runs: the desk learns of it, soon after a refusal."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal

import pytest

from bot.app.instruments import Instruments
from bot.core.facts import OrderChanged
from bot.core.inputs import InstrumentChanged
from bot.core.orders import OrderState
from bot.market.ccxt_venue import CcxtVenue, VenueConfig
from bot.runtime.clock import WallClock
from bot.runtime.inbox import Inbox
from simulators.exchange.account_faults import ChangeFilter, Delist
from simulators.exchange.faults import Status
from simulators.exchange.server import ExchangeSimulator
from tests.execution.ccxt_rig import DIALECTS, rig
from tests.factories import BTC, ETH, DeskHarness


@asynccontextmanager
async def watched(every: float = 60.0) -> AsyncIterator[tuple[ExchangeSimulator, Instruments]]:
    """The instruments of a venue, and the venue."""
    async with ExchangeSimulator(symbols=(BTC, ETH)) as exchange:
        venue = await CcxtVenue.open(VenueConfig("binance", exchange.ccxt_config()))
        try:
            yield exchange, Instruments(venue, (BTC, ETH), Inbox(), WallClock(), every=every, least=0.0)
        finally:
            await venue.close()


def told(instruments: Instruments) -> list[InstrumentChanged]:
    """What the desk will be told."""
    return [event for event, _ in iter(instruments.inbox.take, None) if isinstance(event, InstrumentChanged)]


async def test_rules_that_stay_the_same_are_told_to_nobody() -> None:
    async with watched() as (_, instruments):
        assert await instruments.refresh() == 0
        assert told(instruments) == []


async def test_a_changed_filter_reaches_the_desk() -> None:
    async with watched() as (exchange, instruments):
        exchange.inject(ChangeFilter(BTC, amount_step=Decimal("0.01"), min_cost=Decimal(20)))
        assert await instruments.refresh() == 1
        (changed,) = told(instruments)
        assert changed.instrument.amount_step == Decimal("0.01")
        assert changed.instrument.min_cost == Decimal(20)


async def test_a_delisted_symbol_is_not_active_any_more() -> None:
    async with watched() as (exchange, instruments):
        exchange.inject(Delist(ETH))
        await instruments.refresh()
        assert [(event.instrument.symbol, event.instrument.active) for event in told(instruments)] == [(ETH, False)]


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_an_account_can_still_be_asked_about_a_symbol_that_is_listed_no_more(dialect: str) -> None:
    async with rig(dialect) as one, watched() as (_, instruments):
        trader, listing = one.account.exchange, instruments.venue.exchange
        left = [market for name, market in trader.markets.items() if name != ETH]

        async def load_markets(reload: bool) -> None:
            del reload
            listing.set_markets(left)

        listing.load_markets = load_markets
        instruments.traders = (trader,)
        assert await instruments.refresh() > 0
        assert ETH not in listing.markets
        # Else no poll and no reconciliation would be whole ever again, of any symbol.
        assert await one.account.trades(ETH, 0) == []
        assert await one.account.open_orders((BTC, ETH)) == []


async def test_a_venue_that_does_not_answer_changes_nothing() -> None:
    async with watched() as (exchange, instruments):
        exchange.inject(ChangeFilter(BTC, amount_step=Decimal("0.01")))
        exchange.inject(Status(503, "/api/v3/exchangeInfo"))
        assert await instruments.refresh() == 0
        assert instruments.failures == 1
        assert await instruments.refresh() == 1


async def test_a_refused_order_makes_the_bot_look_again() -> None:
    desk = DeskHarness()
    desk.quote(100)
    desk.propose()
    desk.refuse(reason="Filter failure: LOT_SIZE")
    (refused,) = [fact for fact in desk.of(OrderChanged) if fact.state is OrderState.REJECTED]
    async with watched(every=600.0) as (exchange, instruments):
        exchange.inject(ChangeFilter(BTC, amount_step=Decimal("0.01")))
        running = asyncio.create_task(instruments.run())
        instruments.saw(refused)
        async with asyncio.timeout(20):
            await instruments.inbox.wait()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert len(told(instruments)) == 1
