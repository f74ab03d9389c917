"""The paper venue's memory as plain JSON values, so that a restarted run finds its orders and balances where it left them.

Money is written as text and infinity as null; nothing is rounded. A state that does not fit raises `PaperStateError`, before
anything of it is believed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import fields
from decimal import Decimal
from enum import Enum
from typing import Any

from bot.core.decision import Tier
from bot.core.market import Candle, Quote, Side
from bot.core.orders import Leg, OrderRequest, OrderType, TimeInForce
from execution.paper_account import PaperAccount
from execution.paper_book import PaperBook, PaperOrder

VERSION = 1

Json = dict[str, Any]
"""One JSON object at the edge where it is parsed."""

Row = list[Any]
"""One JSON array at the edge where it is parsed."""


class PaperStateError(ValueError):
    """A snapshot is not one of this paper broker."""


def plain(value: object) -> Any:
    """A field of an order as JSON has it."""
    if isinstance(value, Decimal):
        return str(value)
    return value.value if isinstance(value, Enum) else value


def _optional(value: str | None) -> Decimal | None:
    return None if value is None else Decimal(value)


def request_to_json(request: OrderRequest) -> Json:
    """Every field of a request."""
    return {field.name: plain(getattr(request, field.name)) for field in fields(request)}


def request_from_json(state: Json) -> OrderRequest:
    """The request again; `KeyError`, `TypeError` or `ValueError` if it is not one."""
    return OrderRequest(
        **{
            **state,
            "side": Side(state["side"]),
            "type": OrderType(state["type"]),
            "amount": Decimal(state["amount"]),
            "leg": Leg(state["leg"]),
            "tier": Tier(state["tier"]),
            "price": _optional(state["price"]),
            "trigger": _optional(state["trigger"]),
            "time_in_force": TimeInForce(state["time_in_force"]),
        }
    )


def order_to_json(order: PaperOrder) -> Json:
    """An accepted order and its progress."""
    paired = {} if order.partner is None else {"partner": order.partner}
    return {
        **paired,
        "request": request_to_json(order.request),
        "arrived": order.arrived,
        "triggered": order.request.trigger is not None and order.trigger is None,
        "filled": str(order.filled),
        "fills": order.fills,
        "reserved": str(order.reserved),
        "ahead": None if order.ahead == math.inf else order.ahead,
        "met": order.met,
    }


def order_from_json(state: Json) -> PaperOrder:
    """The order again."""
    order = PaperOrder.of(request_from_json(state["request"]), int(state["arrived"]))
    if state["triggered"]:
        order.trigger = None
    order.filled = Decimal(state["filled"])
    order.fills = int(state["fills"])
    order.reserved = Decimal(state["reserved"])
    order.ahead = math.inf if state["ahead"] is None else float(state["ahead"])
    order.met = bool(state["met"])
    order.partner = state.get("partner")
    return order


def _market_to_json(market: Quote | Candle | None) -> Row | None:
    if market is None:
        return None
    values = [getattr(market, field.name) for field in fields(market)]
    return [None if isinstance(value, float) and not math.isfinite(value) else value for value in values]


def _quote_from_json(state: Row | None) -> Quote | None:
    if state is None:
        return None
    # A size that was no number is unknown either way.
    values: Row = [0.0 if value is None else value for value in state]
    return Quote(*values)


def book_to_json(book: PaperBook) -> Json:
    """A symbol's market and its orders."""
    return {
        "quote": _market_to_json(book.quote),
        "candle": _market_to_json(book.candle),
        "taken_bid": book.taken(Side.SELL),
        "taken_ask": book.taken(Side.BUY),
        "orders": [order_to_json(order) for order in book.resting.values()],
    }


def book_from_json(state: Json) -> PaperBook:
    """The book again."""
    quote = _quote_from_json(state["quote"])
    candle = None if state["candle"] is None else Candle(*state["candle"])
    orders = [order_from_json(order) for order in state["orders"]]
    return PaperBook(
        quote=quote,
        candle=candle,
        taken_of=quote,
        taken_bid=float(state["taken_bid"]),
        taken_ask=float(state["taken_ask"]),
        resting={order.request.id: order for order in orders},
    )


def account_to_json(account: PaperAccount) -> Json:
    """Free and locked balances."""
    return {"spot": account.spot, "free": _texts(account.free), "locked": _texts(account.locked)}


def account_from_json(state: Json) -> PaperAccount:
    """The account again."""
    return PaperAccount(_amounts(state["free"].items()), _amounts(state["locked"].items()), bool(state["spot"]))


def _texts(amounts: Mapping[str, Decimal]) -> dict[str, str]:
    return {name: str(amount) for name, amount in amounts.items()}


def _amounts(texts: Iterable[tuple[str, str]]) -> dict[str, Decimal]:
    return {name: Decimal(amount) for name, amount in texts}
