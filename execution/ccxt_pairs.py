"""A stop and a target of which one cancels the other, in one request and in Binance's words: ccxt has none.

Each of the two carries a client id of ours, so that from the answer on it is an order like any other.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bot.core.market import Side
from bot.core.orders import OrderRequest, OrderType, TimeInForce
from execution.account import NotSent
from execution.ccxt_orders import Native, natives, shaped
from execution.ccxt_outcome import Unreadable


def paired(exchange: Any, stop: OrderRequest, target: OrderRequest) -> dict[str, object]:
    """How the venue is to be asked for a pair. Raises `NotSent` where it has none, and for one it would not take."""
    if Native.OCO not in natives(exchange, stop.symbol):
        message = f"{exchange.id} has no {Native.OCO} for {stop.symbol}"
        raise NotSent(message)
    if (stop.symbol, stop.side, stop.amount) != (target.symbol, target.side, target.amount):
        message = "a stop and its target need the same symbol, side and amount"
        raise NotSent(message)
    limit, rest = shaped(exchange, target), shaped(exchange, stop)
    stop_words = {"Type": "STOP_LOSS", "StopPrice": rest.params["stopLossPrice"], "ClientOrderId": stop.id}
    if rest.price is not None:
        stop_words |= {"Type": "STOP_LOSS_LIMIT", "Price": rest.price, "TimeInForce": stop.time_in_force.value.upper()}
    target_words = {"ClientOrderId": target.id, **_target_words(exchange, target, limit.price)}
    # Which of the two is above the market depends on the side.
    above, below = (target_words, stop_words) if stop.side is Side.SELL else (stop_words, target_words)
    return {
        "symbol": exchange.market_id(stop.symbol),
        "side": stop.side.value.upper(),
        "quantity": rest.amount,
        "newOrderRespType": "RESULT",
        **{f"above{name}": word for name, word in above.items()},
        **{f"below{name}": word for name, word in below.items()},
    }


def halves(answer: object, stop: OrderRequest, target: OrderRequest) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """What the answer holds of either order; `Unreadable` unless it holds both."""
    rows = answer.get("orderReports") or () if isinstance(answer, dict) else ()
    found = {row.get("clientOrderId"): row for row in rows}
    if stop.id not in found or target.id not in found:
        message = "the answer holds no pair of orders"
        raise Unreadable(message)
    return found[stop.id], found[target.id]


def _target_words(exchange: Any, target: OrderRequest, price: str | None) -> dict[str, object]:
    """A target rests as a limit, or waits for its trigger and then takes the market."""
    if target.type is OrderType.LIMIT and target.time_in_force is TimeInForce.GTC:
        return {"Type": "LIMIT_MAKER", "Price": price}
    if target.trigger is None:
        message = "a target is a limit order, or one with a trigger"
        raise NotSent(message)
    return {"Type": "TAKE_PROFIT", "StopPrice": exchange.price_to_precision(target.symbol, format(target.trigger, "f"))}
