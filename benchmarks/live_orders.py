"""Orders as the desk would ask for them, for the items that need no desk."""

from __future__ import annotations

import time
from decimal import Decimal

from bot.core.decision import Tier
from bot.core.market import Side
from bot.core.orders import Leg, OrderRequest, OrderType, client_order_id

PREFIX = "arb"


def an_order(symbol: str, cause: str, amount: Decimal, price: Decimal | None, reference: float) -> OrderRequest:
    """To buy, at once or (with a `price`) at that price; what it is called follows from its cause."""
    kind = OrderType.MARKET if price is None else OrderType.LIMIT
    name = client_order_id(PREFIX, "bench", "bench", cause, Leg.ENTRY, 0)
    made = time.time_ns() // 1_000_000
    return OrderRequest(
        name, symbol, Side.BUY, kind, amount, Leg.ENTRY, cause, 0, "rules:bench", Tier.TRADITIONAL, 0.7, reference, made, price
    )
