"""Market data under the account's budget, over real sockets."""

from __future__ import annotations

import ccxt
import pytest

from bot.market.ccxt_venue import CcxtVenue, VenueConfig
from execution.budget import BudgetRules, WindowBudget
from execution.ccxt_stream import metered, set_budget
from simulators.exchange.faults import Status
from simulators.exchange.server import ExchangeSimulator


async def test_market_data_waits_its_turn_and_says_how_its_calls_went() -> None:
    async with ExchangeSimulator() as exchange:
        venue = await CcxtVenue.open(VenueConfig("binance", exchange.ccxt_config(), derive=metered))
        told = list[bool]()
        venue.exchange.told = told.append
        set_budget(venue.exchange, WindowBudget(BudgetRules(weight=100.0)))
        try:
            await venue.exchange.fetch_time()
            exchange.inject(Status(503, "/api/v3/time"))
            with pytest.raises(ccxt.ExchangeNotAvailable):
                await venue.exchange.fetch_time()
            assert told == [False, True]
            venue.exchange.budget.penalise(3_600_000)
            with pytest.raises(ccxt.RateLimitExceeded):
                await venue.exchange.fetch_time()
        finally:
            await venue.close()
