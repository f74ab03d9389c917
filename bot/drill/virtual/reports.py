"""Between the words of execution and those of the simulator's matching engine."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from bot.core.orders import ZERO, Leg, OrderRequest, OrderType, TimeInForce
from execution.account import OrderReport, ReportStatus, TradeReport
from simulators.exchange.orders import Fill, Kind, Status, Ticket, VenueOrder
from simulators.exchange.orders import TimeInForce as VenueTif

_STATUS = {
    Status.NEW: ReportStatus.OPEN,
    Status.PARTIALLY_FILLED: ReportStatus.OPEN,
    Status.FILLED: ReportStatus.FILLED,
    Status.CANCELED: ReportStatus.CANCELLED,
    Status.EXPIRED: ReportStatus.EXPIRED,
    Status.REJECTED: ReportStatus.REJECTED,
}


def ticket_of(request: OrderRequest) -> Ticket:
    """An order as the venue takes it."""
    return Ticket(
        request.symbol,
        request.side,
        _kind(request),
        request.amount,
        price=request.price or ZERO,
        stop=request.trigger or ZERO,
        tif=_TIF[request.time_in_force],
        client_id=request.id,
    )


def report_of(order: VenueOrder, fills: Sequence[Fill] = ()) -> OrderReport:
    """An order as the venue tells it, with these trades."""
    return OrderReport(
        str(order.id),
        order.client_id,
        order.symbol,
        _STATUS[order.status],
        order.updated,
        order.ticket.side,
        order.amount,
        order.filled,
        _average(order),
        order.ticket.stop or None,
        tuple(trade_of(fill, order.client_id) for fill in fills),
    )


def bare(order: VenueOrder) -> OrderReport:
    """An order as a venue tells it that answers with ids alone."""
    return OrderReport(str(order.id), order.client_id, order.symbol, ReportStatus.UNSAID, order.updated)


def trade_of(fill: Fill, client_id: str | None) -> TradeReport:
    """A trade as the venue tells it."""
    return TradeReport(
        str(fill.id),
        str(fill.order_id),
        fill.symbol,
        fill.side,
        fill.amount,
        fill.price,
        fill.fee,
        fill.fee_asset,
        fill.ts,
        fill.maker,
        client_id,
    )


_TIF = {TimeInForce.GTC: VenueTif.GTC, TimeInForce.IOC: VenueTif.IOC, TimeInForce.FOK: VenueTif.FOK}


def _kind(request: OrderRequest) -> Kind:
    profit = request.leg is Leg.TAKE_PROFIT
    match request.type:
        case OrderType.MARKET:
            return Kind.MARKET
        case OrderType.LIMIT:
            return Kind.LIMIT_MAKER if request.post_only else Kind.LIMIT
        case OrderType.STOP:
            return Kind.TAKE_PROFIT if profit else Kind.STOP_LOSS
        case OrderType.STOP_LIMIT:
            return Kind.TAKE_PROFIT_LIMIT if profit else Kind.STOP_LOSS_LIMIT


def _average(order: VenueOrder) -> Decimal | None:
    if order.filled:
        return order.cost / order.filled
    return order.limit
