"""What a mind proposes, and the one word for what became of it.

Whatever a source is, it can do three things: propose a `Decision`, `Claim` a symbol while it thinks, and abstain. Every decision
meets exactly one terminal `Fate`; a fate of `DENIED` names its `Denial`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import field
from decimal import Decimal
from enum import IntEnum, StrEnum

from bot.core.values import value


class Tier(IntEnum):
    """Priority class of a source; the smaller number wins."""

    QUANTCONNECT = 0
    LLM = 1
    TRADITIONAL = 2

    @property
    def label(self) -> str:
        """The tier's name in lower case, as configuration and messages write it."""
        return self.name.lower()


class Action(StrEnum):
    """What a decision asks for."""

    BUY = "buy"
    SELL = "sell"
    HOLD = "hold"


class Fate(StrEnum):
    """The terminal outcome of a decision."""

    EXECUTED = "executed"
    AGREED = "agreed"
    ALREADY_AT_TARGET = "already-at-target"
    NOTHING_TO_SELL = "nothing-to-sell"
    HELD = "held"
    OUTRANKED = "outranked"
    SUPERSEDED = "superseded"
    EXPIRED = "expired"
    BELOW_THRESHOLD = "below-threshold"
    STALE = "stale"
    DUPLICATE = "duplicate"
    QUEUE_OVERFLOW = "queue-overflow"
    DENIED = "denied"
    UNFILLED = "unfilled"
    CANCELLED = "cancelled"
    REJECTED_BY_VENUE = "rejected-by-venue"


class Denial(StrEnum):
    """Why risk or admission refused. `permanent` ends a winner's standing; the others are retried until expiry."""

    UNKNOWN_SOURCE = "unknown-source"
    SOURCE_PAUSED = "source-paused"
    MALFORMED = "malformed"
    SYMBOL_NOT_ALLOWED = "symbol-not-allowed"
    UNKNOWN_INSTRUMENT = "unknown-instrument"
    BELOW_MIN_COST = "below-min-cost"
    BELOW_MIN_AMOUNT = "below-min-amount"
    NO_CAPITAL = "no-capital"
    INSUFFICIENT_CASH = "insufficient-cash"
    MAX_POSITION = "max-position"
    MAX_EXPOSURE = "max-exposure"
    MAX_ORDER_NOTIONAL = "max-order-notional"
    MAX_OPEN_ORDERS = "max-open-orders"
    ORDER_RATE = "order-rate"
    DAILY_LOSS = "daily-loss"
    DRAWDOWN = "drawdown"
    LOSS_STREAK = "loss-streak"
    COOL_DOWN = "cool-down"
    PRICE_COLLAR = "price-collar"
    STALE_DATA = "stale-data"
    NO_PRICE = "no-price"
    REDUCING = "reducing"
    HALTED = "halted"
    SYMBOL_FROZEN = "symbol-frozen"
    BACKLOG = "backlog"
    UNRECONCILED = "unreconciled"
    INTENT_NOT_STORED = "intent-not-stored"
    NOT_SENT = "not-sent"

    @property
    def permanent(self) -> bool:
        """Whether waiting cannot help."""
        return self in _PERMANENT


_PERMANENT = frozenset(
    {
        Denial.UNKNOWN_SOURCE,
        Denial.SOURCE_PAUSED,
        Denial.MALFORMED,
        Denial.SYMBOL_NOT_ALLOWED,
        Denial.UNKNOWN_INSTRUMENT,
        Denial.BELOW_MIN_COST,
        Denial.BELOW_MIN_AMOUNT,
        Denial.NO_CAPITAL,
        Denial.INSUFFICIENT_CASH,
        Denial.MAX_POSITION,
        Denial.MAX_EXPOSURE,
        Denial.MAX_ORDER_NOTIONAL,
    }
)

Evidence = Mapping[str, str | float | int | bool | None]


def derive_id(*parts: object, length: int = 26) -> str:
    """An id that is derived, not drawn: the same parts always give the same `length` (at most 28) letters and digits."""
    text = "\x1f".join(map(str, parts)).encode()
    return hashlib.sha256(text).hexdigest()[: min(length, 28)]


@value
class Decision:
    """One proposal of one source for one symbol.

    `confidence` (0..1) is the one that counts: the raw one after calibration and memory, both of which are kept. `price` is the
    reference the source saw; `stop_loss` and `take_profit` are prices, `trailing` is a distance as a fraction of the price, and
    `size_fraction` scales the desk's own size (0..1]; `target` replaces it: the share of the source's capital to hold (0..1), up
    to which a buy buys and down to which a sell sells. `cost` is what the proposal cost in USD.
    """

    id: str
    source: str
    tier: Tier
    symbol: str
    action: Action
    confidence: float
    created: int
    expires: int
    price: float
    raw_confidence: float | None = None
    calibrated_confidence: float | None = None
    stop_loss: float | None = None
    take_profit: float | None = None
    trailing: float | None = None
    size_fraction: float | None = None
    reasoning: str = ""
    evidence: Evidence = field(default_factory=dict)
    cost: Decimal = Decimal(0)
    external_id: str | None = None
    target: float | None = None


@value
class Claim:
    """A source says that it is thinking about a symbol until `until`: lower tiers wait that long, within a configured bound."""

    source: str
    tier: Tier
    symbol: str
    until: int


@value
class Abstention:
    """A source was asked and has no opinion; `reason` is a short code, `detail` the sentence."""

    source: str
    tier: Tier
    symbol: str
    reason: str
    detail: str = ""


class OnExpiry(StrEnum):
    """What happens to the position when the decision that opened it stops standing by expiry."""

    KEEP = "keep"
    FLATTEN = "flatten"


@value
class SourceSpec:
    """What the desk must know of a source.

    `capital` is the fraction of the book's equity allocated to it; `threshold` the least confidence it is heard with; `settle_ms`
    how long its proposal waits for others; `symbols` empty means every symbol of the desk; `max_claim_ms` bounds its claims;
    `sizing` names one of the desk's sizing policies, None the default.
    """

    name: str
    tier: Tier
    capital: Decimal = Decimal(1)
    threshold: float = 0.0
    settle_ms: int = 250
    max_claim_ms: int = 30_000
    hold_blocks: bool = False
    adds: bool = False
    on_expiry: OnExpiry = OnExpiry.KEEP
    symbols: tuple[str, ...] = ()
    paused: bool = False
    sizing: str | None = None
