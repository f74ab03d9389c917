"""An account of the exchange, as an unmodified ccxt trades on it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import aiohttp
import ccxt
import ccxt.pro
import pytest

from simulators.exchange.account_faults import (
    ChangeFilter,
    Delist,
    ListenKeyExpiry,
    Omitted,
    PartialFill,
    Thing,
    UserReorder,
    UserRepeat,
    UserStall,
)
from simulators.exchange.answer_faults import Coded, Dropped, Garbage, Garbled, Hung, Maintenance, When
from simulators.exchange.audit import Opening
from simulators.exchange.faults import Clear, ClockSkew, Disconnect, Latency, Shock, Status
from simulators.exchange.server import ExchangeSimulator

SYMBOL = "BTC/USDT"
ORDER = "/api/v3/order"
PATIENCE = 20.0
Json = dict[str, Any]


def price_of(venue: ExchangeSimulator, factor: float) -> float:
    return round(venue.venue.quote(SYMBOL).mid * factor, 2)


async def rest(trader: Any, venue: ExchangeSimulator, client_id: str, side: str = "buy", factor: float = 0.9) -> Any:
    """An order far from the market."""
    return await trader.create_order(SYMBOL, "limit", side, 0.01, price_of(venue, factor), {"clientOrderId": client_id})


async def truth(venue: ExchangeSimulator, key: str = "key") -> Json:
    async with aiohttp.ClientSession() as session, session.get(f"{venue.url}/admin/accounts/{key}") as answer:
        assert answer.status == 200
        found: Json = await answer.json()
        return found


async def live_ids(venue: ExchangeSimulator) -> list[str]:
    return [order["client_id"] for order in (await truth(venue))["orders"] if order["status"] in ("NEW", "PARTIALLY_FILLED")]


class Watch:
    """Everything that a ccxt.pro watcher returned, copied as it came."""

    def __init__(self, watch: Callable[[], Awaitable[Any]]) -> None:
        self.seen: list[Any] = []
        self.news = asyncio.Event()
        self.task = asyncio.create_task(self._run(watch))

    async def _run(self, watch: Callable[[], Awaitable[Any]]) -> None:
        while True:
            found = await watch()
            self.seen += [dict(one) for one in found] if isinstance(found, list) else [dict(found)]
            self.news.set()

    async def until(self, wanted: Callable[[list[Any]], bool]) -> list[Any]:
        async with asyncio.timeout(PATIENCE):
            while not (self.seen and wanted(self.seen)):
                self.news.clear()
                await self.news.wait()
        return self.seen


@asynccontextmanager
async def watching(venue: ExchangeSimulator, *watches: Callable[[], Awaitable[Any]]) -> AsyncIterator[list[Watch]]:
    """Watchers that are subscribed already when the body begins."""
    found = [Watch(watch) for watch in watches]
    try:
        async with asyncio.timeout(PATIENCE):
            while not venue.streams.counts["subscriptions"]:
                await asyncio.sleep(0.005)
            await asyncio.sleep(0.05)  # all of them share that subscription
        yield found
    finally:
        for one in found:
            one.task.cancel()
        await asyncio.gather(*(one.task for one in found), return_exceptions=True)


async def test_a_market_order_is_answered_with_its_fills_and_moves_the_balance(venue: ExchangeSimulator, trader: Any) -> None:
    order = await trader.create_order(SYMBOL, "market", "buy", 0.01, params={"clientOrderId": "first"})
    assert (order["status"], order["clientOrderId"], order["filled"]) == ("closed", "first", 0.01)
    assert order["fees"] == [{"currency": "BTC", "cost": pytest.approx(0.00001)}]
    balance = await trader.fetch_balance()
    assert balance["BTC"]["free"] == pytest.approx(2.00999)
    assert balance["USDT"]["total"] == pytest.approx(100_000 - order["cost"])
    (trade,) = await trader.fetch_my_trades(SYMBOL)
    assert (trade["order"], trade["takerOrMaker"], trade["amount"]) == (order["id"], "taker", 0.01)


async def test_a_market_order_by_cost_spends_it(trader: Any) -> None:
    order = await trader.create_order(SYMBOL, "market", "buy", 1, params={"cost": 500})
    assert 499 < order["cost"] <= 500


async def test_orders_are_found_changed_and_cancelled(venue: ExchangeSimulator, trader: Any) -> None:
    order = await rest(trader, venue, "mine")
    assert [one["clientOrderId"] for one in await trader.fetch_open_orders()] == ["mine"]
    assert (await trader.fetch_order(None, SYMBOL, {"clientOrderId": "mine"}))["id"] == order["id"]
    changed = await trader.edit_order(order["id"], SYMBOL, "limit", "buy", 0.02, price_of(venue, 0.9))
    assert (changed["status"], changed["amount"]) == ("open", 0.02)
    assert (await trader.fetch_order(order["id"], SYMBOL))["status"] == "canceled"
    assert (await trader.cancel_order(changed["id"], SYMBOL))["status"] == "canceled"
    await rest(trader, venue, "a")
    await rest(trader, venue, "b")
    assert len(await trader.cancel_all_orders(SYMBOL)) == 2
    assert await trader.fetch_open_orders(SYMBOL) == []
    assert [one["status"] for one in await trader.fetch_orders(SYMBOL)] == ["canceled"] * 4
    assert (await trader.fetch_balance())["USDT"]["used"] == 0


async def test_a_change_of_what_is_gone_places_nothing_unless_told_to(venue: ExchangeSimulator, trader: Any) -> None:
    with pytest.raises(ccxt.ExchangeError, match="-2022"):
        await trader.edit_order("404", SYMBOL, "limit", "buy", 0.02, price_of(venue, 0.9))
    assert await live_ids(venue) == []
    order = await rest(trader, venue, "mine")
    with pytest.raises(ccxt.ExchangeError, match="-2021"):  # the old one is gone all the same
        await trader.edit_order(order["id"], SYMBOL, "limit", "buy", 1_000, price_of(venue, 0.9))
    assert await live_ids(venue) == []
    more = {"cancelReplaceMode": "ALLOW_FAILURE", "newClientOrderId": "new"}
    with pytest.raises(ccxt.ExchangeError, match="-2021"):
        await trader.edit_order(order["id"], SYMBOL, "limit", "buy", 0.02, price_of(venue, 0.9), more)
    assert await live_ids(venue) == ["new"]


async def test_orders_go_over_the_websocket_api_too(venue: ExchangeSimulator, trader: Any) -> None:
    order = await trader.create_order_ws(SYMBOL, "limit", "buy", 0.01, price_of(venue, 0.9), {"clientOrderId": "ws"})
    assert (await trader.fetch_order_ws(order["id"], SYMBOL))["status"] == "open"
    assert [one["id"] for one in await trader.fetch_open_orders_ws(SYMBOL)] == [order["id"]]
    assert (await trader.cancel_order_ws(order["id"], SYMBOL))["status"] == "canceled"
    with pytest.raises(ccxt.OrderNotFound):
        await trader.cancel_order_ws(order["id"], SYMBOL)


async def test_an_oco_locks_once_and_a_crash_through_its_stop_fills_it(venue: ExchangeSimulator, trader: Any) -> None:
    def at(factor: float) -> str:
        return str(trader.price_to_precision(SYMBOL, price_of(venue, factor)))

    legs = {"aboveType": "LIMIT_MAKER", "abovePrice": at(1.1), "belowType": "STOP_LOSS", "belowStopPrice": at(0.9)}
    pair = await trader.privatePostOrderListOco({"symbol": "BTCUSDT", "side": "SELL", "quantity": "0.5", **legs})
    assert [report["status"] for report in pair["orderReports"]] == ["NEW", "NEW"]
    assert (await trader.fetch_balance())["BTC"] == {"free": 1.5, "used": 0.5, "total": 2}
    async with watching(venue, trader.watch_orders) as (orders,):
        venue.inject(Shock(SYMBOL, 0.8))
        await orders.until(lambda seen: {"expired", "closed"} <= {order["status"] for order in seen})
    listed = await trader.privateGetOrderList({"orderListId": pair["orderListId"]})
    assert listed["listOrderStatus"] == "ALL_DONE"
    assert (await trader.fetch_balance())["BTC"]["total"] == 1.5


async def test_orders_trades_and_balances_are_watched(venue: ExchangeSimulator, trader: Any) -> None:
    async with watching(venue, trader.watch_orders, trader.watch_my_trades, trader.watch_balance) as (orders, trades, balances):
        order = await trader.create_order(SYMBOL, "market", "buy", 0.01)
        await orders.until(lambda seen: any(one["status"] == "closed" and one["id"] == order["id"] for one in seen))
        (trade,) = await trades.until(lambda seen: len(seen) == 1)
        assert (trade["order"], trade["amount"], trade["fee"]["currency"]) == (order["id"], 0.01, "BTC")
        await balances.until(lambda seen: seen[-1].get("BTC", {}).get("total") == pytest.approx(2.00999))
        await rest(trader, venue, "mine")
        await trader.cancel_order(None, SYMBOL, {"origClientOrderId": "mine"})
        await orders.until(lambda seen: any((one["clientOrderId"], one["status"]) == ("mine", "canceled") for one in seen))
        async with aiohttp.ClientSession() as session:
            move = {"key": "key", "asset": "USDT", "amount": "250.5"}
            async with session.post(f"{venue.url}/admin/transfer", json=move) as answer:
                assert answer.status == 201
    assert (await trader.sapiGetCapitalDepositHisrec({}))[-1]["amount"] == "250.50000000"


async def test_an_order_fills_in_slices_when_told_to_and_the_audit_agrees_to_the_satoshi(
    venue: ExchangeSimulator, trader: Any
) -> None:
    venue.inject(PartialFill(Decimal("0.3")))
    async with watching(venue, trader.watch_orders) as (orders,):
        order = await trader.create_order(SYMBOL, "limit", "sell", 0.01, price_of(venue, 0.95))
        assert (order["status"], order["filled"]) == ("open", 0.003)
        await orders.until(lambda seen: seen[-1]["status"] == "closed")
    audit = await truth(venue)
    (told,) = audit["orders"]
    assert (told["status"], told["filled"], len(told["fills"])) == ("FILLED", "0.01000000", 4)
    spent = sum(Decimal(fill["cost"]) - Decimal(fill["fee"]) for fill in told["fills"])
    assert Decimal(audit["balances"]["USDT"]["free"]) == 100_000 + spent
    mine = {trade["id"]: trade["cost"] for trade in await trader.fetch_my_trades(SYMBOL)}
    assert sum(Decimal(str(cost)) for cost in mine.values()) == Decimal(told["cost"])


async def test_a_clock_that_is_wrong_is_refused_and_adjusted(venue: ExchangeSimulator, trader: Any) -> None:
    for skew in (60_000, -60_000):
        venue.inject(ClockSkew(skew))
        with pytest.raises(ccxt.InvalidNonce):
            await trader.fetch_balance()
        trader.options["adjustForTimeDifference"] = True
        await trader.load_time_difference()
        order = await rest(trader, venue, f"skew{skew}")
        assert abs(order["timestamp"] - time.time() * 1_000 - skew) < 1_000
        trader.options["timeDifference"] = 0


async def test_bad_keys_and_signatures_are_refused(venue: ExchangeSimulator) -> None:
    for wrong in ({"apiKey": "unknown"}, {"secret": "wrong"}):
        stranger = ccxt.pro.binance({**venue.ccxt_config("key"), **wrong, "enableRateLimit": False})
        try:
            with pytest.raises(ccxt.AuthenticationError):
                await stranger.fetch_balance()
        finally:
            await stranger.close()


@pytest.mark.parametrize(
    ("amount", "factor", "more", "error"),
    [
        (0.01, 0.9, {"clientOrderId": "taken"}, ccxt.InvalidOrder),
        (3.0, 1.1, {}, ccxt.InsufficientFunds),
        (0.00001, 1.1, {}, ccxt.BadRequest),
        (0.01, 0.9, {"postOnly": True}, ccxt.OrderImmediatelyFillable),
        (0.01, 0.9, {"stopPrice": "1000000"}, ccxt.InvalidOrder),
    ],
)
async def test_refusals_have_the_venues_codes(
    venue: ExchangeSimulator, trader: Any, amount: float, factor: float, more: Json, error: type[Exception]
) -> None:
    await rest(trader, venue, "taken", "sell", 1.2)
    with pytest.raises(error):
        await trader.create_order(SYMBOL, "limit", "sell", amount, price_of(venue, factor), more)
    assert await live_ids(venue) == ["taken"]


async def test_too_many_orders_and_unknown_ones_are_refused(trader: Any, venue: ExchangeSimulator) -> None:
    with pytest.raises(ccxt.OrderNotFound):
        await trader.fetch_order("404", SYMBOL)
    with pytest.raises(ccxt.OrderNotFound):
        await trader.cancel_order("404", SYMBOL)
    busy = Opening("busy", "secret", balances={"USDT": Decimal(100)})
    async with ExchangeSimulator(symbols=[SYMBOL], accounts=[busy], history=60, order_limit=1) as strict:
        client = ccxt.pro.binance({**strict.ccxt_config("busy"), "enableRateLimit": False})
        try:
            await rest(client, strict, "one", factor=0.1)
            answers = await asyncio.gather(
                *(rest(client, strict, name, factor=0.1) for name in ("two", "three")), return_exceptions=True
            )
            refused = [answer for answer in answers if isinstance(answer, ccxt.RateLimitExceeded | ccxt.DDoSProtection)]
            assert refused  # one of them may be the first of the next ten seconds
            assert all("-1015" in str(answer) for answer in refused)
        finally:
            await client.close()


@pytest.mark.parametrize(
    ("fault", "error", "live"),
    [
        (Dropped(When.BEFORE, ORDER, "POST"), ccxt.ExchangeNotAvailable, False),
        (Dropped(When.AFTER, ORDER, "POST"), ccxt.ExchangeNotAvailable, True),
        (Hung(When.BEFORE, ORDER, "POST"), ccxt.RequestTimeout, False),
        (Hung(When.AFTER, ORDER, "POST"), ccxt.RequestTimeout, True),
        (Status(503, ORDER, "POST"), ccxt.ExchangeNotAvailable, False),
        (Status(429, ORDER, "POST", retry_after=1), ccxt.DDoSProtection, False),
        (Status(418, ORDER, "POST", retry_after=1), ccxt.DDoSProtection, False),
        (Coded(-1007, "Timeout", 504, When.AFTER, ORDER, "POST"), ccxt.RequestTimeout, True),
        (Coded(-1006, "Unexpected", 400, When.AFTER, ORDER, "POST"), ccxt.OperationFailed, True),
        (Maintenance(), ccxt.ExchangeNotAvailable, False),
    ],
)
async def test_a_lost_answer_tells_nothing_about_the_order(
    venue: ExchangeSimulator, trader: Any, fault: Any, error: type[Exception], live: bool
) -> None:
    venue.inject(fault)
    with pytest.raises(error):
        await rest(trader, venue, "mine")
    venue.inject(Clear())
    assert await live_ids(venue) == (["mine"] if live else [])
    await rest(trader, venue, "next")


async def test_a_lost_answer_to_a_cancel_reads_as_not_found_because_the_client_asks_again(
    venue: ExchangeSimulator, trader: Any
) -> None:
    """Aiohttp repeats an idempotent request (GET, PUT, DELETE) by itself when a connection that it kept alive breaks."""
    order = await rest(trader, venue, "mine")
    venue.inject(Dropped(When.AFTER, ORDER, "DELETE"))
    with pytest.raises(ccxt.OrderNotFound):
        await trader.cancel_order(order["id"], SYMBOL)
    assert await live_ids(venue) == []


@pytest.mark.parametrize("body", list(Garbage))
async def test_garbage_gives_an_order_without_an_id_that_is_live(venue: ExchangeSimulator, trader: Any, body: Garbage) -> None:
    venue.inject(Garbled(body, path=ORDER, method="POST"))
    order = await rest(trader, venue, "mine")
    assert (order["id"], order["status"]) == (None, None)
    assert await live_ids(venue) == ["mine"]


async def test_slow_answers_and_the_websocket_api_are_struck_too(venue: ExchangeSimulator, trader: Any) -> None:
    venue.inject(Latency(0.3, ORDER, "POST"))
    started = time.monotonic()
    await rest(trader, venue, "slow")
    assert time.monotonic() - started > 0.3
    venue.inject(Dropped(When.AFTER, "/ws-api/v3/order.place", "WS"))
    with pytest.raises(ccxt.NetworkError):
        await trader.create_order_ws(SYMBOL, "limit", "buy", 0.01, price_of(venue, 0.9), {"clientOrderId": "ws"})
    assert await live_ids(venue) == ["slow", "ws"]


async def test_a_thing_can_be_missing_from_one_answer(venue: ExchangeSimulator, trader: Any) -> None:
    await rest(trader, venue, "mine")
    venue.inject(Omitted(Thing.ORDER, "mine", 2))
    assert await trader.fetch_open_orders(SYMBOL) == []
    with pytest.raises(ccxt.OrderNotFound):
        await trader.fetch_order(None, SYMBOL, {"clientOrderId": "mine"})
    assert len(await trader.fetch_open_orders(SYMBOL)) == 1
    venue.inject(Omitted(Thing.BALANCE, "USDT"))
    assert "USDT" not in await trader.fetch_balance()
    assert "USDT" in await trader.fetch_balance()


async def test_a_delisted_symbol_and_changed_filters_show_in_the_markets(venue: ExchangeSimulator, trader: Any) -> None:
    await rest(trader, venue, "mine")
    venue.inject(ChangeFilter("BTC/USDT", amount_step=Decimal("0.01"), min_cost=Decimal(1_000)))
    with pytest.raises(ccxt.InvalidOrder, match="LOT_SIZE"):
        await trader.create_order(SYMBOL, "limit", "sell", 0.015, price_of(venue, 1.1))
    market = (await trader.load_markets(True))[SYMBOL]
    assert (market["precision"]["amount"], market["limits"]["cost"]["min"]) == (0.01, 1_000)
    venue.inject(Delist(SYMBOL))
    assert await live_ids(venue) == []
    assert not (await trader.load_markets(True))[SYMBOL]["active"]
    with pytest.raises(ccxt.ExchangeError, match="closed"):
        await trader.create_order(SYMBOL, "limit", "sell", 0.05, price_of(venue, 1.1))
    with pytest.raises(LookupError, match="NO/SUCH"):
        venue.inject(Delist("NO/SUCH"))


class Raw:
    """A plain client of the listen-key stream."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket = socket

    async def next(self, kind: str) -> Json:
        while True:
            event: Json = await self.socket.receive_json(timeout=PATIENCE)
            if event.get("e") == kind:
                return event


@asynccontextmanager
async def listening(venue: ExchangeSimulator) -> AsyncIterator[tuple[Raw, aiohttp.ClientSession, str]]:
    url = f"{venue.url}/api/v3/userDataStream"
    async with aiohttp.ClientSession(headers={"X-MBX-APIKEY": "key"}) as session:
        async with session.post(url) as answer:
            key = (await answer.json())["listenKey"]
        async with session.ws_connect(f"{venue.ws_url}/stream/ws/{key}") as socket:
            yield Raw(socket), session, key


async def test_listen_keys_of_older_clients_carry_the_same_events_and_expire(venue: ExchangeSimulator, trader: Any) -> None:
    async with listening(venue) as (raw, session, key):
        await rest(trader, venue, "mine")
        report = await raw.next("executionReport")
        assert (report["c"], report["x"], report["X"]) == ("mine", "NEW", "NEW")
        url = f"{venue.url}/api/v3/userDataStream"
        async with session.put(url, data={"listenKey": key}) as answer:
            assert answer.status == 200
        venue.inject(ListenKeyExpiry())
        assert (await raw.next("listenKeyExpired"))["listenKey"] == key
        async with session.put(url, data={"listenKey": key}) as answer:
            assert (answer.status, (await answer.json())["code"]) == (400, -1125)


async def test_updates_come_twice_out_of_order_or_not_at_all(venue: ExchangeSimulator, trader: Any) -> None:
    async with listening(venue) as (raw, _, _key):
        venue.inject(UserRepeat(1))
        await rest(trader, venue, "twice")
        assert [(await raw.next("executionReport"))["c"] for _ in range(2)] == ["twice", "twice"]
        venue.inject(UserReorder(3))
        await rest(trader, venue, "earlier")
        await rest(trader, venue, "later")
        assert [(await raw.next("executionReport"))["c"] for _ in range(2)] == ["later", "earlier"]
        venue.inject(UserStall())
        await rest(trader, venue, "unheard")
        venue.inject(Clear())
        await rest(trader, venue, "heard")
        assert (await raw.next("executionReport"))["c"] == "heard"


async def test_private_streams_end_and_come_back(venue: ExchangeSimulator, trader: Any) -> None:
    async with watching(venue, trader.watch_orders) as (orders,):
        venue.inject(Disconnect(sockets="user"))
        with pytest.raises(ccxt.NetworkError):
            await asyncio.wait_for(orders.task, PATIENCE)
    venue.streams.counts.clear()
    async with watching(venue, trader.watch_orders) as (orders,):
        await rest(trader, venue, "mine")
        await orders.until(bool)


async def test_a_key_that_may_withdraw_can_be_told(venue: ExchangeSimulator, trader: Any) -> None:
    assert (await trader.sapiGetAccountApiRestrictions())["enableWithdrawals"] is True
    venue.inject(Maintenance())
    assert (await trader.fetch_status())["status"] == "maintenance"


async def test_accounts_are_opened_and_moved_by_the_admin_alone(venue: ExchangeSimulator) -> None:
    async with aiohttp.ClientSession(venue.url) as session:

        async def post(path: str, body: Json) -> tuple[int, Json]:
            async with session.post(path, json=body) as answer:
                return answer.status, await answer.json()

        status, opened = await post("/admin/accounts", {"key": "new", "secret": "s", "balances": {"USDT": "10.5"}})
        assert (status, opened["balances"]["USDT"]["free"]) == (201, "10.50000000")
        assert (await post("/admin/accounts", {"key": "new", "secret": "s"}))[0] == 400
        assert (await post("/admin/transfer", {"key": "new", "asset": "USDT", "amount": "-10.5"}))[0] == 201
        status, problem = await post("/admin/transfer", {"key": "new", "asset": "USDT", "amount": "-0.00000001"})
        assert (status, "cannot be withdrawn" in problem["error"]) == (400, True)
        assert (await post("/admin/transfer", {"key": "nobody", "asset": "USDT", "amount": "1"}))[0] == 404
    assert [move["amount"] for move in (await truth(venue, "new"))["transfers"]] == ["10.50000000", "-10.50000000"]
