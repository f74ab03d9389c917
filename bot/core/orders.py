"""Orders as the desk knows them: what was asked, and how far it has come.

An `OrderRequest` never changes: it is what the journal stores before the venue hears of it. An `Order` is that request and its
progress. States only move forward; fills are idempotent by venue trade id; updates may come late, twice or out of order and leave
the same books.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum

from bot.core.decision import Tier, derive_id
from bot.core.market import Side
from bot.core.values import value

ZERO = Decimal(0)


class OrderType(StrEnum):
    """How an order meets the market."""

    MARKET = "market"
    LIMIT = "limit"
    STOP = "stop"
    STOP_LIMIT = "stop-limit"


class TimeInForce(StrEnum):
    """How long an order may rest."""

    GTC = "gtc"
    IOC = "ioc"
    FOK = "fok"


class OrderState(StrEnum):
    """Life of an order: intent, sent, open, then one of the terminal states. Unknown is not terminal: the venue must be asked."""

    INTENT = "intent"
    SENT = "sent"
    OPEN = "open"
    UNKNOWN = "unknown"
    FILLED = "filled"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    REJECTED = "rejected"

    @property
    def terminal(self) -> bool:
        """Whether nothing more can happen to the order."""
        return self in _TERMINAL


_TERMINAL = frozenset({OrderState.FILLED, OrderState.CANCELLED, OrderState.EXPIRED, OrderState.REJECTED})


class Leg(StrEnum):
    """What part of a trade an order plays."""

    ENTRY = "entry"
    EXIT = "exit"
    STOP_LOSS = "stop-loss"
    TAKE_PROFIT = "take-profit"
    TRAILING_STOP = "trailing-stop"
    FLATTEN = "flatten"

    @property
    def protective(self) -> bool:
        """Whether protection, not a decision, asked for it."""
        return self in {Leg.STOP_LOSS, Leg.TAKE_PROFIT, Leg.TRAILING_STOP}


OPINIONS = (Leg.ENTRY, Leg.EXIT)
"""Legs that a decision asked for; all others act whatever is decided."""


def client_order_id(prefix: str, account: str, bot: str, cause: str, leg: str, attempt: int) -> str:
    """At most 28 lower-case letters and digits: the bot's prefix (at most 4) and a hash of what caused the order."""
    return prefix[:4] + derive_id(account, bot, cause, leg, attempt, length=24)


@value
class OrderRequest:
    """What the desk asks of a venue.

    `cause` is what made it (a decision, a protection, a command) and with `leg` and `attempt` gives the id. `price` limits,
    `trigger` arms a stop, both in quote currency. `reference` is the price the desk saw, against which slippage is measured;
    for a protective leg it is the level that was hit.
    """

    id: str
    symbol: str
    side: Side
    type: OrderType
    amount: Decimal
    leg: Leg
    cause: str
    attempt: int
    source: str
    tier: Tier
    confidence: float
    reference: float
    created: int
    price: Decimal | None = None
    trigger: Decimal | None = None
    time_in_force: TimeInForce = TimeInForce.GTC
    post_only: bool = False
    reduce_only: bool = False
    decision_id: str | None = None

    @property
    def guards(self) -> bool:
        """Whether it rests at the venue to guard a position: only protection asks for stops, and for limits at a target."""
        return self.trigger is not None or (self.price is not None and self.leg.protective)


@value
class Fill:
    """A part of an order that traded. `id` is the venue's trade id; `evidence` cites the quote, trade or candle that made it."""

    id: str
    order_id: str
    symbol: str
    side: Side
    amount: Decimal
    price: Decimal
    fee: Decimal
    fee_currency: str
    ts: int
    maker: bool = False
    evidence: str = ""


@dataclass(slots=True)
class Order:
    """A request and its progress.

    `cost` is the sum of price times amount over the fills. `closing` is how the venue ended the order when fills it `reported`
    have not arrived yet.
    """

    request: OrderRequest
    state: OrderState = OrderState.INTENT
    venue_id: str | None = None
    filled: Decimal = ZERO
    cost: Decimal = ZERO
    updated: int = 0
    reason: str = ""
    cancelling: bool = False
    reported: Decimal = ZERO
    closing: OrderState | None = None
    fill_ids: dict[str, None] = field(default_factory=dict)

    @property
    def remaining(self) -> Decimal:
        """What may still trade; zero once the order is terminal."""
        return ZERO if self.state.terminal else self.request.amount - self.filled

    @property
    def average(self) -> Decimal | None:
        """Mean price of the fills, None before the first."""
        return self.cost / self.filled if self.filled else None
