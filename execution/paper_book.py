"""What rests at the paper venue: an order and its progress, and for each symbol the market it last saw."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from decimal import Decimal

from bot.core.market import Candle, Quote, Side
from bot.core.orders import ZERO, OrderRequest, OrderType


@dataclass(slots=True)
class PaperOrder:
    """An accepted order.

    `arrived` is when the venue got it (ms); `limit` and `trigger` are the request's prices as floats, to compare with the market
    (`trigger` becomes None once it was reached); `ahead` is the base amount queued before it at its limit, infinite while
    unknown; `met` whether it has already been held against a market; `reserved` what its account still locks for it; `partner`
    the order that this one cancels when it trades or ends.
    """

    request: OrderRequest
    arrived: int
    limit: float | None = None
    trigger: float | None = None
    filled: Decimal = ZERO
    fills: int = 0
    reserved: Decimal = ZERO
    ahead: float = math.inf
    met: bool = False
    open: bool = True
    partner: str | None = None

    @classmethod
    def of(cls, request: OrderRequest, arrived: int) -> PaperOrder:
        """A new order as it reaches the venue."""
        return cls(
            request,
            arrived,
            None if request.price is None else float(request.price),
            None if request.trigger is None else float(request.trigger),
        )

    @property
    def side(self) -> Side:
        """Side of the request."""
        return self.request.side

    @property
    def remaining(self) -> Decimal:
        """What has not traded yet."""
        return self.request.amount - self.filled

    @property
    def takes_any_price(self) -> bool:
        """Whether it is a market order, or a stop that has become one."""
        return self.request.type is OrderType.MARKET or (self.request.type is OrderType.STOP and self.trigger is None)

    @property
    def venue_id(self) -> str:
        """The paper venue's own id of the order."""
        return f"paper-{self.request.id}"


@dataclass(slots=True)
class PaperBook:
    """One symbol: the newest quote and the one before it, or the newest candle, and our orders by arrival.

    `taken_bid` and `taken_ask` are what our takers already took of the displayed sizes of the quote `taken_of`.
    """

    quote: Quote | None = None
    previous: Quote | None = None
    candle: Candle | None = None
    taken_of: Quote | None = None
    taken_bid: float = 0.0
    taken_ask: float = 0.0
    resting: dict[str, PaperOrder] = field(default_factory=dict)

    @property
    def seen(self) -> int:
        """When the quote before the newest was learned of: later orders know nothing of the extremes in between."""
        return -1 if self.previous is None else self.previous.at

    def take(self, side: Side, size: float) -> None:
        """Remember that a taker of this side used up a displayed size of the newest quote."""
        if self.taken_of is not self.quote:
            self.taken_of, self.taken_bid, self.taken_ask = self.quote, 0.0, 0.0
        if side is Side.BUY:
            self.taken_ask += size
        else:
            self.taken_bid += size

    def taken(self, side: Side) -> float:
        """What takers of this side used up of the newest quote."""
        if self.taken_of is not self.quote:
            return 0.0
        return self.taken_ask if side is Side.BUY else self.taken_bid
