"""What an unmodified ccxt asks over REST, and what it makes of the answers."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import aiohttp
import ccxt.async_support
import pytest

from bot.core.market import timeframe_ms
from simulators.exchange.faults import Clear, ClockSkew, Latency, Status
from simulators.exchange.server import ExchangeSimulator


async def test_markets_load_with_the_instruments_of_the_market(simulator: ExchangeSimulator, rest: Any) -> None:
    markets = await rest.load_markets()
    assert list(markets) == ["BTC/USDT", "ETH/USDT", "XRP/USDT"]
    for symbol, instrument in simulator.market.instruments().items():
        market = markets[symbol]
        assert market["spot"]
        assert market["active"]
        assert market["precision"]["price"] == float(instrument.price_step)
        assert market["precision"]["amount"] == float(instrument.amount_step)
        assert market["limits"]["amount"]["min"] == float(instrument.min_amount)
        assert market["limits"]["cost"]["min"] == float(instrument.min_cost)


async def test_the_venue_tells_its_time(simulator: ExchangeSimulator, rest: Any) -> None:
    assert abs(await rest.fetch_time() - time.time() * 1_000) < 500
    simulator.inject(ClockSkew(milliseconds=90_000))
    assert await rest.load_time_difference() == pytest.approx(-90_000, abs=500)


async def test_candles_of_every_timeframe_are_the_markets_own(simulator: ExchangeSimulator, rest: Any) -> None:
    market = simulator.market
    for timeframe in ("1s", "1m", "3m", "5m", "15m", "30m", "1h", "4h", "1d"):
        rows = await rest.fetch_ohlcv("BTC/USDT", timeframe, limit=1_000)
        length, now = timeframe_ms(timeframe), simulator.venue.now()
        assert [row[0] for row in rows] == list(range(rows[0][0], rows[-1][0] + length, length))
        assert now - length - 1_000 < rows[-1][0] <= now  # the unfinished one is among them
        assert rows[0][0] == max(market.genesis // length * length, rows[-1][0] - 999 * length)
        expected = {candle.ts: candle for candle in market.candles("BTC/USDT", timeframe, market.genesis, now)}
        for row in rows[1:-1]:
            candle = expected[row[0]]
            assert row == [candle.ts, candle.open, candle.high, candle.low, candle.close, candle.volume]


async def test_candles_page_from_since_without_gap_or_overlap(simulator: ExchangeSimulator, rest: Any) -> None:
    since, pages = simulator.market.genesis + 5_500, []
    for _ in range(4):
        page = await rest.fetch_ohlcv("ETH/USDT", "1s", since=since, limit=100)
        pages += page
        since = page[-1][0] + 1
    first = simulator.market.genesis + 6_000
    assert [row[0] for row in pages] == list(range(first, first + 400_000, 1_000))


async def test_candles_are_bounded_by_end_time(simulator: ExchangeSimulator, rest: Any) -> None:
    genesis = simulator.market.genesis
    rows = await rest.fetch_ohlcv("ETH/USDT", "1s", limit=7, params={"endTime": genesis + 60_500})
    assert [row[0] for row in rows] == list(range(genesis + 54_000, genesis + 61_000, 1_000))
    assert await rest.fetch_ohlcv("ETH/USDT", "1s", since=simulator.venue.now() + 60_000, limit=7) == []


async def test_tickers_agree_with_the_candles_of_the_day(simulator: ExchangeSimulator, rest: Any) -> None:
    ticker = await rest.fetch_ticker("BTC/USDT")
    rows = await rest.fetch_ohlcv("BTC/USDT", "1s", limit=1_000)
    assert ticker["bid"] < ticker["ask"]
    assert ticker["open"] == rows[0][1]
    assert ticker["high"] >= max(row[2] for row in rows[:-3])
    assert ticker["low"] <= min(row[3] for row in rows[:-3])
    assert ticker["baseVolume"] == pytest.approx(sum(row[5] for row in rows), rel=0.05)
    assert set(await rest.fetch_tickers()) == {"BTC/USDT", "ETH/USDT", "XRP/USDT"}
    assert set(await rest.fetch_tickers(["XRP/USDT", "BTC/USDT"])) == {"BTC/USDT", "XRP/USDT"}


async def test_bids_and_asks_and_last_prices(simulator: ExchangeSimulator, rest: Any) -> None:
    quotes = await rest.fetch_bids_asks(["BTC/USDT", "ETH/USDT"])
    quote = simulator.venue.quote("BTC/USDT")
    assert quotes["BTC/USDT"]["bid"] == pytest.approx(quote.bid, rel=0.01)
    assert quotes["ETH/USDT"]["bid"] < quotes["ETH/USDT"]["ask"]
    prices = await rest.fetch_last_prices(["BTC/USDT"])
    assert prices["BTC/USDT"]["price"] == pytest.approx(quote.mid, rel=0.01)


async def test_the_order_book_is_sorted_and_as_deep_as_asked(rest: Any) -> None:
    book = await rest.fetch_order_book("BTC/USDT", 5)
    assert len(book["bids"]) == len(book["asks"]) == 5
    assert book["bids"] == sorted(book["bids"], reverse=True)
    assert book["bids"][0][0] < book["asks"][0][0]


async def test_trades_newest_from_a_time_and_from_an_id(simulator: ExchangeSimulator, rest: Any) -> None:
    newest = await rest.fetch_trades("BTC/USDT", limit=20)
    assert [int(trade["id"]) for trade in newest] == list(range(int(newest[0]["id"]), int(newest[0]["id"]) + 20))
    assert all(trade["timestamp"] <= simulator.venue.now() for trade in newest)
    assert {trade["side"] for trade in newest} <= {"buy", "sell"}

    since = simulator.market.genesis + 100_000
    expected = [trade for index in range(100, 140) for trade in simulator.market.trades("BTC/USDT", index)][:15]
    found = await rest.fetch_trades("BTC/USDT", since=since, limit=15)
    assert [(t["id"], t["timestamp"], t["price"], t["amount"], t["side"]) for t in found] == [
        (t.id, t.ts, t.price, t.amount, t.side.value) for t in expected
    ]
    again = await rest.fetch_trades("BTC/USDT", limit=3, params={"fromId": 9})
    assert [trade["id"] for trade in again] == ["9", "10", "11"]
    assert await rest.fetch_trades("BTC/USDT", params={"fromId": 10**15}) == []


async def test_the_same_seed_gives_the_same_candles_by_index() -> None:
    async def first_rows(seed: int, history: int) -> list[list[object]]:
        async with (
            ExchangeSimulator(seed=seed, symbols=["BTC/USDT"], history=history) as simulator,
            aiohttp.ClientSession() as session,
        ):
            path = f"/api/v3/klines?symbol=BTCUSDT&interval=1s&limit=100&startTime={simulator.market.genesis}"
            async with session.get(simulator.url + path) as answer:
                rows = await answer.json()
            assert len(rows) == 100
            return [row[1:6] for row in rows]

    assert await first_rows(3, 120) == await first_rows(3, 200)
    assert await first_rows(3, 120) != await first_rows(4, 120)


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("klines?symbol=NOPEUSDT&interval=1m", -1121),
        ("klines?symbol=BTCUSDT&interval=7m", -1120),
        ("klines?interval=1m", -1102),
        ("klines?symbol=BTCUSDT&interval=1m&startTime=-5", -1100),
        ("klines?symbol=BTCUSDT&interval=1m&limit=0", -1130),
        ("depth?symbol=BTCUSDT&limit=x", -1100),
        ("ticker/24hr?symbols=BTCUSDT", -1100),
        ("ticker/24hr?symbols=[]", -1100),
    ],
)
async def test_bad_requests_get_the_venues_error_codes(simulator: ExchangeSimulator, path: str, code: int) -> None:
    async with aiohttp.ClientSession() as session, session.get(f"{simulator.url}/api/v3/{path}") as answer:
        assert answer.status == 400
        assert (await answer.json())["code"] == code


async def test_an_unknown_symbol_is_a_bad_symbol_to_ccxt(simulator: ExchangeSimulator, rest: Any) -> None:
    with pytest.raises(ccxt.async_support.BadSymbol):
        await rest.fetch_ohlcv("DOGE/USDT")
    with pytest.raises(ccxt.async_support.BadSymbol):
        await rest.publicGetDepth({"symbol": "DOGEUSDT"})
    with pytest.raises(ccxt.async_support.BaseError):
        await rest.fetch_balance({"apiKey": "x"})


async def test_weights_are_counted_told_and_enforced() -> None:
    clock = [time.time_ns() // 60_000_000_000 * 60_000 + 30_000]
    async with (
        ExchangeSimulator(symbols=["BTC/USDT"], weight_limit=30, clock=lambda: clock[0]) as simulator,
        aiohttp.ClientSession() as session,
    ):
        url = f"{simulator.url}/api/v3/"

        async def ask(path: str) -> tuple[int, str | None, str | None]:
            async with session.get(url + path) as answer:
                return answer.status, answer.headers["X-MBX-USED-WEIGHT-1M"], answer.headers.get("Retry-After")

        assert await ask("exchangeInfo") == (200, "20", None)
        assert await ask("depth?symbol=BTCUSDT") == (200, "25", None)
        assert await ask("exchangeInfo") == (429, "25", "30")
        assert await ask("time") == (200, "26", None)
        statuses = [(await ask("exchangeInfo"))[0] for _ in range(21)]
        assert statuses[0] == 429
        assert statuses[-1] == 418
        assert (await ask("time"))[0] == 418
        clock[0] += 180_000
        assert (await ask("time"))[:2] == (200, "1")


async def test_a_status_fault_hits_the_next_requests_of_its_path_only(simulator: ExchangeSimulator, rest: Any) -> None:
    await rest.load_markets()
    simulator.inject(Status(503, "/api/v3/klines", count=2))
    simulator.inject(Status(429, "/api/v3/depth", retry_after=3))
    await rest.fetch_time()
    for _ in range(2):
        with pytest.raises(ccxt.async_support.ExchangeNotAvailable):
            await rest.fetch_ohlcv("BTC/USDT", "1s")
    assert await rest.fetch_ohlcv("BTC/USDT", "1s")
    with pytest.raises(ccxt.async_support.DDoSProtection):
        await rest.fetch_order_book("BTC/USDT")
    assert await rest.fetch_order_book("BTC/USDT")
    assert simulator.counts()["faults"]["refused"] == 3


async def test_latency_delays_answers_until_it_is_cleared(simulator: ExchangeSimulator, rest: Any) -> None:
    await rest.load_markets()
    simulator.inject(Latency(60.0, "/api/v3/klines"))
    await asyncio.wait_for(rest.fetch_time(), 20)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(rest.fetch_ohlcv("BTC/USDT", "1s"), 0.3)
    simulator.inject(Clear())
    assert await asyncio.wait_for(rest.fetch_ohlcv("BTC/USDT", "1s"), 20)


async def test_faults_and_hits_over_the_admin_route(simulator: ExchangeSimulator, rest: Any) -> None:
    await rest.load_markets()
    url = simulator.url + "/admin/"
    async with aiohttp.ClientSession() as session:

        async def post(body: object) -> tuple[int, Any]:
            async with session.post(url + "faults", json=body) as answer:
                return answer.status, await answer.json()

        status, body = await post({"fault": "status", "code": 503, "path": "/api/v3/time", "count": 1})
        assert status == 200
        assert "503" in body["active"][0]
        with pytest.raises(ccxt.async_support.ExchangeNotAvailable):
            await rest.fetch_time()
        assert (await post({"fault": "stall", "seconds": 5}))[1]["active"] == ["Stall()"]
        assert (await post({"fault": "clear"}))[1]["active"] == []
        wrong: list[object] = [
            {"fault": "nonsense"},
            {"fault": "shock", "symbol": "BTC/USDT", "factor": -1},
            {"fault": "shock", "symbol": "NOPE/USDT", "factor": 2},
            {"fault": "burst", "symbol": "BTC/USDT", "trades": 0},
            {"fault": "stall", "seconds": "soon"},
            [],
        ]
        for bad in wrong:
            status, body = await post(bad)
            assert status == 400
            assert body["error"]
        async with session.get(url + "hits") as answer:
            hits = await answer.json()
        assert hits["rest"] == {"/api/v3/exchangeInfo": 1, "/api/v3/time": 1}
        async with session.get(url + "faults") as answer:
            assert (await answer.json())["counts"] == {"refused": 1}


async def test_a_taken_port_is_an_error_and_leaves_nothing_behind(simulator: ExchangeSimulator) -> None:
    with pytest.raises(OSError, match="in use"):
        async with ExchangeSimulator(symbols=["BTC/USDT"], port=int(simulator.url.rsplit(":", 1)[1])):
            pass
