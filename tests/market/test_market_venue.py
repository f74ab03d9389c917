"""A venue in our own terms."""

from __future__ import annotations

from decimal import Decimal

import ccxt
import pytest

from bot.market.ccxt_history import CandleHistory
from bot.market.ccxt_venue import CcxtVenue, UnknownExchange, UnknownSymbol, VenueConfig, VenueUnreachable
from simulators.exchange.answer_faults import Garbage, Garbled
from simulators.exchange.faults import ClockSkew, Status
from simulators.exchange.server import ExchangeSimulator
from tests.market.feed_rig import to


async def test_steps_minimums_and_fees_are_decimals_of_the_venue(simulator: ExchangeSimulator) -> None:
    venue = await CcxtVenue.open(to(simulator))
    try:
        instrument = venue.instrument("BTC/USDT")
        assert (instrument.base, instrument.quote, instrument.active) == ("BTC", "USDT", True)
        assert instrument.price_step == Decimal("0.01")
        assert instrument.amount_step > 0
        assert instrument.min_cost > 0
        assert instrument.taker_fee == Decimal("0.001")
        assert "1s" in venue.timeframes
        assert venue.timeframes[0] == "1s"
        with pytest.raises(UnknownSymbol, match="symbols are written like BTC/USDT"):
            venue.instrument("???")
    finally:
        await venue.close()


async def test_the_clock_offset_is_measured(simulator: ExchangeSimulator) -> None:
    simulator.inject(ClockSkew(milliseconds=5_000))
    venue = await CcxtVenue.open(to(simulator))
    try:
        assert venue.offset is not None
        assert venue.offset.offset == pytest.approx(5_000, abs=200)
        assert venue.now() - venue.clock() == venue.offset.offset
    finally:
        await venue.close()


async def test_one_failed_answer_at_start_is_not_an_unreachable_venue(simulator: ExchangeSimulator) -> None:
    simulator.inject(Status(code=503, path="/api/v3/exchangeInfo", count=1))
    venue = await CcxtVenue.open(to(simulator))
    try:
        assert venue.instrument("BTC/USDT").quote == "USDT"
    finally:
        await venue.close()


@pytest.mark.parametrize("body", Garbage)
async def test_a_garbled_list_of_markets_at_start_is_asked_for_again(simulator: ExchangeSimulator, body: Garbage) -> None:
    simulator.inject(Garbled(body, path="/api/v3/exchangeInfo"))
    venue = await CcxtVenue.open(to(simulator))
    try:
        assert venue.instrument("BTC/USDT").quote == "USDT"
    finally:
        await venue.close()


async def test_a_venue_that_never_lists_a_market_cannot_be_reached(simulator: ExchangeSimulator) -> None:
    simulator.inject(Garbled(Garbage.HTML, path="/api/v3/exchangeInfo", count=100))
    with pytest.raises(VenueUnreachable, match="no answer"):
        await CcxtVenue.open(to(simulator))


@pytest.mark.parametrize("body", Garbage)
async def test_a_garbled_list_of_markets_delists_nothing(simulator: ExchangeSimulator, body: Garbage) -> None:
    """ccxt makes an empty list of it; taken at its word, no symbol could be traded and no order cancelled."""
    venue = await CcxtVenue.open(to(simulator))
    try:
        known = venue.instrument("BTC/USDT")
        simulator.inject(Garbled(body, path="/api/v3/exchangeInfo"))
        with pytest.raises(ccxt.BaseError):
            await venue.refresh(["BTC/USDT"])
        assert venue.instrument("BTC/USDT") == known
        assert venue.exchange.market("BTC/USDT")["active"]
        assert await venue.refresh(["BTC/USDT"]) == []
    finally:
        await venue.close()


@pytest.mark.parametrize("body", Garbage)
async def test_a_garbled_time_is_no_time_and_ends_nothing(simulator: ExchangeSimulator, body: Garbage) -> None:
    simulator.inject(Garbled(body, path="/api/v3/time"))
    venue = await CcxtVenue.open(to(simulator))
    try:
        assert venue.offset is not None
        assert venue.offset.samples == to(simulator).clock_samples - 1
        simulator.inject(Garbled(body, path="/api/v3/time", count=3))
        assert await venue.measure_clock() is None
    finally:
        await venue.close()


@pytest.mark.parametrize("body", [Garbage.HTML, Garbage.TRUNCATED, Garbage.EMPTY])
async def test_garbage_in_place_of_candles_is_not_a_time_without_candles(simulator: ExchangeSimulator, body: Garbage) -> None:
    venue = await CcxtVenue.open(to(simulator))
    try:
        history = CandleHistory(venue)
        since = venue.now() - 20_000
        assert await history.pages("BTC/USDT", "1s", since)
        simulator.inject(Garbled(body, path="/api/v3/klines"))
        with pytest.raises(ccxt.ExchangeNotAvailable, match="no answer"):
            await history.pages("BTC/USDT", "1s", since)
    finally:
        await venue.close()


async def test_an_exchange_that_ccxt_cannot_stream_is_opened_with_rest_alone() -> None:
    import ccxt.async_support as rest
    import ccxt.pro

    from bot.market.ccxt_guard import guarded
    from bot.market.ccxt_venue import _exchange_class

    name = next(name for name in rest.exchanges if name not in ccxt.pro.exchanges)
    exchange = guarded(_exchange_class(ccxt.pro, name))()
    assert not exchange.has.get("watchTrades")
    await exchange.close()


async def test_an_unknown_exchange_is_named_with_near_matches() -> None:
    with pytest.raises(UnknownExchange, match=r"exchange.id: 'binanse' .* did you mean binance"):
        await CcxtVenue.open(VenueConfig("binanse"))
