"""Small factories for orders at a venue, and the plainest desk: it only folds what it is told into an `Order`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from bot.core.decision import Tier
from bot.core.inputs import Closing, Filled, Input, OrderAccepted, OrderClosed, OrderRefused, OrderUnknown
from bot.core.market import Side
from bot.core.orders import ZERO, Leg, Order, OrderRequest, OrderState, OrderType
from execution.account import OrderReport, ReportStatus, TradeReport

SYMBOL = "BTC/USDT"
T0 = 1_700_000_000_000


def D(text: str | int) -> Decimal:  # noqa: N802 - reads as the literal that Python lacks
    return Decimal(text)


def request(order_id: str = "arb1", amount: str | Decimal = "1", **changes: Any) -> OrderRequest:
    """A limit order to buy."""
    made = OrderRequest(
        order_id,
        SYMBOL,
        Side.BUY,
        OrderType.LIMIT,
        Decimal(amount),
        Leg.ENTRY,
        "cause",
        1,
        "rules:test",
        Tier.TRADITIONAL,
        0.9,
        100.0,
        T0,
        price=D(100),
    )
    return replace(made, **changes)


def report(
    status: ReportStatus = ReportStatus.OPEN,
    filled: str | Decimal = "0",
    order_id: str | None = "arb1",
    venue_id: str = "v1",
    **changes: Any,
) -> OrderReport:
    return replace(OrderReport(venue_id, order_id, SYMBOL, status, T0, Side.BUY, filled=Decimal(filled)), **changes)


def trade(trade_id: str, amount: str | Decimal, order_id: str | None = None, venue_id: str = "v1", **changes: Any) -> TradeReport:
    made = TradeReport(trade_id, venue_id, SYMBOL, Side.BUY, Decimal(amount), D(100), D("0.001"), "USDT", T0, client_id=order_id)
    return replace(made, **changes)


def fills(said: Sequence[Input], order_id: str = "arb1") -> dict[str, Decimal]:
    """What was told of an order's fills, by id; told twice is an error."""
    told: dict[str, Decimal] = {}
    for one in said:
        if isinstance(one, Filled) and one.fill.order_id == order_id:
            assert one.fill.id not in told, f"{one.fill.id} told twice"
            told[one.fill.id] = one.fill.amount
    return told


def kinds(said: Sequence[Input]) -> list[str]:
    """The names of what was told, in order."""
    return [type(one).__name__ for one in said]


def fold(said: Sequence[Input], order: Order) -> Order:
    """The order as a desk has it after these inputs."""
    for one in said:
        if isinstance(one, OrderAccepted):
            order.venue_id, order.state = one.venue_id, order.state if order.state.terminal else OrderState.OPEN
        elif isinstance(one, OrderUnknown):
            order.state = OrderState.UNKNOWN
        elif isinstance(one, OrderRefused):
            order.state = OrderState.REJECTED
        elif isinstance(one, OrderClosed):
            order.reported = one.filled
            order.closing = OrderState.CANCELLED if one.how is Closing.CANCELLED else OrderState.EXPIRED
        elif isinstance(one, Filled):
            assert one.fill.id not in order.fill_ids
            order.fill_ids[one.fill.id] = None
            order.filled += one.fill.amount
        if order.filled >= order.request.amount:
            order.state = OrderState.FILLED
        elif order.closing is not None and order.filled >= order.reported:
            order.state = order.closing
    return order


def total(told: dict[str, Decimal]) -> Decimal:
    return sum(told.values(), ZERO)
