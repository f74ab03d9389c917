"""Matching against closed candles, as a backtest sees the market.

A candle that began before an order arrived says nothing about it. A market order trades at the next candle's open or, where
the world is told so, at the close it was decided on. Stops come before limits within one candle; a stop that the open has
jumped pays the open; a resting limit trades at its own price and only when the candle goes beyond it. A taker pays half the
hidden spread and slippage on top. Protection decided by the desk while it looks at a candle trades within that candle, at the
level it names.
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum

from bot.core.inputs import Closing
from bot.core.market import Candle, Side, timeframe_ms
from bot.core.matching import candle_market_price, protective_exit_price, traded_through, triggered_by_candle
from bot.core.orders import Leg, OrderType, TimeInForce
from execution.paper_book import PaperBook, PaperOrder
from execution.paper_clearing import Clearing
from execution.paper_quotes import bounded

OPEN_GRACE_MS = 1_000
"""An order this late after a candle's open still meets that open (bounded by half the candle): settle windows and timers are
finer than candles, and waiting a whole candle for 250 ms would be the greater error."""


class FillOn(StrEnum):
    """Where a market order decided on a candle trades."""

    NEXT_OPEN = "next-open"
    SAME_CLOSE = "same-close"


_RANK = {OrderType.MARKET: 0, OrderType.STOP: 1, OrderType.STOP_LIMIT: 1, OrderType.LIMIT: 2}


def _rank(order: PaperOrder) -> int:
    return _RANK[order.request.type]


def refusal(order: PaperOrder, candle: Candle | None, fill_on: FillOn) -> str | None:
    """Why an order that must trade at once, or must not, cannot be taken after this candle; None if it can."""
    request = order.request
    if candle is None:
        at_once = fill_on is FillOn.SAME_CLOSE and request.type is OrderType.MARKET and not request.leg.protective
        return f"no candle of {request.symbol} yet" if at_once else None
    if request.post_only and order.limit is not None and _reaches(order.side, order.limit, candle.close):
        return f"post-only would take: last close {candle.close}"
    return None


def _reaches(side: Side, limit: float, price: float) -> bool:
    return price <= limit if side is Side.BUY else price >= limit


def is_within_bar(order: PaperOrder) -> bool:
    """Whether the desk asks for protection it saw hit within the candle it is looking at."""
    return order.request.leg.protective and order.request.type is OrderType.MARKET


def arrive(order: PaperOrder, candle: Candle | None, fill_on: FillOn, at: int, clearing: Clearing) -> None:
    """What an order does before the next candle: protection trades within the last, `same-close` at its close, the rest waits."""
    source = "no candle" if candle is None else f"candle {candle.timeframe} {candle.ts}"
    if is_within_bar(order):
        level = order.request.reference
        _take(order, level, at, at, f"{source} {order.request.leg} level {level}", clearing)
    elif fill_on is FillOn.SAME_CLOSE and candle is not None:
        _meet_price(order, candle.close, at, at, f"{source} close {candle.close}", clearing)


def match_candle(book: PaperBook, candle: Candle, clearing: Clearing) -> None:
    """Hold every resting order that was there when the candle began against its open, high and low."""
    orders = list(book.resting.values())
    if len(orders) > 1:
        orders.sort(key=_rank)
    grace = min(OPEN_GRACE_MS, timeframe_ms(candle.timeframe) // 2)
    for order in orders:
        if order.open and order.arrived <= candle.ts + grace:
            _meet_candle(order, candle, clearing)


def _meet_candle(order: PaperOrder, candle: Candle, clearing: Clearing) -> None:
    source = f"candle {candle.timeframe} {candle.ts}"
    opened = max(candle.ts, order.arrived)
    if order.trigger is not None:
        if not triggered_by_candle(order.side, order.trigger, candle):
            return
        level = protective_exit_price(order.trigger, candle.open, order.side, Leg.STOP_LOSS)
        order.trigger = None
        extreme = f"high {candle.high}" if order.side is Side.BUY else f"low {candle.low}"
        ts = opened if level == candle.open else candle.at
        _meet_price(order, level, ts, candle.at, f"{source} open {candle.open} {extreme}", clearing)
    elif order.limit is None:
        _take(order, candle.open, opened, candle.at, f"{source} open {candle.open}", clearing)
    else:
        if not order.met and not order.request.post_only:
            _meet_price(order, candle.open, opened, candle.at, f"{source} open {candle.open}", clearing)
        price = order.request.price
        if order.open and price is not None and traded_through(order.side, order.limit, candle):
            extreme = f"low {candle.low}" if order.side is Side.BUY else f"high {candle.high}"
            clearing.fill(order, order.remaining, price, candle.at, candle.at, f"{source} {extreme}", maker=True)


def _meet_price(order: PaperOrder, price: float, ts: int, at: int, evidence: str, clearing: Clearing) -> None:
    """An order meets one known price: it takes what it may, waits, or expires."""
    if order.trigger is not None:
        reached = price >= order.trigger if order.side is Side.BUY else price <= order.trigger
        if not reached:
            return
        order.trigger = None
    order.met = True
    if order.limit is None or (_reaches(order.side, order.limit, price) and not order.request.post_only):
        _take(order, price, ts, at, evidence, clearing)
    if order.open and order.request.time_in_force is not TimeInForce.GTC:
        clearing.close(order, Closing.EXPIRED, f"{order.request.time_in_force}: {evidence} did not reach it", at)


def _take(order: PaperOrder, seen: float, ts: int, at: int, evidence: str, clearing: Clearing) -> None:
    request = order.request
    price: Decimal = candle_market_price(order.side, seen, clearing.instruments[request.symbol], clearing.model)
    clearing.fill(order, order.remaining, bounded(order.side, price, request.price), ts, at, evidence)
