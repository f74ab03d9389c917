"""Reconciliation of a simulated exchange through real ccxt, in both dialects, with sisters and strangers on the same account."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

import aiohttp
import ccxt.async_support
import pytest

from bot.core.inputs import Filled, Input, OrderAccepted, OrderRefused, OrderUnknown
from bot.core.market import Side
from bot.core.orders import OrderRequest
from execution.account import AccountError
from execution.reconcile import ReconcileFailed, Reconciler, ReconcileRules
from execution.tracked import Standing, Tracked, TrackedOrders
from simulators.exchange.account_faults import Omitted, Thing
from simulators.exchange.answer_faults import Dropped, Garbled, When
from simulators.exchange.faults import Shock
from simulators.exchange.mischief import Fault
from tests.execution.ccxt_rig import CREATE, DIALECTS, OTHER, SYMBOL, Rig, ordered, rig
from tests.execution.reconcile_world import SISTER, an_id

RULES = ReconcileRules(symbols=(SYMBOL, OTHER), prefix="arb", sisters=(SISTER,), pause_ms=20, grace_ms=200)


@dataclass
class Desk:
    """What a bot knows of an account, and someone else who trades on it."""

    rig: Rig
    tracked: TrackedOrders
    said: list[Input]
    reconciler: Reconciler
    other: Any

    async def send(self, request: OrderRequest) -> Tracked:
        """Send an order and hear nothing of it but the answer to its request."""
        tracked = self.tracked.begin(request)
        try:
            self.tracked.report(await self.rig.account.create(request))
        except AccountError as problem:
            self.tracked.unknown(request.id, problem.reason)
        return tracked

    async def trade(self, client_id: str, symbol: str = SYMBOL, side: str = "buy", amount: float = 0.01) -> None:
        """A market order of somebody else."""
        await self.other.create_order(symbol, "market", side, amount, params={"clientOrderId": client_id})

    async def rest(self, client_id: str) -> None:
        """An open order of somebody else, far from the market."""
        price = float(self.rig.price(0.8))
        await self.other.create_order(SYMBOL, "limit", "buy", 0.01, price, {"clientOrderId": client_id})

    async def transfer(self, asset: str, amount: str) -> None:
        """A deposit, or a withdrawal."""
        body = {"key": "key", "asset": asset, "amount": amount}
        url = f"{self.rig.venue.url}/admin/transfer"
        async with aiohttp.ClientSession() as session, session.post(url, json=body) as answer:
            assert answer.status == 201

    def inject(self, *faults: Fault) -> None:
        """Make faults happen."""
        for fault in faults:
            self.rig.venue.mischief.inject(fault)

    def remember(self) -> None:
        """A new process with the old one's memory and orders."""
        account, now = self.rig.account, self.rig.venue.venue.now
        self.reconciler = Reconciler(account, self.tracked, now, RULES, memory=self.reconciler.snapshot())


@asynccontextmanager
async def a_desk(dialect: str) -> AsyncIterator[Desk]:
    """A desk whose account's first balances are taken."""
    async with rig(dialect) as running:
        said: list[Input] = []
        now = running.venue.venue.now
        tracked = TrackedOrders(said.append, now)
        reconciler = Reconciler(running.account, tracked, now, RULES)
        settings = running.venue.ccxt_config("key") if dialect == "binance" else running.venue.okx_config("key")
        other = getattr(ccxt.async_support, dialect)({**settings, "enableRateLimit": False})
        if dialect == "okx":
            other.has["fetchCurrencies"] = False
        try:
            await other.load_markets()
            assert (await reconciler.once()).began
            yield Desk(running, tracked, said, reconciler, other)
        finally:
            await other.close()


@pytest.fixture(params=DIALECTS)
async def desk(request: pytest.FixtureRequest) -> AsyncIterator[Desk]:
    async with a_desk(request.param) as running:
        yield running


@pytest.fixture
async def binance() -> AsyncIterator[Desk]:
    """Where the venue lists transfers."""
    async with a_desk("binance") as running:
        yield running


async def test_trades_of_ours_sisters_and_strangers_are_explained_to_the_last_digit(desk: Desk) -> None:
    ours = await desk.send(ordered(an_id("entry"), amount="0.013"))
    await desk.trade(an_id("theirs", SISTER), side="sell", amount=0.007)
    await desk.trade("web1", OTHER)
    await desk.rest(an_id("rests", SISTER))
    found = await desk.reconciler.once()
    assert found.unexplained == ()
    assert len({one.venue_order_id for one in found.sister_trades}) == 1
    assert len({one.venue_order_id for one in found.foreign_trades}) == 1
    assert [one.client_id for one in found.sister_orders] == [an_id("rests", SISTER)]
    assert ours.standing is Standing.ENDED
    assert ours.filled == Decimal("0.013")
    truth = await desk.rig.truth()
    (order,) = [one for one in truth["orders"] if one["client_id"] == ours.id]
    fills = [one.fill for one in desk.said if isinstance(one, Filled)]
    assert [(fill.id, fill.amount, fill.fee) for fill in fills] == [
        (str(one["id"]), Decimal(one["amount"]), Decimal(one["fee"])) for one in order["fills"]
    ]
    desk.remember()
    assert (await desk.reconciler.once()).unexplained == ()


async def test_transfers_are_recognised(binance: Desk) -> None:
    await binance.transfer("USDT", "123.45678901")
    await binance.transfer("BTC", "-0.5")
    found = await binance.reconciler.once()
    assert found.unexplained == ()
    assert [(one.currency, one.amount) for one in found.transfers] == [
        ("USDT", Decimal("123.45678901")),
        ("BTC", Decimal("-0.5")),
    ]
    assert (await binance.reconciler.once()).transfers == ()


async def test_a_deposit_that_no_list_tells_of_is_unexplained() -> None:
    async with a_desk("okx") as desk:
        await desk.transfer("USDT", "0.00000001")
        (words,) = (await desk.reconciler.once()).unexplained
        assert words.startswith("USDT: 0.00000001 more than orders explain; perhaps a deposit")


async def test_a_trade_on_a_symbol_that_is_not_watched_is_unexplained(desk: Desk) -> None:
    account, now = desk.rig.account, desk.rig.venue.venue.now
    narrow = Reconciler(account, desk.tracked, now, replace(RULES, symbols=(SYMBOL,)), memory=desk.reconciler.snapshot())
    await desk.trade("web1", OTHER)
    words = (await narrow.once()).unexplained
    assert [one.split(":")[0] for one in words] == ["ETH", "USDT"]
    assert (await desk.reconciler.once()).explained


@pytest.mark.parametrize("when", list(When))
async def test_a_lost_answer_is_resolved(desk: Desk, when: When) -> None:
    path, method = CREATE[desk.rig.dialect]
    desk.inject(Dropped(when=when, path=path, method=method))
    request = desk.rig.resting(an_id("entry"))
    tracked = await desk.send(replace(request, created=desk.rig.venue.venue.now()))
    assert [type(one) for one in desk.said] == [OrderUnknown]
    async with asyncio.timeout(20):
        while not (found := await desk.reconciler.once()).resolved:
            assert found.explained
            await asyncio.sleep(0.02)
    assert found.resolved == (request.id,)
    lived = when is not When.BEFORE
    assert tracked.standing is (Standing.LIVE if lived else Standing.ENDED)
    assert isinstance(desk.said[-1], OrderAccepted if lived else OrderRefused)


async def test_an_order_or_a_balance_missing_from_one_answer_halts_and_loses_nothing(desk: Desk) -> None:
    resting = await desk.send(desk.rig.resting(an_id("entry")))
    await desk.send(ordered(an_id("market")))
    await desk.reconciler.once()
    await asyncio.sleep(RULES.grace_ms / 1000)
    for faults in (
        [Omitted(Thing.ORDER, resting.id)],
        [Omitted(Thing.ORDER, resting.id, count=2)],
        [Omitted(Thing.BALANCE, "BTC")],
        [Omitted(Thing.BALANCE, "USDT"), Omitted(Thing.ORDER, resting.id)],
    ):
        desk.inject(*faults)
        found = await desk.reconciler.once()
        assert found.unexplained == ()
        assert resting.standing is Standing.LIVE
    assert len([one for one in desk.said if isinstance(one, Filled)]) == 1


async def test_a_trade_missing_from_one_answer_is_found_all_the_same(desk: Desk) -> None:
    await desk.trade("web1")
    trade = (await desk.rig.truth())["orders"][-1]["fills"][-1]["id"]
    desk.inject(Omitted(Thing.TRADE, str(trade)))
    found = await desk.reconciler.once()
    assert found.unexplained == ()
    assert str(trade) in {one.id for one in found.foreign_trades}


async def test_an_answer_that_nobody_can_read_is_no_picture(binance: Desk) -> None:
    await binance.send(binance.rig.resting(an_id("entry")))
    for path in ("/api/v3/openOrders", "/api/v3/account", "/api/v3/myTrades"):
        binance.inject(Garbled(path=path, method="GET"))
        with pytest.raises(ReconcileFailed):
            await binance.reconciler.once()
    assert (await binance.reconciler.once()).explained


async def test_a_ghost_is_cancelled_at_the_venue(desk: Desk) -> None:
    ghost = await desk.send(desk.rig.resting(an_id("entry")))
    desk.tracked.lost(ghost.id, "by mistake")
    assert (await desk.reconciler.once()).ghosts == (ghost.id,)
    assert await desk.rig.live_ids() == []


async def test_a_stray_is_left_alone_and_a_strangers_order_too(desk: Desk) -> None:
    stray = an_id("whose?")
    await desk.rest(stray)
    await desk.rest("web2")
    found = await desk.reconciler.once()
    assert len(found.unexplained) == 1
    assert stray in found.unexplained[0]
    assert [one.client_id for one in found.foreign_orders] == ["web2"]
    assert sorted(await desk.rig.live_ids()) == [stray, "web2"]


async def test_an_order_that_filled_unheard_is_in_the_books_after_a_pass(desk: Desk) -> None:
    tracked = await desk.send(desk.rig.resting(an_id("entry"), Side.SELL, 1.5))
    factor = float(tracked.request.price or 0) / desk.rig.venue.venue.quote(SYMBOL).mid * 1.01
    desk.inject(Shock(SYMBOL, factor))
    async with asyncio.timeout(10):
        while tracked.standing is not Standing.ENDED:
            await asyncio.sleep(0.05)
            assert (await desk.reconciler.once()).explained
    assert tracked.filled == tracked.request.amount
