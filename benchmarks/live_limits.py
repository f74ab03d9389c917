"""How long an order takes while market data waits for its turn: our one budget of several lanes, beside ccxt's own limiter.

Sixty candle requests wait. With us they wait because the share of the limit that market data may use is spent, as the venue's own
count says; the order asks the same budget, in a lane before theirs. One instance of ccxt serves whoever came first.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from decimal import Decimal
from time import perf_counter
from typing import Any

import ccxt.pro

from benchmarks.live_orders import an_order
from benchmarks.live_venue import LiveVenue, live_venue
from benchmarks.peering import Peers
from benchmarks.report import Effort, Goal, Result, spread_of
from benchmarks.rig import run_loop
from bot.market.ccxt_venue import CcxtVenue, VenueConfig
from execution.budget import BudgetRules, Lane, WindowBudget
from execution.ccxt_account import CcxtAccount
from execution.ccxt_stream import metered, minute_weight, set_budget, trading

ONE_INSTANCE = "one ccxt instance"
_WAITING = 60
_TURNS = 10
"""Of the loop, until a request that was begun has come to the limiter."""
_PATIENCE = 10.0


def limits(effort: Effort, peers: Peers) -> list[Result]:
    """Seconds from asking for an order to its answer."""
    del peers
    with live_venue(1) as venue:
        ours = [run_loop(_ours(venue)) for _ in range(effort.runs)]
        plain = statistics.median(run_loop(_one_instance(venue)) for _ in range(effort.runs))
    goals, reference, detail = (Goal(most=0.1),), {ONE_INSTANCE: plain}, {"waiting": _WAITING}
    figure = statistics.median(ours)
    return [Result("live-order-behind-data", figure, "s", goals, reference, len(ours), spread_of(ours), detail=detail)]


async def _ours(venue: LiveVenue) -> float:
    config = VenueConfig("binance", venue.ours, clock_samples=1)
    data = await CcxtVenue.open(config, derive=metered)
    account = await CcxtVenue.open(config, derive=trading)
    try:
        patience = {**BudgetRules().patience_ms, Lane.DATA: 2 * BudgetRules().window_ms}  # until the window has room again
        rules = BudgetRules(weight=minute_weight(account.exchange), patience_ms=patience)
        budget = WindowBudget(rules)
        set_budget(data.exchange, budget)
        trader = CcxtAccount(account.exchange, budget)
        buy = [an_order(venue.symbols[0], f"{time.time_ns()}", Decimal(1), None, 60_000.0) for _ in range(2)]
        await trader.create(buy[0])
        budget.observe(rules.capacity * rules.shares[Lane.DATA])
        return await _behind(
            lambda: data.exchange.fetch_ohlcv(venue.symbols[0], "1m"),
            lambda: trader.create(buy[1]),
            lambda: budget.stats.waiting[Lane.DATA],
        )
    finally:
        await data.close()
        await account.close()


async def _one_instance(venue: LiveVenue) -> float:
    exchange = ccxt.pro.binance({**venue.bare, "enableRateLimit": True})
    try:
        await exchange.load_markets()
        await exchange.create_order(venue.symbols[0], "market", "buy", 1.0)
        return await _behind(
            lambda: exchange.fetch_ohlcv(venue.symbols[0], "1m"),
            lambda: exchange.create_order(venue.symbols[0], "market", "buy", 1.0),
            lambda: len(exchange.throttler.queue),
        )
    finally:
        exchange.timeout_on_exit = 0
        await exchange.close()


async def _behind(ask: Callable[[], Awaitable[Any]], order: Callable[[], Awaitable[Any]], waiting: Callable[[], int]) -> float:
    """Seconds of the order, once so many requests wait in front of it."""
    requests: list[asyncio.Future[Any]] = []
    try:
        async with asyncio.timeout(_PATIENCE):
            while (missing := _WAITING - waiting()) > 0:  # some of the first may find room
                requests += [asyncio.ensure_future(ask()) for _ in range(missing)]
                for _ in range(_TURNS):
                    await asyncio.sleep(0)
            began = perf_counter()
            await order()
            return perf_counter() - began
    finally:
        for request in requests:
            request.cancel()
        await asyncio.gather(*requests, return_exceptions=True)
