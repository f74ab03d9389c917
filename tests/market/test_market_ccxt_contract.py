"""What the guard overrides inside ccxt is still there and still called as it was: it is not ccxt's public face."""

from __future__ import annotations

import inspect
from typing import Any

import ccxt.pro
import pytest
from ccxt.async_support.base.ws.client import Client

from bot.market.ccxt_guard import attach, guarded

WELL_KNOWN = ("binance", "okx", "bybit", "kraken", "kucoin", "gate", "coinbase", "bitget")


class Witness:
    def __init__(self) -> None:
        self.heard: list[tuple[Any, ...]] = []

    def on_client(self, client: Any) -> None:
        self.heard.append(("client", client.url))

    def on_ticker(self, ticker: Any) -> None:
        self.heard.append(("ticker", ticker["symbol"], ticker["bid"], ticker["ask"], ticker["bidVolume"], ticker["askVolume"]))

    def on_public_trade(self, trade: Any) -> None:
        self.heard.append(("trade", trade["symbol"], trade["id"], trade["price"], trade["amount"], trade["side"]))

    def on_kline(self, symbol: str, timeframe: str, row: Any, closed: bool) -> None:
        self.heard.append(("kline", symbol, timeframe, list(row), closed))

    def on_poison(self, url: str, error: Exception) -> None:
        self.heard.append(("poison", url))

    def on_lost(self, client: Any, error: object) -> None:
        self.heard.append(("lost", client.url))


class Frame:
    """A websocket text message as aiohttp gives it."""

    def __init__(self, data: str) -> None:
        from aiohttp import WSMsgType

        self.type, self.data = WSMsgType.TEXT, data


@pytest.mark.parametrize("name", WELL_KNOWN)
def test_the_methods_the_guard_overrides_exist(name: str) -> None:
    exchange = getattr(ccxt.pro, name)
    expected = {
        "handle_message": ["self", "client", "message"],
        "safe_trade": ["self", "trade", "market"],
        "safe_ticker": ["self", "ticker", "market"],
        "client": ["self", "url"],
        "on_close": ["self", "client", "error"],
        "on_error": ["self", "client", "error"],
    }
    for method, parameters in expected.items():
        assert list(inspect.signature(getattr(exchange, method)).parameters) == parameters, method


def test_the_clients_receive_loop_goes_through_the_method_the_guard_replaces() -> None:
    source = inspect.getsource(Client.receive_loop)
    assert source.count("self.handle_message(") == 2
    for name in ("aiohttp_close", "reject", "closed"):
        assert callable(getattr(Client, name))
    assert "if not self.error" in inspect.getsource(Client.on_close)
    assert "if client.error" in inspect.getsource(ccxt.pro.Exchange.on_close)


@pytest.fixture
async def wired() -> Any:
    """A guarded binance with one market, a client that was never connected, and who listens."""
    exchange = guarded(ccxt.pro.binance)({"options": {"defaultType": "spot"}})
    witness = Witness()
    attach(exchange, witness, witness)
    market = {"id": "BTCUSDT", "symbol": "BTC/USDT", "base": "BTC", "quote": "USDT", "type": "spot", "spot": True}
    exchange.set_markets([exchange.safe_market_structure(market)])
    client = exchange.client("wss://127.0.0.1/stream/ws/0")
    yield exchange, client, witness
    await exchange.close()


FRAMES = {
    '{"e":"trade","E":2,"s":"BTCUSDT","t":7,"p":"100.5","q":"0.25","T":1700000000000,"m":true,"M":true}': (
        "trade",
        "BTC/USDT",
        "7",
        100.5,
        0.25,
        "sell",
    ),
    '{"u":1,"s":"BTCUSDT","b":"99.5","B":"1.5","a":"100.5","A":"2.5"}': ("ticker", "BTC/USDT", 99.5, 100.5, 1.5, 2.5),
    '{"e":"kline","E":2,"s":"BTCUSDT","k":{"t":1700000000000,"T":1700000059999,"s":"BTCUSDT","i":"1m",'
    '"o":"1","c":"2","h":"3","l":"0.5","v":"9","x":true}}': (
        "kline",
        "BTC/USDT",
        "1m",
        [1700000000000, 1.0, 3.0, 0.5, 2.0, 9.0],
        True,
    ),
}


@pytest.mark.parametrize(("text", "heard"), FRAMES.items())
async def test_each_frame_is_handed_over_as_it_is_parsed(wired: Any, text: str, heard: tuple[Any, ...]) -> None:
    _, client, witness = wired
    client.handle_message(Frame(text))
    assert witness.heard == [("client", client.url), heard]


async def test_a_frame_that_cannot_be_parsed_is_counted_and_raises_nothing(wired: Any) -> None:
    _, client, witness = wired
    for text in ("{bad json", "[]", '{"e":"trade","s":null,"p":null}'):
        client.handle_message(Frame(text))
    assert [what for what, *_ in witness.heard[1:]] == ["poison"] * 3


async def test_what_rest_parses_is_not_taken_for_a_stream(wired: Any) -> None:
    exchange, _, witness = wired
    row = {"a": 1, "p": "1", "q": "1", "T": 1700000000000, "m": True, "M": True}
    assert exchange.parse_trade(row, exchange.market("BTC/USDT"))["price"] == 1.0
    assert len(witness.heard) == 1
