"""An order as ccxt is to send it, or why it is not sent at all.

Amounts and prices come shaped and leave as they came: one that ccxt would round, or that is under the venue's minimums, stays
here.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from enum import StrEnum
from typing import Any

from bot.core.market import Side
from bot.core.orders import OrderRequest, OrderType, TimeInForce
from bot.core.values import value
from execution.account import NotSent
from execution.ccxt_outcome import reason_of

OKX = frozenset({"okx", "okxus", "myokx"})
BINANCE = frozenset({"binance", "binanceus"})
STOP_ROOM = Decimal("0.05")
"""How far beyond its trigger a stop may trade, as a fraction, where the venue has stop-limit orders alone."""


class Native(StrEnum):
    """What a venue keeps and triggers itself, or does in one step."""

    STOP = "stop"
    STOP_LIMIT = "stop-limit"
    TAKE_PROFIT = "take-profit"
    OCO = "oco"
    CANCEL_REPLACE = "cancel-replace"


@value
class Shaped:
    """The arguments of ccxt's `create_order`; `params` holds the rest."""

    symbol: str
    type: str
    side: str
    amount: str
    price: str | None
    params: Mapping[str, object]


def shaped(exchange: Any, request: OrderRequest) -> Shaped:
    """How ccxt is to be asked for an order. Raises `NotSent` for one the venue would not take."""
    market = exchange.markets.get(request.symbol) if exchange.markets else None
    if market is None:
        message = f"{exchange.id} has no {request.symbol}"
        raise NotSent(message)
    price, kind = request.price, "limit"
    if request.type in {OrderType.MARKET, OrderType.STOP}:
        price, kind = None, "market"
    if request.type is OrderType.STOP and Native.STOP not in natives(exchange, request.symbol):
        price, kind = _worst_price(exchange, request), "limit"
    _check(market, request, price)
    params = _params(exchange, market, request, kind)
    return Shaped(
        request.symbol,
        kind,
        request.side.value,
        _exact(exchange, request, "amount", request.amount),
        None if price is None else _exact(exchange, request, "price", price),
        params,
    )


def natives(exchange: Any, symbol: str) -> frozenset[Native]:
    """Which orders the venue watches over itself on a symbol."""
    market = exchange.markets.get(symbol) or {}
    if exchange.id in OKX:
        return frozenset({Native.STOP, Native.STOP_LIMIT, Native.TAKE_PROFIT})
    info = market.get("info") or {}
    if "orderTypes" in info:
        kinds = {
            "STOP_LOSS": Native.STOP, "STOP_LOSS_LIMIT": Native.STOP_LIMIT, "TAKE_PROFIT": Native.TAKE_PROFIT,
            "TAKE_PROFIT_LIMIT": Native.TAKE_PROFIT,
        }  # fmt: skip
        found = {kinds[name] for name in info["orderTypes"] if name in kinds}
        ours = exchange.id in BINANCE
        pairs = {Native.OCO} if ours and info.get("ocoAllowed") else set()
        swaps = {Native.CANCEL_REPLACE} if ours and info.get("cancelReplaceAllowed", True) else set()
        return frozenset(found | pairs | swaps)
    has = exchange.has
    named = {
        Native.STOP: "createStopLossOrder",
        Native.STOP_LIMIT: "createStopLimitOrder",
        Native.TAKE_PROFIT: "createTakeProfitOrder",
    }
    return frozenset(native for native, method in named.items() if has.get(method))


def is_algo(exchange: Any, request: OrderRequest) -> bool:
    """Whether the venue keeps this order apart from the others."""
    return exchange.id in OKX and request.trigger is not None


def _params(exchange: Any, market: Mapping[str, Any], request: OrderRequest, kind: str) -> dict[str, object]:
    params: dict[str, object] = {"clientOrderId": request.id}
    if request.trigger is not None:
        params["stopLossPrice"] = _exact(exchange, request, "price", request.trigger)
    if request.post_only:
        params["postOnly"] = True
    elif kind == "limit" and (request.time_in_force is not TimeInForce.GTC or exchange.id not in OKX):
        params["timeInForce"] = request.time_in_force.value.upper()
    if market.get("contract") and request.reduce_only:
        params["reduceOnly"] = True
    if exchange.id in OKX:
        params["tdMode"] = "cash"
        if request.trigger is not None:
            params["algoClOrdId"] = request.id
    if kind == "market" and request.side is Side.BUY and exchange.options.get("createMarketBuyOrderRequiresPrice"):
        cost = request.amount * Decimal(str(request.reference))
        params |= {"createMarketBuyOrderRequiresPrice": False, "cost": exchange.cost_to_precision(request.symbol, float(cost))}
    return params


def _worst_price(exchange: Any, request: OrderRequest) -> Decimal:
    """The limit of a stop on a venue that has no other: far enough that it trades, near enough to be taken."""
    if request.trigger is None or Native.STOP_LIMIT not in natives(exchange, request.symbol):
        message = f"{exchange.id} has no stop orders for {request.symbol}"
        raise NotSent(message)
    room = 1 + STOP_ROOM * request.side.sign
    return Decimal(exchange.price_to_precision(request.symbol, format(request.trigger * room, "f")))


def _check(market: Mapping[str, Any], request: OrderRequest, price: Decimal | None) -> None:
    """Raises `NotSent` for what the venue's minimums and maximums forbid."""
    if request.type in {OrderType.STOP, OrderType.STOP_LIMIT} and request.trigger is None:
        raise NotSent(f"a {request.type} order needs a trigger")
    limits = market.get("limits") or {}
    least, most = _limit(limits, "amount", "min"), _limit(limits, "amount", "max")
    if price is None and request.trigger is None:
        most = min((one for one in (most, _limit(limits, "market", "max")) if one), default=None)
    if least is not None and request.amount < least:
        message = f"amount {request.amount} of {request.symbol} is under the venue's minimum {least}"
        raise NotSent(message)
    if most and request.amount > most:
        message = f"amount {request.amount} of {request.symbol} is over the venue's maximum {most}"
        raise NotSent(message)
    worth = price or request.trigger or Decimal(str(request.reference))
    floor = _limit(limits, "cost", "min")
    if floor is not None and worth > 0 and request.amount * worth < floor:
        message = f"{request.amount} {request.symbol} is worth less than the venue's minimum {floor}"
        raise NotSent(message)


def _limit(limits: Mapping[str, Any], what: str, end: str) -> Decimal | None:
    found = (limits.get(what) or {}).get(end)
    return None if found is None else Decimal(str(found))


def _exact(exchange: Any, request: OrderRequest, what: str, number: Decimal) -> str:
    """The venue's own text for a number. Raises `NotSent` where that would be another number."""
    plain = format(number, "f")
    try:
        text: str = getattr(exchange, f"{what}_to_precision")(request.symbol, plain)
    except Exception as error:  # noqa: BLE001 - whatever ccxt dislikes about a shape, nothing was sent; the caller counts it
        raise NotSent(reason_of(error)) from None
    if Decimal(text) != number:
        message = f"{what} {plain} of {request.symbol} is not a multiple of the venue's step (nearest {text})"
        raise NotSent(message)
    return text
