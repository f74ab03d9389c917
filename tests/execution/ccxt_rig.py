"""An account of the exchange simulator behind real ccxt, and someone who writes down what its stream says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from random import Random
from typing import Any

import aiohttp

from bot.core.decision import Tier
from bot.core.market import Side
from bot.core.orders import Leg, OrderRequest, OrderType, TimeInForce
from bot.market.ccxt_venue import CcxtVenue, VenueConfig
from execution.account import OrderReport, TradeReport
from execution.budget import Budget
from execution.ccxt_account import AccountConfig, CcxtAccount
from execution.ccxt_follow import StreamConfig
from execution.ccxt_stream import trading
from simulators.exchange.audit import Opening
from simulators.exchange.server import ExchangeSimulator

SYMBOL = "BTC/USDT"
OTHER = "ETH/USDT"
PATIENCE = 20.0
RICH = Opening("key", "secret", "phrase", {"USDT": Decimal(100_000), "BTC": Decimal(2)}, may_withdraw=True)
QUICK = StreamConfig(first_pause=0.02, longest_pause=0.1, settle=0.1)
CREATE = {"binance": ("/api/v3/order", "POST"), "okx": ("/api/v5/trade/batch-orders", "POST")}
DIALECTS = ("binance", "okx")


@dataclass
class Rig:
    """A simulator and the account of its one customer."""

    dialect: str
    venue: ExchangeSimulator
    account: CcxtAccount

    def price(self, factor: float, symbol: str = SYMBOL) -> Decimal:
        """A price so far from the market."""
        return Decimal(str(round(self.venue.venue.quote(symbol).mid * factor, 2)))

    def resting(self, order_id: str, side: Side = Side.BUY, factor: float = 0.9, amount: str = "0.01") -> OrderRequest:
        """A limit order far from the market."""
        return ordered(order_id, side, OrderType.LIMIT, amount, price=self.price(factor))

    async def truth(self) -> dict[str, Any]:
        """What the venue knows."""
        async with aiohttp.ClientSession() as session, session.get(f"{self.venue.url}/admin/accounts/key") as answer:
            assert answer.status == 200
            found: dict[str, Any] = await answer.json()
            return found

    async def live_ids(self) -> list[str]:
        """Client ids of the orders that live."""
        return [one["client_id"] for one in (await self.truth())["orders"] if one["status"] in ("NEW", "PARTIALLY_FILLED")]


def ordered(
    order_id: str,
    side: Side = Side.BUY,
    kind: OrderType = OrderType.MARKET,
    amount: str = "0.01",
    *,
    price: Decimal | None = None,
    trigger: Decimal | None = None,
    tif: TimeInForce = TimeInForce.GTC,
    post_only: bool = False,
    leg: Leg = Leg.ENTRY,
    symbol: str = SYMBOL,
) -> OrderRequest:
    """A request of the desk."""
    return OrderRequest(
        order_id, symbol, side, kind, Decimal(amount), leg, "cause", 1, "rules:test", Tier.TRADITIONAL, 0.5, 50_000.0, 0,
        price, trigger, tif, post_only,
    )  # fmt: skip


@asynccontextmanager
async def rig(
    dialect: str, budget: Budget | None = None, config: AccountConfig | None = None, order_limit: int = 100
) -> AsyncIterator[Rig]:
    """A simulator with one account, and that account through ccxt, with the product's own timeouts unless told otherwise."""
    async with ExchangeSimulator(
        seed=7, symbols=[SYMBOL, OTHER], accounts=[RICH], history=60, order_limit=order_limit
    ) as simulator:
        settings = simulator.ccxt_config("key") if dialect == "binance" else simulator.okx_config("key")
        if dialect == "okx":
            settings["has"] = {"fetchCurrencies": False}
        opened = await CcxtVenue.open(VenueConfig(dialect, settings, clock_samples=1), derive=trading)
        account = CcxtAccount(opened.exchange, budget, config or AccountConfig(stream=QUICK), Random(1))
        try:
            yield Rig(dialect, simulator, account)
        finally:
            await account.close()


@dataclass
class Notes:
    """An `AccountSink` that writes down what it is told."""

    orders: list[OrderReport] = field(default_factory=list)
    trades: list[TradeReport] = field(default_factory=list)
    connected: int = 0
    lost: list[str] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def on_order(self, report: OrderReport) -> None:
        self.orders.append(report)
        self.news.set()

    def on_trade(self, report: TradeReport) -> None:
        self.trades.append(report)
        self.news.set()

    def on_connected(self) -> None:
        self.connected += 1
        self.news.set()

    def on_lost(self, reason: str) -> None:
        self.lost.append(reason)
        self.news.set()

    async def until(self, wanted: Callable[[], bool]) -> None:
        """Wait until something is so; a timeout says what was told instead."""
        try:
            async with asyncio.timeout(PATIENCE):
                while not wanted():
                    self.news.clear()
                    await self.news.wait()
        except TimeoutError:
            message = f"not so within {PATIENCE} s; told: {self}"
            raise AssertionError(message) from None

    def of(self, client_id: str) -> list[OrderReport]:
        """What was said of one order."""
        return [report for report in self.orders if report.client_id == client_id]


@asynccontextmanager
async def following(account: CcxtAccount) -> AsyncIterator[Notes]:
    """Someone who follows the account's stream, from its first connection on."""
    notes = Notes()
    task = asyncio.create_task(account.follow(notes))
    try:
        await notes.until(lambda: notes.connected > 0)
        yield notes
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
