"""What the matching engine speaks of: rules of a symbol, tickets, orders, fills and refusals, in no venue's dialect.

Every quantity, price and fee is a `Decimal`; times are milliseconds UTC of the venue's clock.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import ROUND_DOWN, ROUND_UP, Decimal
from enum import StrEnum

from bot.core.market import Side

ZERO = Decimal(0)
SATOSHI = Decimal("0.00000001")
"""The smallest amount of any asset that is ever booked."""


def booked(amount: Decimal) -> Decimal:
    """An amount as it is booked: whole satoshis, towards zero."""
    return amount.quantize(SATOSHI, ROUND_DOWN)


def reserved(amount: Decimal) -> Decimal:
    """An amount as it is reserved: whole satoshis, away from zero, so that what is booked against it always fits."""
    return amount.quantize(SATOSHI, ROUND_UP)


class Kind(StrEnum):
    """Order types, in Binance's words."""

    LIMIT = "LIMIT"
    LIMIT_MAKER = "LIMIT_MAKER"
    MARKET = "MARKET"
    STOP_LOSS = "STOP_LOSS"
    STOP_LOSS_LIMIT = "STOP_LOSS_LIMIT"
    TAKE_PROFIT = "TAKE_PROFIT"
    TAKE_PROFIT_LIMIT = "TAKE_PROFIT_LIMIT"

    @property
    def waits(self) -> bool:
        """Whether it waits for a stop price before it works."""
        return self in (Kind.STOP_LOSS, Kind.STOP_LOSS_LIMIT, Kind.TAKE_PROFIT, Kind.TAKE_PROFIT_LIMIT)

    @property
    def limited(self) -> bool:
        """Whether it has a limit price."""
        return self not in (Kind.MARKET, Kind.STOP_LOSS, Kind.TAKE_PROFIT)

    @property
    def stops(self) -> bool:
        """Whether it triggers on an adverse price (a stop-loss), not on a favourable one."""
        return self in (Kind.STOP_LOSS, Kind.STOP_LOSS_LIMIT)


class TimeInForce(StrEnum):
    """How long an order works."""

    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"


class Status(StrEnum):
    """Where an order stands."""

    NEW = "NEW"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    EXPIRED = "EXPIRED"
    REJECTED = "REJECTED"

    @property
    def open(self) -> bool:
        """Whether more can happen to the order."""
        return self in (Status.NEW, Status.PARTIALLY_FILLED)


class Reason(StrEnum):
    """Why the venue refuses; each dialect has its own code for it."""

    PRICE_FILTER = "price filter"
    LOT_SIZE = "lot size"
    MARKET_LOT_SIZE = "market lot size"
    NOTIONAL = "notional"
    INSUFFICIENT = "insufficient balance"
    WOULD_TRIGGER = "would trigger immediately"
    WOULD_MATCH = "would match immediately"
    DUPLICATE = "duplicate client order id"
    CLOSED = "market closed"
    CANNOT_CANCEL = "nothing to cancel"
    NO_ORDER = "no such order"
    NO_LIST = "no such order list"
    BAD_LIST = "prices of the order list"
    TOO_MANY = "too many orders"
    MALFORMED = "malformed"


class OrderRefused(Exception):  # noqa: N818 - the venue's word
    """The engine does not do what was asked; nothing has changed."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(detail or reason.value)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Rules:
    """What a symbol's orders must keep to. `tradable` False: delisted, no order is taken."""

    symbol: str
    base: str
    quote: str
    price_step: Decimal
    amount_step: Decimal
    min_amount: Decimal
    min_cost: Decimal
    max_amount: Decimal = Decimal(900_000_000)
    max_cost: Decimal = Decimal(9_000_000)
    max_price: Decimal = Decimal(100_000_000)
    max_market_amount: Decimal = Decimal(900_000_000)
    tradable: bool = True

    def check_price(self, price: Decimal) -> None:
        """`OrderRefused` unless the price is positive and on the grid."""
        if not (ZERO < price <= self.max_price) or price % self.price_step:
            raise OrderRefused(Reason.PRICE_FILTER)

    def check_amount(self, amount: Decimal, market: bool) -> None:
        """`OrderRefused` unless the amount is within bounds and on the grid."""
        if not (self.min_amount <= amount <= self.max_amount) or amount % self.amount_step:
            raise OrderRefused(Reason.LOT_SIZE)
        if market and amount > self.max_market_amount:
            raise OrderRefused(Reason.MARKET_LOT_SIZE)

    def check_cost(self, cost: Decimal, market: bool) -> None:
        """`OrderRefused` unless the value is large enough, and for a limit order not too large."""
        if cost < self.min_cost or (not market and cost > self.max_cost):
            raise OrderRefused(Reason.NOTIONAL)


@dataclass(frozen=True, slots=True)
class Ticket:
    """A wish to trade. A market order has `amount` or `cost` (in quote currency); `client_id` empty: the venue makes one."""

    symbol: str
    side: Side
    kind: Kind
    amount: Decimal = ZERO
    cost: Decimal | None = None
    price: Decimal = ZERO
    stop: Decimal = ZERO
    tif: TimeInForce = TimeInForce.GTC
    client_id: str = ""
    crossing_cancels: bool = False
    """A LIMIT_MAKER that would match is taken and cancelled at once (OKX), not refused (Binance)."""


@dataclass(frozen=True, slots=True)
class Fill:
    """One execution of an order; `id` counts the venue's executions of the symbol from 1."""

    id: int
    symbol: str
    order_id: int
    list_id: int
    side: Side
    price: Decimal
    amount: Decimal
    cost: Decimal
    fee: Decimal
    fee_asset: str
    maker: bool
    ts: int


@dataclass(slots=True)
class Reserve:
    """What one order, or the two of a list together, keep locked of one asset."""

    asset: str
    amount: Decimal = ZERO


@dataclass(slots=True)
class VenueOrder:
    """An order as the venue keeps it. `ahead`: the queue before it; `amount` of a market order by cost: what its cost gets.

    `entered` is the market's time, `created` and `updated` are what the venue's clock, which may be wrong, read then.
    """

    id: int
    key: str
    ticket: Ticket
    client_id: str
    entered: int
    created: int
    updated: int
    amount: Decimal
    list_id: int = -1
    status: Status = Status.NEW
    working: bool = True
    filled: Decimal = ZERO
    cost: Decimal = ZERO
    ahead: Decimal = ZERO
    cancel_id: str = ""
    reserve: Reserve = field(default_factory=lambda: Reserve(""))
    fills: list[Fill] = field(default_factory=list)

    @property
    def symbol(self) -> str:
        """As ccxt names it."""
        return self.ticket.symbol

    @property
    def remaining(self) -> Decimal:
        """Not yet filled."""
        return self.amount - self.filled

    @property
    def limit(self) -> Decimal | None:
        """The worst price it may trade at, None without one."""
        return self.ticket.price if self.ticket.kind.limited else None

    def need(self) -> Decimal:
        """What it must keep locked: base to sell, quote (at its limit, else at its stop) to buy."""
        if not self.status.open:
            return ZERO
        if self.ticket.side is Side.SELL:
            return self.remaining
        if self.ticket.kind.limited:
            return reserved(self.remaining * self.ticket.price)
        need = reserved(self.remaining * self.ticket.stop)
        return min(need, self.reserve.amount) if self.working else need


@dataclass(slots=True)
class OrderList:
    """Two orders of which one cancels the other. `done`: neither is open any more."""

    id: int
    key: str
    symbol: str
    client_id: str
    created: int
    orders: tuple[VenueOrder, ...]
    done: bool = False
