from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.core.market import Candle, Quote, Side, Trade
from bot.market.simulated import SimulatedFeed, SimulatedMarket, UnknownSymbol, listing_for

GENESIS = 1_700_000_040_000  # a whole minute
MARKET = SimulatedMarket(7, genesis=GENESIS)
SYMBOLS = st.sampled_from(MARKET.symbols)
INDICES = st.integers(0, 2_000)


def numbers(candle: Candle) -> tuple[float, ...]:
    return candle.open, candle.high, candle.low, candle.close, candle.volume


def test_the_same_seed_gives_the_same_market_by_index_whatever_the_hour() -> None:
    one, other = SimulatedMarket(11, ["BTC/USDT"], 0), SimulatedMarket(11, ["BTC/USDT"], 86_400_000 * 365)
    assert [numbers(one.candle("BTC/USDT", i)) for i in range(400)] == [numbers(other.candle("BTC/USDT", i)) for i in range(400)]
    assert one.candle("BTC/USDT", 5).ts + other.genesis == other.candle("BTC/USDT", 5).ts


def test_another_seed_gives_another_market() -> None:
    one, other = SimulatedMarket(11, ["BTC/USDT"]), SimulatedMarket(12, ["BTC/USDT"])
    assert [one.candle("BTC/USDT", i) for i in range(60)] != [other.candle("BTC/USDT", i) for i in range(60)]


@settings(max_examples=30, deadline=None)
@given(symbol=SYMBOLS, indices=st.lists(INDICES, min_size=1, max_size=6), quotes=st.booleans())
def test_how_it_is_read_changes_nothing(symbol: str, indices: list[int], quotes: bool) -> None:
    fresh = SimulatedMarket(7, list(reversed(MARKET.symbols)), GENESIS, cached_blocks=1)
    for index in indices:
        if quotes:
            assert fresh.quotes(symbol, index) == MARKET.quotes(symbol, index)
        assert fresh.trades(symbol, index) == MARKET.trades(symbol, index)
        assert fresh.candle(symbol, index) == MARKET.candle(symbol, index)


def test_blocks_that_were_forgotten_come_back_the_same() -> None:
    small = SimulatedMarket(7, ["BTC/USDT"], GENESIS, cached_blocks=4)
    first = small.trades("BTC/USDT", 3)
    small.candle("BTC/USDT", 20_000)
    assert small.trades("BTC/USDT", 3) == first


@settings(max_examples=200, deadline=None)
@given(symbol=SYMBOLS, index=INDICES)
def test_a_candle_is_made_of_exactly_the_trades_of_its_time(symbol: str, index: int) -> None:
    trades, candle, bar = MARKET.trades(symbol, index), MARKET.candle(symbol, index), MARKET.bar(symbol, index)
    assert candle.fault() is None
    assert candle.at == candle.end == candle.ts + 1_000
    assert bar.trades == len(trades)
    assert all(candle.ts <= trade.ts < candle.end for trade in trades)
    if trades:
        prices = [trade.price for trade in trades]
        assert (candle.open, candle.high, candle.low, candle.close) == (prices[0], max(prices), min(prices), prices[-1])
        assert candle.volume == pytest.approx(sum(trade.amount for trade in trades), rel=1e-12)
        assert bar.turnover == pytest.approx(sum(trade.amount * trade.price for trade in trades), rel=1e-12)
    elif index:
        last = MARKET.candle(symbol, index - 1).close
        assert numbers(candle) == (last, last, last, last, 0.0)


@settings(max_examples=200, deadline=None)
@given(symbol=SYMBOLS, index=INDICES)
def test_every_trade_prints_at_the_quote_of_its_moment(symbol: str, index: int) -> None:
    quotes = MARKET.quotes(symbol, index)
    assert all(earlier.ts < later.ts for earlier, later in pairwise(quotes))
    for trade in MARKET.trades(symbol, index):
        quote = [quote for quote in quotes if quote.ts <= trade.ts][-1]
        assert quote.bid < quote.ask
        assert trade.price == (quote.ask if trade.side is Side.BUY else quote.bid)
        assert 0 < trade.amount <= (quote.ask_size if trade.side is Side.BUY else quote.bid_size)


@settings(max_examples=100, deadline=None)
@given(symbol=SYMBOLS, index=INDICES, slot=st.integers(0, 4))
def test_a_book_begins_at_its_quote_and_is_sorted(symbol: str, index: int, slot: int) -> None:
    quote, book = MARKET.quotes(symbol, index)[slot], MARKET.book(symbol, index, slot)
    assert (book.bids[0], book.asks[0]) == ((quote.bid, quote.bid_size), (quote.ask, quote.ask_size))
    assert len(book.bids) == len(book.asks) == 20
    assert all(better > worse for (better, _), (worse, _) in pairwise(book.bids))
    assert all(better < worse for (better, _), (worse, _) in pairwise(book.asks))
    assert all(amount > 0 for _, amount in book.bids + book.asks)


def test_prices_and_amounts_are_whole_steps() -> None:
    for symbol, instrument in MARKET.instruments().items():
        for trade in (trade for index in range(50) for trade in MARKET.trades(symbol, index)):
            tick, lot = float(instrument.price_step), float(instrument.amount_step)
            assert trade.price == round(round(trade.price / tick) * tick, 8)
            assert trade.amount == round(round(trade.amount / lot) * lot, 8)


def test_a_minute_is_the_sum_of_its_sixty_seconds() -> None:
    for number, minute in enumerate(MARKET.candles("ETH/USDT", "1m", GENESIS, GENESIS + 600_000)):
        seconds = [MARKET.candle("ETH/USDT", number * 60 + k) for k in range(60)]
        assert minute.ts == seconds[0].ts
        assert (minute.open, minute.close) == (seconds[0].open, seconds[-1].close)
        assert (minute.high, minute.low) == (max(s.high for s in seconds), min(s.low for s in seconds))
        assert minute.volume == pytest.approx(sum(s.volume for s in seconds), rel=1e-12)


def test_candles_are_whole_and_inside_what_was_asked_for() -> None:
    odd = SimulatedMarket(7, ["BTC/USDT"], GENESIS + 7_000)
    candles = odd.candles("BTC/USDT", "1m", 0, GENESIS + 200_000)
    assert [candle.ts for candle in candles] == [GENESIS + 60_000, GENESIS + 120_000]
    assert odd.candles("BTC/USDT", "1m", 0, GENESIS + 60_000) == []


def test_trade_ids_are_gapless_and_found_again() -> None:
    ids = [int(trade.id) for index in range(700) for trade in MARKET.trades("SOL/USDT", index)]
    assert ids == list(range(1, len(ids) + 1))
    for number in (1, 2, 77, len(ids)):
        index = MARKET.index_of_trade("SOL/USDT", number)
        assert str(number) in {trade.id for trade in MARKET.trades("SOL/USDT", index)}


def test_moving_averages_cross_every_ten_to_thirty_seconds() -> None:
    for symbol in MARKET.symbols:
        closes = np.array([bar.close for bar in MARKET.bars(symbol, 1_000, 0, 7_200)])
        fast = np.convolve(closes, np.ones(5) / 5, "valid")[15:]
        slow = np.convolve(closes, np.ones(20) / 20, "valid")
        signs = np.sign(fast - slow)
        crossings = np.count_nonzero(np.diff(signs[signs != 0]))
        assert 10 <= closes.size / crossings <= 30


def test_there_are_thin_spells_and_busy_ones_and_the_price_stays_in_sight() -> None:
    bars = MARKET.bars("BTC/USDT", 1_000, 0, 20_000)
    per_minute = [sum(bar.trades for bar in bars[start : start + 60]) for start in range(0, 19_980, 60)]
    assert min(per_minute) * 4 < max(per_minute)
    assert any(bar.trades == 0 for bar in bars)
    assert all(40_000 < bar.close < 90_000 for bar in bars)


def test_a_shock_moves_the_price_for_good_and_leaves_the_past_alone() -> None:
    plain, shocked = SimulatedMarket(7, ["BTC/USDT"]), SimulatedMarket(7, ["BTC/USDT"])
    shocked.candle("BTC/USDT", 500)  # what was generated already is generated anew
    shocked.shock("BTC/USDT", 200, 0.8)
    assert [plain.candle("BTC/USDT", i) for i in range(200)] == [shocked.candle("BTC/USDT", i) for i in range(200)]
    for index in (200, 260, 500):
        assert shocked.quotes("BTC/USDT", index)[0].mid == pytest.approx(0.8 * plain.quotes("BTC/USDT", index)[0].mid, rel=2e-4)


def test_a_burst_prints_at_once_and_counts_in_its_candle() -> None:
    market = SimulatedMarket(7, ["BTC/USDT"])
    before = market.bar("BTC/USDT", 130)
    market.burst("BTC/USDT", 130, 5_000)
    after, trades = market.bar("BTC/USDT", 130), market.trades("BTC/USDT", 130)
    assert after.trades == before.trades + 5_000 == len(trades)
    assert [int(trade.id) for trade in trades] == list(range(after.first_trade, after.first_trade + len(trades)))
    assert sum(trade.ts == market.quotes("BTC/USDT", 130)[0].ts for trade in trades) == 5_000
    assert market.bar("BTC/USDT", 131).first_trade == after.first_trade + after.trades


def test_the_feed_tells_everything_once_in_time_order() -> None:
    feed = list(SimulatedFeed(MARKET, 30, 150, ["BTC/USDT", "XRP/USDT"], ("1s", "1m")))
    times = [event.at for event in feed]
    assert times == sorted(times)
    candles = [event for event in feed if isinstance(event, Candle)]
    assert [c for c in candles if c.timeframe == "1s" and c.symbol == "XRP/USDT"] == [
        MARKET.candle("XRP/USDT", i) for i in range(30, 150)
    ]
    assert [(c.symbol, c.ts) for c in candles if c.timeframe == "1m"] == [
        (symbol, GENESIS + 60_000) for symbol in ("BTC/USDT", "XRP/USDT")
    ]
    assert sum(isinstance(event, Quote) for event in feed) == 2 * 120 * MARKET.slots
    trades = [event for event in feed if isinstance(event, Trade) and event.symbol == "BTC/USDT"]
    assert trades == [trade for index in range(30, 150) for trade in MARKET.trades("BTC/USDT", index)]


def test_any_number_of_symbols_can_be_listed() -> None:
    market = SimulatedMarket(1, [f"C{n}/USDT" for n in range(60)])
    for symbol in market.symbols:
        quotes = market.quotes(symbol, 20)
        assert all(0 < quote.bid < quote.ask for quote in quotes)
        assert (quotes[0].ask - quotes[0].bid) / quotes[0].bid < 0.005


@pytest.mark.parametrize("name", ["BTCUSDT", "BTC/", "/USDT", "", "BTC/USDT:USDT"])
def test_a_symbol_that_is_none_is_refused_by_name(name: str) -> None:
    with pytest.raises(ValueError, match="BASE/QUOTE"):
        listing_for(name)


def test_bad_questions_raise() -> None:
    with pytest.raises(UnknownSymbol, match="DOGE/USDT is not listed"):
        MARKET.quotes("DOGE/USDT", 0)
    with pytest.raises(IndexError, match="before the market's genesis"):
        MARKET.trades("BTC/USDT", -1)
    with pytest.raises(ValueError, match="not a multiple"):
        SimulatedMarket(7, genesis=1)
    with pytest.raises(ValueError, match="seed"):
        SimulatedMarket(-1)
    with pytest.raises(ValueError, match="listed twice"):
        SimulatedMarket(1, ["BTC/USDT", "BTC/USDT"])
    with pytest.raises(ValueError, match="whole steps"):
        SimulatedMarket(1, step_ms=60_000).candles("BTC/USDT", "1s", 0, 60_000)
    with pytest.raises(ValueError, match="factor"):
        MARKET.shock("BTC/USDT", 5, float("nan"))


def test_longer_steps_make_a_slower_market() -> None:
    market = SimulatedMarket(7, ["BTC/USDT"], step_ms=60_000)
    assert market.candle("BTC/USDT", 3).timeframe == "1m"
    assert market.candle("BTC/USDT", 3).end == 240_000
