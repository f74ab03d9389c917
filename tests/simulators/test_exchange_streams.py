"""What an unmodified ccxt.pro watches, and what a plain websocket client sees underneath."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import aiohttp
import ccxt.pro
import pytest

from bot.market.simulated import SimulatedMarket
from simulators.exchange.faults import Absurd, Burst, Disconnect, Ending, Gap, Poison, Shock, Stall
from simulators.exchange.server import ExchangeSimulator

PATIENCE = 20.0
Event = dict[str, Any]


class Listener:
    """A plain websocket client."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket

    async def next(self) -> Any:
        return await self.socket.receive_json(timeout=PATIENCE)

    async def ask(self, method: str, *params: str) -> Any:
        """Send a request and wait for its answer; events on the way are left out."""
        await self.socket.send_json({"method": method, "params": list(params), "id": method})
        while True:
            answer = await self.next()
            if isinstance(answer, dict) and "id" in answer:
                return answer

    async def until(self, count: int, kind: str) -> list[Event]:
        """Every event until `count` of a kind have come."""
        found: list[Event] = []
        while sum(event.get("e") == kind for event in found) < count:
            found.append(await self.next())
        return found


@asynccontextmanager
async def listening(simulator: ExchangeSimulator, *streams: str, path: str = "/stream/ws/0") -> AsyncIterator[Listener]:
    async with aiohttp.ClientSession() as session, session.ws_connect(simulator.ws_url + path) as socket:
        listener = Listener(socket)
        if streams:
            assert (await listener.ask("SUBSCRIBE", *streams))["result"] is None
        yield listener


@dataclass
class MeasuredStall:
    """For how long this loop, which is the simulator's too, was held up at most."""

    longest_ms: float = 0.0

    async def run(self) -> None:
        while True:
            begun = time.monotonic()
            await asyncio.sleep(0.01)
            self.longest_ms = max(self.longest_ms, (time.monotonic() - begun - 0.01) * 1_000)


@asynccontextmanager
async def measured_stall() -> AsyncIterator[MeasuredStall]:
    stall = MeasuredStall()
    measuring = asyncio.create_task(stall.run())
    try:
        yield stall
    finally:
        measuring.cancel()
        await asyncio.wait([measuring])


async def watched(awaitable: Any) -> Any:
    return await asyncio.wait_for(awaitable, PATIENCE)


async def read_on(listener: Listener, silence: float) -> None:
    """Read until nothing has come for `silence` seconds, which raises `TimeoutError`."""
    while True:
        await listener.socket.receive_json(timeout=silence)


async def watch_on(watch: Callable[[], Any], silence: float = PATIENCE) -> None:
    """Watch until that raises, or until nothing has come for `silence` seconds, which raises `TimeoutError`."""
    while True:
        await asyncio.wait_for(watch(), silence)


def event_time(market: SimulatedMarket, book_ticker: Event) -> int:
    return market.time_of((int(book_ticker["u"]) - 1) // market.slots)


def gapless(diffs: list[Event]) -> bool:
    return bool(diffs) and all(later["U"] == earlier["u"] + 1 for earlier, later in pairwise(diffs))


async def test_ccxt_pro_watches_every_kind_of_stream_at_once(simulator: ExchangeSimulator, pro: Any) -> None:
    await pro.load_markets()
    trades, seconds, minutes, mini, ticker, quotes, tickers = await asyncio.gather(
        watched(pro.watch_trades("BTC/USDT")),
        watched(pro.watch_ohlcv("BTC/USDT", "1s")),
        watched(pro.watch_ohlcv("ETH/USDT", "1m")),
        watched(pro.watch_ticker("BTC/USDT")),
        watched(pro.watch_ticker("ETH/USDT", {"name": "ticker"})),
        watched(pro.watch_bids_asks(["BTC/USDT", "XRP/USDT"])),
        watched(pro.watch_tickers()),
    )
    market = simulator.market
    trade = trades[-1]
    ours = {t.id: t for t in market.trades("BTC/USDT", market.index_at(trade["timestamp"]))}[trade["id"]]
    assert (trade["price"], trade["amount"], trade["side"]) == (ours.price, ours.amount, ours.side.value)
    assert seconds[-1][0] % 1_000 == 0
    assert minutes[-1][0] % 60_000 == 0
    assert mini["last"] > 0
    assert ticker["bid"] < ticker["ask"]
    assert all(quote["bid"] < quote["ask"] for quote in quotes.values())
    assert set(tickers) == {"BTC/USDT", "ETH/USDT", "XRP/USDT"}


async def test_the_order_book_of_ccxt_follows_the_diffs_exactly(simulator: ExchangeSimulator, pro: Any) -> None:
    market = simulator.market
    for _ in range(12):
        book = await watched(pro.watch_order_book("BTC/USDT"))
        index, slot = divmod(book["nonce"] - 1, market.slots)
        ours = market.book("BTC/USDT", index, slot)
        assert [tuple(level[:2]) for level in book["bids"]] == list(ours.bids)
        assert [tuple(level[:2]) for level in book["asks"]] == list(ours.asks)


async def test_what_is_streamed_is_the_market_to_the_last_event(simulator: ExchangeSimulator) -> None:
    names = ("btcusdt@trade", "btcusdt@aggTrade", "btcusdt@kline_1s", "btcusdt@bookTicker", "btcusdt@depth@100ms")
    async with listening(simulator, *names) as listener:
        events = await listener.until(5, "kline")
    market, by_kind = simulator.market, defaultdict(list)
    for event in events:
        by_kind[event.get("e", "bookTicker")].append(event)
    closed = [event["k"] for event in by_kind["kline"] if event["k"]["x"]]
    assert len(closed) >= 2
    for one in closed:
        candle = market.candle("BTC/USDT", market.index_at(one["t"]))
        assert [float(one[key]) for key in "ohlcv"] == [candle.open, candle.high, candle.low, candle.close, candle.volume]
    assert [one["t"] for one in closed] == list(range(closed[0]["t"], closed[0]["t"] + 1_000 * len(closed), 1_000))
    inner = range(market.index_at(closed[1]["t"]), market.index_at(closed[-1]["t"]) + 1)
    expected = [int(trade.id) for index in inner for trade in market.trades("BTC/USDT", index)]
    window = (market.time_of(inner[0]), market.time_of(inner[-1] + 1))
    assert [event["t"] for event in by_kind["trade"] if window[0] <= event["T"] < window[1]] == expected
    assert [event["a"] for event in by_kind["aggTrade"] if window[0] <= event["T"] < window[1]] == expected
    sequences = [event["u"] for event in by_kind["bookTicker"]]
    assert sequences == list(range(sequences[0], sequences[0] + len(sequences)))
    assert gapless(by_kind["depthUpdate"])


async def test_events_come_at_their_own_time(simulator: ExchangeSimulator) -> None:
    async with measured_stall() as stall, listening(simulator, "btcusdt@trade", "ethusdt@trade", "xrpusdt@trade") as listener:
        events = await listener.until(6, "trade")
    assert all(0 <= event["E"] - event["T"] < 250 + stall.longest_ms for event in events)


async def test_a_closed_minute_is_told_once_and_equals_the_market() -> None:
    # The clock stands shortly before a minute's end until somebody listens, so that the test need not wait for one.
    begun_ns, minute = list[int](), 1_700_000_040_000
    clock = lambda: minute + 58_700 + ((time.monotonic_ns() - begun_ns[0]) // 1_000_000 if begun_ns else 0)  # noqa: E731
    async with (
        ExchangeSimulator(symbols=["BTC/USDT"], clock=clock) as simulator,
        listening(simulator, "btcusdt@kline_1m", "btcusdt@kline_3m", "btcusdt@depth") as listener,
    ):
        begun_ns.append(time.monotonic_ns())
        events = await listener.until(6, "kline")
        bars = [event["k"] for event in events if event["e"] == "kline"]
        closed = [bar for bar in bars if bar["x"]]
        assert [(bar["i"], bar["t"]) for bar in closed] == [
            ("1m", minute),
            *([("3m", minute - 120_000)] if minute % 180_000 == 120_000 else []),
        ]
        candle = simulator.market.candles("BTC/USDT", "1m", minute, minute + 60_000)[0]
        assert [float(closed[0][key]) for key in "ohlcv"] == [candle.open, candle.high, candle.low, candle.close, candle.volume]
        begun = [bar for bar in bars if bar["i"] == "1m" and bar["t"] == minute + 60_000]
        assert begun
        assert gapless([event for event in events if event["e"] == "depthUpdate"])


async def test_subscriptions_can_be_listed_and_ended(simulator: ExchangeSimulator) -> None:
    async with listening(simulator, "btcusdt@bookTicker", "ethusdt@trade") as listener:
        assert (await listener.ask("LIST_SUBSCRIPTIONS"))["result"] == ["btcusdt@bookTicker", "ethusdt@trade"]
        assert (await listener.ask("UNSUBSCRIBE", "btcusdt@bookTicker"))["result"] is None
        assert (await listener.ask("LIST_SUBSCRIPTIONS"))["result"] == ["ethusdt@trade"]
        assert not simulator.hub.listens("btcusdt@bookTicker")
    async with asyncio.timeout(PATIENCE):
        while simulator.hub.listens("ethusdt@trade"):
            await asyncio.sleep(0.01)


async def test_bad_requests_are_refused_and_the_socket_lives_on(simulator: ExchangeSimulator) -> None:
    async with listening(simulator) as listener:
        for name in ("nopeusdt@trade", "BTCUSDT@trade", "btcusdt@kline_7m", "btcusdt@nonsense", "btcusdt@depth7"):
            assert (await listener.ask("SUBSCRIBE", "ethusdt@trade", name))["error"]["code"] == 2
        assert (await listener.ask("JUMP"))["error"]["code"] == 2
        for text in (
            "{bad",
            "[]",
            '{"method":"SUBSCRIBE","params":"x","id":"1"}',
            '{"method":"SUBSCRIBE","params":[1],"id":"1"}',
        ):
            await listener.socket.send_str(text)
            assert (await listener.next())["error"]
        assert (await listener.ask("LIST_SUBSCRIPTIONS"))["result"] == []


async def test_streams_per_connection_are_bounded(simulator: ExchangeSimulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simulators.exchange.hub._MAX_STREAMS", 2)
    async with listening(simulator, "btcusdt@trade", "ethusdt@trade") as listener:
        assert "more than 2" in (await listener.ask("SUBSCRIBE", "xrpusdt@trade"))["error"]["msg"]
        assert (await listener.ask("SUBSCRIBE", "btcusdt@trade"))["result"] is None


async def test_a_url_that_names_no_stream_is_closed(simulator: ExchangeSimulator) -> None:
    async with listening(simulator, path="/stream?streams=nope@trade") as listener:
        assert (await listener.socket.receive(timeout=PATIENCE)).type is aiohttp.WSMsgType.CLOSE


async def test_after_a_long_pause_of_the_process_the_stream_goes_on_from_now() -> None:
    pause = [0]
    async with (
        ExchangeSimulator(symbols=["BTC/USDT"], clock=lambda: time.time_ns() // 1_000_000 + pause[0]) as simulator,
        listening(simulator, "btcusdt@bookTicker", "btcusdt@kline_1m") as listener,
    ):
        while "u" not in (event := await listener.next()):
            pass
        sequence = event["u"]
        pause[0] = 100_000
        async with asyncio.timeout(PATIENCE):
            while event.get("u", 0) < sequence + 400:
                event = await listener.next()
        bar = (await listener.until(1, "kline"))[-1]["k"]
        assert simulator.counts()["pump"]["skipped_steps"] >= 99
        market = simulator.market
        seconds = market.bars("BTC/USDT", 1_000, market.index_at(bar["t"]), market.index_at(event_time(market, event)) + 1)
    assert float(bar["o"]) == seconds[0].open
    assert all(float(bar["h"]) >= second.high for second in seconds[:-1])


async def test_combined_streams_are_wrapped_with_their_names(simulator: ExchangeSimulator) -> None:
    names = "btcusdt@bookTicker/ethusdt@depth5/!bookTicker"
    async with listening(simulator, path=f"/stream?streams={names}") as listener:
        seen: dict[str, Any] = {}
        while len(seen) < 3:
            event = await listener.next()
            seen[event["stream"]] = event["data"]
    assert len(seen["ethusdt@depth5"]["bids"]) == 5
    assert seen["btcusdt@bookTicker"]["s"] == "BTCUSDT"


async def test_a_burst_arrives_whole_with_consecutive_ids(simulator: ExchangeSimulator) -> None:
    async with listening(simulator, "btcusdt@trade") as listener:
        simulator.inject(Burst("BTC/USDT", 5_000))
        events = await listener.until(5_000, "trade")
        events += await listener.until(3, "trade")
    ids = [event["t"] for event in events]
    assert ids == list(range(ids[0], ids[0] + len(ids)))
    at_once = max((event["T"] for event in events), key=[event["T"] for event in events].count)
    assert sum(event["T"] == at_once for event in events) >= 5_000


async def test_a_stall_keeps_the_socket_open_and_silent(simulator: ExchangeSimulator) -> None:
    async with listening(simulator, "btcusdt@bookTicker") as listener:
        await listener.next()
        simulator.inject(Stall(seconds=3.0))
        with pytest.raises(TimeoutError):
            await read_on(listener, silence=0.7)
        assert not listener.socket.closed
        assert (await listener.next())["s"] == "BTCUSDT"
    assert simulator.counts()["faults"]["stalled"] > 0


async def test_a_gap_loses_exactly_the_closed_candles_it_was_told_to(simulator: ExchangeSimulator) -> None:
    closed: dict[str, list[int]] = {"BTCUSDT": [], "ETHUSDT": []}
    async with listening(simulator, "btcusdt@kline_1s", "ethusdt@kline_1s") as listener:
        simulator.inject(Gap("btcusdt@kline_*", count=2))
        while len(closed["ETHUSDT"]) < 3:  # in every second BTC's candle comes before ETH's
            bar = (await listener.next())["k"]
            if bar["x"]:
                closed[bar["s"]].append(bar["t"])
    missing = [ts for ts in closed["ETHUSDT"] if ts not in closed["BTCUSDT"]]
    assert missing == [missing[0], missing[0] + 1_000]


async def test_a_gap_in_the_depth_is_noticed_by_ccxt(simulator: ExchangeSimulator, pro: Any) -> None:
    for _ in range(3):
        await watched(pro.watch_order_book("BTC/USDT"))
    simulator.inject(Gap("btcusdt@depth*", count=1))
    with pytest.raises(ccxt.pro.ChecksumError):
        await watch_on(lambda: pro.watch_order_book("BTC/USDT"))
    assert (await watched(pro.watch_order_book("BTC/USDT")))["bids"]


async def test_poison_reaches_those_who_listen_as_it_is(simulator: ExchangeSimulator) -> None:
    poison = Poison(frames=("{bad", "[]", '{"e":"trade","p":null}'), streams="btcusdt@*")
    async with listening(simulator, "btcusdt@kline_1d") as victim, listening(simulator, "ethusdt@kline_1d") as other:
        await victim.next()
        simulator.inject(poison)
        assert tuple([(await victim.socket.receive_str(timeout=PATIENCE)) for _ in poison.frames]) == poison.frames
        assert (await other.next())["e"] == "kline"


async def test_poison_kills_a_plain_ccxt_stream_in_silence(simulator: ExchangeSimulator, pro: Any) -> None:
    """Why the bot guards ccxt: after one bad frame nothing comes any more, and nobody is told."""
    await watched(pro.watch_bids_asks(["BTC/USDT"]))
    simulator.inject(Poison(frames=("[]",)))
    with pytest.raises(TimeoutError):
        await watch_on(lambda: pro.watch_bids_asks(["BTC/USDT"]), silence=0.7)


@pytest.mark.parametrize("how", list(Ending))
async def test_after_a_disconnect_ccxt_can_watch_again(simulator: ExchangeSimulator, pro: Any, how: Ending) -> None:
    await watched(pro.watch_bids_asks(["BTC/USDT"]))
    simulator.inject(Disconnect(how))
    with pytest.raises(ccxt.pro.NetworkError):
        await watch_on(lambda: pro.watch_bids_asks(["BTC/USDT"]))
    assert (await watched(pro.watch_bids_asks(["BTC/USDT"])))["BTC/USDT"]["bid"]
    assert simulator.counts()["ws"]["disconnected"] == 1


async def test_absurd_prices_replace_those_of_the_next_events_only(simulator: ExchangeSimulator) -> None:
    async with listening(simulator, "btcusdt@bookTicker") as listener:
        sane = float((await listener.next())["b"])
        simulator.inject(Absurd(factor=100.0))
        simulator.inject(Absurd(text="NaN"))
        bids = [(await listener.next())["b"]]
        while float(bids[0]) < 50 * sane:  # sent before
            bids = [(await listener.next())["b"]]
        bids += [(await listener.next())["b"] for _ in range(3)]
    assert float(bids[0]) == pytest.approx(100 * sane, rel=0.02)
    assert bids[1] == "NaN"
    assert [float(bid) for bid in bids[2:]] == [pytest.approx(sane, rel=0.02)] * 2
    async with listening(simulator, "btcusdt@kline_1s") as listener:
        simulator.inject(Absurd("btcusdt@kline_1s", text="0"))
        bar = (await listener.next())["k"]
        while bar["o"] != "0":  # sent before
            bar = (await listener.next())["k"]
    assert [bar[key] for key in "ohlc"] == ["0"] * 4
    assert bar["v"] != "0"


async def test_a_shock_moves_the_market_itself(simulator: ExchangeSimulator, rest: Any) -> None:
    before = simulator.venue.quote("BTC/USDT").mid
    async with listening(simulator, "btcusdt@bookTicker") as listener:
        simulator.inject(Shock("BTC/USDT", 0.7))
        async with asyncio.timeout(PATIENCE):
            while float((await listener.next())["b"]) > 0.8 * before:
                pass
    assert (await rest.fetch_bids_asks(["BTC/USDT"]))["BTC/USDT"]["ask"] == pytest.approx(0.7 * before, rel=0.02)


async def test_a_client_that_does_not_read_is_cut_off_and_counted(
    simulator: ExchangeSimulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("simulators.exchange.hub._MAX_BACKLOG", 100_000)
    host, port = simulator.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=1_024)
    lines = (
        "GET /stream?streams=btcusdt@trade HTTP/1.1",
        "Host: x",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
        "Sec-WebSocket-Version: 13",
    )
    writer.write("".join(line + "\r\n" for line in (*lines, "")).encode())
    await reader.readuntil(b"\r\n\r\n")
    simulator.inject(Burst("BTC/USDT", 100_000))
    async with asyncio.timeout(15):
        while not simulator.counts()["ws"].get("cut_off"):
            await asyncio.sleep(0.05)
    assert simulator.counts()["ws"]["cut_off"] == 1
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
