"""Everything that can reach the desk: one ordered stream of these, each stamped `at` with the time the bot learned of it.

Market data (`Quote`, `Candle`) are inputs themselves. Whatever the shell measured or the world answered comes in here, so that
the desk needs no clock, no chance and no network, and so that a recorded stream replays to the same effects.
"""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum

from bot.core.decision import Abstention, Claim, Decision, SourceSpec
from bot.core.market import Candle, Health, Instrument, Quote
from bot.core.orders import Fill, OrderRequest
from bot.core.values import value


@value
class Proposed:
    """A source proposed a decision."""

    at: int
    decision: Decision


@value
class Claimed:
    """A source began to think."""

    at: int
    claim: Claim


@value
class Abstained:
    """A source has no opinion; its claim on the symbol ends."""

    at: int
    abstention: Abstention


@value
class IntentStored:
    """The journal holds the order durably: it may be sent."""

    at: int
    order_id: str


@value
class IntentFailed:
    """The journal could not store the order: it was not sent and never will be."""

    at: int
    order_id: str
    reason: str


@value
class OrderAccepted:
    """The venue has the order."""

    at: int
    order_id: str
    venue_id: str


@value
class OrderRefused:
    """The venue refused the order: it never lived."""

    at: int
    order_id: str
    reason: str


@value
class OrderNotSent:
    """The order never left the bot: too much was asked of the venue, or it is not to be reached.

    `again_ms` is how long another one had better wait. What can never be sent is refused.
    """

    at: int
    order_id: str
    reason: str
    again_ms: int = 0


@value
class OrderUnknown:
    """Nobody can say whether the venue has the order; its symbol freezes until that is known."""

    at: int
    order_id: str
    reason: str


class Closing(StrEnum):
    """How an order that lived came to its end without filling whole."""

    CANCELLED = "cancelled"
    EXPIRED = "expired"


@value
class OrderClosed:
    """The venue cancelled or expired the order; `filled` is the whole amount it traded, as the venue says."""

    at: int
    order_id: str
    how: Closing
    filled: Decimal
    reason: str = ""


@value
class CancelRefused:
    """The venue would not cancel; the order's own updates will say what it became."""

    at: int
    order_id: str
    reason: str


@value
class Filled:
    """Part of an order traded."""

    at: int
    fill: Fill


@value
class OrderAdopted:
    """The journal holds an order that the desk does not know: its cause was lost in a crash. It may live at the venue."""

    at: int
    request: OrderRequest


@value
class Reconciled:
    """The account at the venue was compared with the books.

    Nothing at all leaves while it is not `complete` (the account could not be read, `notes` say why); no entry leaves while
    anything is `unexplained`. `orders` counts our open orders, `fills` those that nobody had told of before; `notes` name what
    was found and left alone: foreign orders, deposits, the trades of sister bots.
    """

    at: int
    complete: bool
    orders: int = 0
    fills: int = 0
    notes: tuple[str, ...] = ()
    unexplained: tuple[str, ...] = ()


@value
class Wake:
    """A timer the desk had set is due."""

    at: int


class TradingState(StrEnum):
    """ACTIVE trades; REDUCING admits only orders that lower |position|; HALTED admits none."""

    ACTIVE = "active"
    REDUCING = "reducing"
    HALTED = "halted"


@value
class SetTradingState:
    """An operator's command (kill, reduce, resume). `flatten` closes every position first; the state takes hold when flat."""

    at: int
    state: TradingState
    actor: str
    reason: str
    flatten: bool = False


@value
class SourceJoined:
    """A source was added, or its settings changed (threshold, capital, paused, ...)."""

    at: int
    spec: SourceSpec
    actor: str = "configuration"


@value
class SourceLeft:
    """A source was removed: its waiting decisions are cancelled, its shadow ledger is kept."""

    at: int
    name: str
    actor: str = "configuration"


@value
class MarketHealth:
    """A symbol's data went stale, had a gap, or is fresh again."""

    at: int
    symbol: str
    health: Health
    detail: str = ""


@value
class InstrumentChanged:
    """The venue's word on a symbol's steps, minimums and fees."""

    at: int
    instrument: Instrument


@value
class CashMoved:
    """A deposit (positive) or withdrawal (negative): moves the baselines of loss limits, not the P&L. One `id` counts once."""

    at: int
    amount: Decimal
    currency: str
    reason: str
    id: str = ""


@value
class Backlog:
    """Broker updates pile up (`over`) or have been worked off: entries halt while they do."""

    at: int
    depth: int
    over: bool


Input = (
    Quote
    | Candle
    | Proposed
    | Claimed
    | Abstained
    | IntentStored
    | IntentFailed
    | OrderAccepted
    | OrderRefused
    | OrderNotSent
    | OrderUnknown
    | OrderClosed
    | CancelRefused
    | Filled
    | OrderAdopted
    | Reconciled
    | Wake
    | SetTradingState
    | SourceJoined
    | SourceLeft
    | MarketHealth
    | InstrumentChanged
    | CashMoved
    | Backlog
)
