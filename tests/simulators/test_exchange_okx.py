"""The same exchange in OKX's dialect, as an unmodified ccxt speaks it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import ccxt
import ccxt.pro
import pytest

from simulators.exchange.account_faults import Delist, Omitted, PartialFill, Thing
from simulators.exchange.answer_faults import Dropped, Garbage, Garbled, Maintenance, When
from simulators.exchange.faults import Clear, ClockSkew, Shock, Status
from simulators.exchange.server import ExchangeSimulator

SYMBOL = "BTC/USDT"
PATIENCE = 20.0
PLACE = "/api/v5/trade/batch-orders"


@pytest.fixture
async def okx(venue: ExchangeSimulator) -> AsyncIterator[Any]:
    exchange = ccxt.pro.okx({**venue.okx_config("key"), "enableRateLimit": False, "timeout": 1_000})
    exchange.has["fetchCurrencies"] = False
    await exchange.load_markets()
    yield exchange
    await exchange.close()


def price_of(venue: ExchangeSimulator, factor: float) -> float:
    return round(venue.venue.quote(SYMBOL).mid * factor, 2)


async def rest(okx: Any, venue: ExchangeSimulator, client_id: str, side: str = "buy", factor: float = 0.9) -> Any:
    return await okx.create_order(SYMBOL, "limit", side, 0.01, price_of(venue, factor), {"clientOrderId": client_id})


async def until(watch: Callable[[], Awaitable[Any]], wanted: Callable[[Any], bool]) -> Any:
    async with asyncio.timeout(PATIENCE):
        while True:
            found = await watch()
            if wanted(found):
                return found


async def test_the_market_reads_the_same_in_both_dialects(venue: ExchangeSimulator, okx: Any, trader: Any) -> None:
    assert list(okx.markets) == list(trader.markets)
    mine, other = okx.market(SYMBOL), trader.market(SYMBOL)
    assert mine["precision"] == {name: other["precision"][name] for name in ("amount", "price")}
    candles, others = await okx.fetch_ohlcv(SYMBOL, "1s", limit=20), await trader.fetch_ohlcv(SYMBOL, "1s", limit=20)
    shared = {row[0]: row for row in others[:-1]}
    assert sum(shared.get(row[0]) == row for row in candles[:-1]) >= 18
    assert abs(await okx.fetch_time() - await trader.fetch_time()) < 500
    ticker = await okx.fetch_ticker(SYMBOL)
    assert ticker["bid"] < ticker["ask"]
    book = await okx.fetch_order_book(SYMBOL, 10)
    assert len(book["bids"]) == len(book["asks"]) == 10
    trades = await okx.fetch_trades(SYMBOL, limit=5)
    assert len(trades) == 5
    assert trades[0]["timestamp"] <= trades[-1]["timestamp"]


async def test_the_market_is_watched(okx: Any) -> None:
    await until(lambda: okx.watch_ticker(SYMBOL), lambda ticker: ticker["bid"] < ticker["ask"])
    await until(lambda: okx.watch_trades(SYMBOL), bool)
    await until(lambda: okx.watch_ohlcv(SYMBOL, "1s"), bool)
    nonces = [(await asyncio.wait_for(okx.watch_order_book(SYMBOL), PATIENCE))["nonce"] for _ in range(4)]
    assert nonces == sorted(nonces)
    assert len(set(nonces)) > 1


async def test_an_order_is_answered_with_its_id_and_nothing_else(venue: ExchangeSimulator, okx: Any) -> None:
    order = await okx.create_order(SYMBOL, "market", "buy", 0.01, params={"clientOrderId": "first"})
    assert (order["clientOrderId"], order["status"], order["filled"]) == ("first", None, None)
    found = await okx.fetch_order(order["id"], SYMBOL)
    assert (found["status"], found["filled"], found["fee"]["currency"]) == ("closed", 0.01, "BTC")
    (trade,) = await okx.fetch_my_trades(SYMBOL)
    assert (trade["order"], trade["amount"], trade["takerOrMaker"]) == (order["id"], 0.01, "taker")
    balance = await okx.fetch_balance()
    assert balance["BTC"]["free"] == pytest.approx(2.00999)
    assert balance["USDT"]["free"] == pytest.approx(100_000 - found["cost"])


async def test_orders_are_found_and_cancelled(venue: ExchangeSimulator, okx: Any) -> None:
    order = await rest(okx, venue, "mine")
    assert [one["clientOrderId"] for one in await okx.fetch_open_orders(SYMBOL)] == ["mine"]
    assert (await okx.fetch_order(None, SYMBOL, {"clientOrderId": "mine"}))["id"] == order["id"]
    await okx.cancel_order(order["id"], SYMBOL)
    assert (await okx.fetch_order(order["id"], SYMBOL))["status"] == "canceled"
    with pytest.raises(ccxt.OrderNotFound):
        await okx.fetch_order("404", SYMBOL)
    with pytest.raises(ccxt.ExchangeError, match="51400"):
        await okx.cancel_order(order["id"], SYMBOL)
    assert [one["status"] for one in await okx.fetch_canceled_orders(SYMBOL)] == ["canceled"]


async def test_both_dialects_are_one_venue(venue: ExchangeSimulator, okx: Any, trader: Any) -> None:
    order = await rest(okx, venue, "mine")
    assert (await trader.fetch_order(None, SYMBOL, {"clientOrderId": "mine"}))["id"] == order["id"]
    await trader.cancel_order(order["id"], SYMBOL)
    assert await okx.fetch_open_orders(SYMBOL) == []


async def test_orders_trades_and_balances_are_watched(venue: ExchangeSimulator, okx: Any) -> None:
    venue.inject(PartialFill())
    watch = asyncio.create_task(until(okx.watch_orders, lambda orders: orders[-1]["status"] == "closed"))
    trades = asyncio.create_task(until(okx.watch_my_trades, bool))
    assert (await asyncio.wait_for(okx.watch_balance(), PATIENCE))["BTC"]["total"] == 2
    async with asyncio.timeout(PATIENCE):
        while venue.streams.counts["subscriptions"] < 2:
            await asyncio.sleep(0.01)
    await rest(okx, venue, "mine", "sell", 0.95)
    (order,) = await watch
    assert (order["clientOrderId"], order["filled"]) == ("mine", 0.01)
    assert (await trades)[0]["order"] == order["id"]
    assert (await asyncio.wait_for(okx.watch_balance(), PATIENCE))["BTC"]["total"] < 2


async def test_a_post_only_order_that_would_match_is_taken_and_cancelled(venue: ExchangeSimulator, okx: Any) -> None:
    params = {"postOnly": True, "clientOrderId": "maker"}
    order = await okx.create_order(SYMBOL, "limit", "sell", 0.01, price_of(venue, 0.9), params)
    assert (await okx.fetch_order(order["id"], SYMBOL))["status"] == "canceled"


async def test_stops_and_oco_are_algo_orders(venue: ExchangeSimulator, okx: Any) -> None:
    params = {"stopLossPrice": price_of(venue, 0.9), "takeProfitPrice": price_of(venue, 1.1)}
    order = await okx.create_order(SYMBOL, "market", "sell", 0.5, params=params)
    assert (await okx.fetch_balance())["BTC"]["used"] == 0.5
    assert await okx.fetch_open_orders(SYMBOL) == []
    assert len(await okx.fetch_open_orders(SYMBOL, params={"trigger": True, "ordType": "conditional"})) == 2
    venue.inject(Shock(SYMBOL, 0.8))
    await until(lambda: asyncio.sleep(0.05), lambda _: not venue.engine.accounts.all()[0].open)
    assert (await okx.fetch_balance())["BTC"]["total"] == 1.5
    assert order["id"]


@pytest.mark.parametrize(
    ("amount", "factor", "client_id", "error"),
    [
        (3.0, 1.1, "a", ccxt.InsufficientFunds),
        (0.01, 1.1, "taken", ccxt.InvalidOrder),
        (0.00001, 1.1, "b", ccxt.InvalidOrder),
    ],
)
async def test_refusals_have_the_venues_codes(
    venue: ExchangeSimulator, okx: Any, amount: float, factor: float, client_id: str, error: type[Exception]
) -> None:
    await rest(okx, venue, "taken", "sell", 1.2)
    with pytest.raises(error):
        await okx.create_order(SYMBOL, "limit", "sell", amount, price_of(venue, factor), {"clientOrderId": client_id})
    assert len(await okx.fetch_open_orders(SYMBOL)) == 1


@pytest.mark.parametrize(
    ("fault", "error", "live"),
    [
        (Dropped(When.BEFORE, PLACE), ccxt.ExchangeNotAvailable, False),
        (Dropped(When.AFTER, PLACE), ccxt.ExchangeNotAvailable, True),
        (Status(503, PLACE, "POST"), ccxt.ExchangeNotAvailable, False),
        (Status(429, PLACE, "POST"), ccxt.NetworkError, False),
        (Maintenance(), ccxt.NetworkError, False),
    ],
)
async def test_a_lost_answer_tells_nothing_about_the_order(
    venue: ExchangeSimulator, okx: Any, fault: Any, error: type[Exception], live: bool
) -> None:
    venue.inject(fault)
    with pytest.raises(error):
        await rest(okx, venue, "mine")
    venue.inject(Clear())
    assert [one["clientOrderId"] for one in await okx.fetch_open_orders(SYMBOL)] == (["mine"] if live else [])


async def test_garbage_and_omissions_and_bad_clocks(venue: ExchangeSimulator, okx: Any) -> None:
    venue.inject(Garbled(Garbage.HTML, path=PLACE))
    order = await rest(okx, venue, "mine")
    assert (order["id"], order["status"]) == (None, None)
    venue.inject(Omitted(Thing.ORDER, "mine"))
    assert await okx.fetch_open_orders(SYMBOL) == []
    assert len(await okx.fetch_open_orders(SYMBOL)) == 1
    venue.inject(ClockSkew(90_000))
    with pytest.raises(ccxt.InvalidNonce, match="50102"):
        await okx.fetch_balance()
    venue.inject(Clear())
    venue.inject(Delist(SYMBOL))
    assert await okx.fetch_open_orders(SYMBOL) == []
    assert not (await okx.load_markets(True))[SYMBOL]["active"]


@pytest.mark.parametrize("wrong", [{"apiKey": "unknown"}, {"secret": "wrong"}, {"password": "wrong"}])
async def test_bad_credentials_are_refused(venue: ExchangeSimulator, wrong: dict[str, str]) -> None:
    stranger = ccxt.pro.okx({**venue.okx_config("key"), **wrong, "enableRateLimit": False})
    stranger.has["fetchCurrencies"] = False
    try:
        with pytest.raises(ccxt.AuthenticationError):
            await stranger.fetch_balance()
        with pytest.raises(ccxt.AuthenticationError):
            await asyncio.wait_for(stranger.watch_balance(), PATIENCE)
    finally:
        await stranger.close()


async def test_what_a_socket_does_not_understand_it_says(venue: ExchangeSimulator) -> None:
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{venue.ws_url}/ws/v5/public") as socket:
        for text, code in (
            ("nonsense", "60012"),
            ('{"op": "subscribe", "args": [{"channel": "candle7m", "instId": "BTC-USDT"}]}', "51000"),
            ('{"op": "subscribe", "args": [{"channel": "trades", "instId": "NO-SUCH"}]}', "60018"),
            ('{"op": "subscribe", "args": [{"channel": "orders", "instType": "ANY"}]}', "60011"),
        ):
            await socket.send_str(text)
            assert (await socket.receive_json(timeout=PATIENCE))["code"] == code
        await socket.send_str("ping")
        assert await socket.receive_str(timeout=PATIENCE) == "pong"
