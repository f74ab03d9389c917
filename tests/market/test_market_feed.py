"""The live feed against an exchange that misbehaves: nothing is lost, nothing absurd passes, no candle is missing or repeated."""

from __future__ import annotations

import asyncio
import itertools
import time

import pytest

from bot.core.market import Health
from bot.market.ccxt_feed import CcxtFeed
from bot.market.ccxt_venue import UnknownSymbol, VenueConfig, VenueUnreachable
from simulators.exchange.answer_faults import Garbled
from simulators.exchange.faults import Absurd, Burst, Clear, Disconnect, Ending, Gap, Poison, Stall, Status
from simulators.exchange.server import ExchangeSimulator
from tests.idling import idle_seconds
from tests.market.feed_rig import SYMBOLS, Listener, feed_of, quick, running, to
from tests.servers import free_port


def steps(series: list[int]) -> set[int]:
    return {later - earlier for earlier, later in itertools.pairwise(series)}


def gapless(listener: Listener, warm: list[int], timeframe: str = "1s", symbol: str = "BTC/USDT") -> bool:
    return steps(warm + listener.series(symbol, timeframe)) == {1000}


async def test_live_candles_follow_the_warm_up_and_agree_with_the_venue(simulator: ExchangeSimulator, listener: Listener) -> None:
    """The venue has no 2s candles: those are joined from its 1s ones."""
    feed = feed_of(to(simulator), quick(timeframes=("1s", "2s"), confirm_after=1.5), listener)
    async with running(feed) as warm:
        await listener.until(lambda: len(listener.series("BTC/USDT", "2s")) >= 1 and len(listener.series("ETH/USDT", "1s")) >= 2)
        live = [candle for candle in listener.candles if (candle.symbol, candle.timeframe) == ("ETH/USDT", "1s")][:2]
        rows = await feed.venue.exchange.fetch_ohlcv("ETH/USDT", "1s", live[0].ts, 2)
    assert [[candle.ts, candle.open, candle.high, candle.low, candle.close, candle.volume] for candle in live] == rows
    assert [candle.end for candle in warm] == sorted(candle.end for candle in warm)
    for symbol in SYMBOLS:
        for timeframe, length in (("1s", 1000), ("2s", 2000)):
            seen = [candle.ts for candle in warm if (candle.symbol, candle.timeframe) == (symbol, timeframe)]
            assert len(seen) == 5
            assert steps(seen + listener.series(symbol, timeframe)) == {length}
    assert all(candle.fault() is None and candle.at >= candle.end for candle in listener.candles)
    assert feed.statistics.clock is not None
    assert abs(feed.statistics.clock.offset) < 200
    assert [told.health for told in listener.health] == [Health.FRESH] * len(SYMBOLS)


async def test_a_burst_of_5000_trades_arrives_as_5000_while_the_consumer_is_busy(
    simulator: ExchangeSimulator, listener: Listener
) -> None:
    feed = feed_of(to(simulator), quick(), listener)
    async with running(feed):
        await listener.until(lambda: len(listener.trades) >= 1)
        simulator.inject(Burst("BTC/USDT", 5_000))
        for _ in range(30):
            time.sleep(0.05)  # the consumer holds the loop, as a slow handler would
            await asyncio.sleep(0)
        await listener.until(lambda: len(listener.trades) > 5_000)
        bitcoin = [int(trade.id) for trade in listener.trades if trade.symbol == "BTC/USDT"]
    assert len(bitcoin) > 5_000
    assert bitcoin == list(range(bitcoin[0], bitcoin[0] + len(bitcoin)))
    assert feed.statistics.duplicates == 0


async def test_poison_frames_do_not_end_the_stream(simulator: ExchangeSimulator, listener: Listener) -> None:
    feed = feed_of(to(simulator), quick(), listener)
    async with running(feed) as warm:
        await listener.until(lambda: bool(listener.trades and listener.quotes and listener.candles))
        simulator.inject(Poison())
        await listener.until(lambda: feed.statistics.poison >= 3)
        quotes, trades, candles = len(listener.quotes), len(listener.trades), len(listener.candles)
        await listener.until(
            lambda: len(listener.quotes) > quotes and len(listener.trades) > trades and len(listener.candles) > candles
        )
        assert feed.statistics.reconnects == 0
    assert gapless(listener, [candle.ts for candle in warm if candle.symbol == "BTC/USDT"])


@pytest.mark.parametrize("how", list(Ending))
async def test_after_a_disconnect_no_candle_is_missing_and_none_is_repeated(
    simulator: ExchangeSimulator, listener: Listener, how: Ending
) -> None:
    feed = feed_of(to(simulator), quick(backoff_first=2.5, backoff_cap=2.5), listener)
    async with running(feed) as warm:
        await listener.until(lambda: len(listener.series("BTC/USDT", "1s")) >= 1)
        simulator.inject(Disconnect(how))
        await listener.until(lambda: feed.statistics.reconnects >= 3)
        trades = len(listener.trades)
        await listener.until(lambda: len(listener.trades) > trades)
    assert gapless(listener, [candle.ts for candle in warm if candle.symbol == "BTC/USDT"])
    assert feed.statistics.backfilled > len(warm)


async def test_a_stalled_stream_is_noticed_reconnected_and_backfilled(simulator: ExchangeSimulator, listener: Listener) -> None:
    feed = feed_of(to(simulator), quick(), listener)
    async with running(feed) as warm:
        await listener.until(lambda: len(listener.series("BTC/USDT", "1s")) >= 1)
        simulator.inject(Stall(seconds=4))
        await listener.until(lambda: feed.statistics.stalls >= 2 and feed.statistics.reconnects >= 2)
        assert Health.STALE in {told.health for told in listener.health}
        simulator.inject(Clear())
        trades = len(listener.trades)
        await listener.until(lambda: len(listener.trades) > trades)
        await listener.until(
            lambda: {told.symbol: told.health for told in listener.health} == dict.fromkeys(SYMBOLS, Health.FRESH)
        )
        count = len(listener.series("BTC/USDT", "1s"))
        await listener.until(lambda: len(listener.series("BTC/USDT", "1s")) > count)
    assert gapless(listener, [candle.ts for candle in warm if candle.symbol == "BTC/USDT"])


async def test_lost_candle_frames_are_fetched_by_rest(simulator: ExchangeSimulator, listener: Listener) -> None:
    feed = feed_of(to(simulator), quick(), listener)
    async with running(feed) as warm:
        await listener.until(lambda: len(listener.series("BTC/USDT", "1s")) >= 1)
        backfilled = feed.statistics.backfilled
        simulator.inject(Gap(streams="btcusdt@kline_1s", count=1))
        count = len(listener.series("BTC/USDT", "1s"))
        await listener.until(lambda: len(listener.series("BTC/USDT", "1s")) >= count + 2)
    assert feed.statistics.backfilled > backfilled
    assert gapless(listener, [candle.ts for candle in warm if candle.symbol == "BTC/USDT"])


async def test_a_gap_that_rest_cannot_fill_at_once_is_told_and_then_over(
    simulator: ExchangeSimulator, listener: Listener
) -> None:
    feed = feed_of(to(simulator), quick(confirm_after=10.0), listener)  # nothing but the gap asks REST for candles
    async with running(feed) as warm:
        await listener.until(lambda: len(listener.series("BTC/USDT", "1s")) >= 1)
        simulator.inject(Status(code=503, path="/api/v3/klines", count=3))
        simulator.inject(Gap(streams="btcusdt@kline_1s", count=1))
        await listener.until(lambda: Health.GAP in {told.health for told in listener.health})
        await listener.until(lambda: listener.health[-1].health is Health.FRESH)
        count = len(listener.series("BTC/USDT", "1s"))
        await listener.until(lambda: len(listener.series("BTC/USDT", "1s")) > count)
    assert feed.statistics.backfill_failures == 3
    assert {told.symbol for told in listener.health if told.health is Health.GAP} == {"BTC/USDT"}
    assert gapless(listener, [candle.ts for candle in warm if candle.symbol == "BTC/USDT"])


async def test_an_absurd_price_reaches_nobody(simulator: ExchangeSimulator, listener: Listener) -> None:
    feed = feed_of(to(simulator), quick(), listener)
    async with running(feed) as warm:
        await listener.until(lambda: bool(listener.trades and listener.quotes and listener.candles))
        for stream in ("btcusdt@bookTicker", "btcusdt@trade", "btcusdt@kline_1s"):
            for text in (None, "NaN", "Infinity", "-1"):
                simulator.inject(Absurd(streams=stream, text=text, count=1))
        quotes, candles = len(listener.quotes), len(listener.series("BTC/USDT", "1s"))
        await listener.until(lambda: len(listener.quotes) > quotes + 5 and len(listener.series("BTC/USDT", "1s")) > candles + 1)
        await listener.until(lambda: sum(feed.statistics.refused.values()) + feed.statistics.poison >= 8)
    prices = [quote.ask for quote in listener.quotes if quote.symbol == "BTC/USDT"]
    prices += [trade.price for trade in listener.trades if trade.symbol == "BTC/USDT"]
    prices += [candle.high for candle in listener.candles if candle.symbol == "BTC/USDT"]
    assert 0 < min(prices) <= max(prices) < 2 * min(prices)
    assert gapless(listener, [candle.ts for candle in warm if candle.symbol == "BTC/USDT"])


async def test_without_any_candles_of_the_venue_they_are_built_from_trades(
    simulator: ExchangeSimulator, listener: Listener
) -> None:
    venue = to(simulator, has={"fetchOHLCV": False, "watchOHLCV": False, "watchOHLCVForSymbols": False})
    feed = feed_of(venue, quick(timeframes=("1s",)), listener)
    async with running(feed) as warm:
        await listener.until(lambda: len(listener.series("BTC/USDT", "1s")) >= 1)
        first = listener.series("BTC/USDT", "1s")[0]
        trades = [trade for trade in listener.trades if trade.symbol == "BTC/USDT" and first <= trade.ts < first + 1000]
        built = next(candle for candle in listener.candles if candle.symbol == "BTC/USDT")
    assert warm == []
    assert built.volume == pytest.approx(sum(trade.amount for trade in trades))


async def test_a_venue_without_websockets_is_polled(simulator: ExchangeSimulator, listener: Listener) -> None:
    methods = ("watchBidsAsks", "watchTicker", "watchTickers", "watchTrades", "watchTradesForSymbols", "watchOHLCV")
    venue = to(simulator, has=dict.fromkeys((*methods, "watchOHLCVForSymbols"), False))
    feed = feed_of(venue, quick(), listener)
    async with running(feed) as warm:
        await listener.until(
            lambda: (
                {quote.symbol for quote in listener.quotes} == set(SYMBOLS)
                and len(listener.trades) >= 3
                and len(listener.series("BTC/USDT", "1s")) >= 2
            )
        )
    assert gapless(listener, [candle.ts for candle in warm if candle.symbol == "BTC/USDT"])
    ids = [trade.id for trade in listener.trades if trade.symbol == "BTC/USDT"]
    assert len(ids) == len(set(ids))
    assert simulator.counts()["ws"].get("connections", 0) == 0


async def test_a_venue_that_never_says_closed_is_followed(
    simulator: ExchangeSimulator, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bot.market import ccxt_candles

    monkeypatch.setattr(ccxt_candles.CandleDesk, "on_kline", lambda *_: None)
    feed = feed_of(to(simulator), quick(), listener)
    async with running(feed) as warm:
        await listener.until(lambda: len(listener.series("BTC/USDT", "1s")) >= 2)
        simulator.inject(Disconnect(Ending.ABORT))
        count = len(listener.series("BTC/USDT", "1s"))
        await listener.until(lambda: len(listener.series("BTC/USDT", "1s")) >= count + 2)
    assert gapless(listener, [candle.ts for candle in warm if candle.symbol == "BTC/USDT"])


async def test_an_unknown_symbol_is_named_with_near_matches(simulator: ExchangeSimulator, listener: Listener) -> None:
    feed = feed_of(to(simulator), quick(symbols=("BTC/USDT", "ETHH/USDT")), listener)
    with pytest.raises(UnknownSymbol, match=r"'ETHH/USDT' is not a spot symbol of binance: did you mean ETH/USDT"):
        await feed.start()


async def test_an_unreachable_venue_is_said_within_bounded_time(listener: Listener) -> None:
    urls = {"api": {"public": f"http://127.0.0.1:{free_port()}/api/v3"}}
    feed = CcxtFeed(VenueConfig("binance", {"urls": urls}, reach_timeout=30), quick(), listener.sink())

    async def start() -> None:
        with pytest.raises(VenueUnreachable, match=r"binance cannot be reached .*use --demo"):
            await feed.start()

    assert await idle_seconds(start) < 5


async def test_a_venue_that_answers_nothing_is_given_up_within_bounded_time(listener: Listener) -> None:
    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(swallow, "127.0.0.1", 0)
    urls = {"api": {"public": f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/api/v3"}}
    feed = CcxtFeed(VenueConfig("binance", {"urls": urls}, reach_timeout=0.5), quick(), listener.sink())
    try:
        with pytest.raises(VenueUnreachable, match=r"binance did not answer within 0.5 s"):
            await feed.start()
    finally:
        server.close()
        await server.wait_closed()


async def test_candles_that_do_not_come_at_start_make_the_venue_unreachable(
    simulator: ExchangeSimulator, listener: Listener
) -> None:
    simulator.inject(Status(code=503, path="/api/v3/klines", count=1000))
    feed = feed_of(to(simulator), quick(), listener)
    with pytest.raises(VenueUnreachable, match="binance did not deliver its candles"):
        await feed.start()


@pytest.mark.parametrize("fault", [Status(429, "/api/v3/klines", retry_after=1), Garbled(path="/api/v3/klines")])
async def test_a_lost_answer_at_start_costs_no_candle(
    simulator: ExchangeSimulator, listener: Listener, fault: Status | Garbled
) -> None:
    simulator.inject(fault)
    feed = feed_of(to(simulator), quick(warmup=10), listener)
    try:
        warm = await feed.start()
        assert feed.statistics.backfill_failures == 1
        assert len([candle for candle in warm if (candle.symbol, candle.timeframe) == ("BTC/USDT", "1s")]) == 10
    finally:
        await feed.close()


async def test_one_symbol_cut_off_from_a_living_stream_is_noticed(simulator: ExchangeSimulator, listener: Listener) -> None:
    feed = feed_of(to(simulator), quick(stale_after=3.0, poll_interval=0.2), listener)
    async with running(feed):
        await listener.until(lambda: {quote.symbol for quote in listener.quotes} == set(SYMBOLS))
        simulator.inject(Gap(streams="btcusdt@bookTicker"))
        count = len(listener.quotes)
        await listener.until(lambda: feed.statistics.stalls >= 1)
        assert "BTC/USDT" in {quote.symbol for quote in listener.quotes[count:]}, "REST stands in meanwhile"
    assert "ETH/USDT" not in {told.symbol for told in listener.health if told.health is Health.STALE}


async def test_before_start_there_is_no_venue(listener: Listener) -> None:
    feed = CcxtFeed(VenueConfig("binance"), quick(), listener.sink())
    with pytest.raises(RuntimeError, match="not started"):
        _ = feed.venue
    await feed.close()
