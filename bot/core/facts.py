"""What the desk says happened: the rows of the journal and the messages of the feed, one definition for both.

`Decision`, `Claim`, `Abstention` and `Verdict` are recorded as they are, wrapped with the time; the rest is defined here. Money
owed is `Decimal`; statistics are floats; every fact carries `at`, the desk's time in milliseconds.
"""

from __future__ import annotations

from decimal import Decimal

from bot.core.decision import Abstention, Action, Claim, Decision, Denial, Fate, Tier
from bot.core.inputs import TradingState
from bot.core.market import Health, Side
from bot.core.orders import Fill, OrderRequest, OrderState
from bot.core.values import value


@value
class DecisionSeen:
    """A decision reached the desk."""

    at: int
    decision: Decision


@value
class DecisionFate:
    """A decision met its one terminal fate. `verdict_id` names the verdict that decided it, `winner` the decision that won."""

    at: int
    decision_id: str
    source: str
    tier: Tier
    symbol: str
    fate: Fate
    denial: Denial | None = None
    verdict_id: str | None = None
    winner: str | None = None
    reason: str = ""


@value
class DecisionFilled:
    """How much of an executed decision's order was filled when the order ended (0..1)."""

    at: int
    decision_id: str
    filled_fraction: float


@value
class Verdict:
    """For one symbol at one moment: who won, who was outranked, under which policy and why, and the target position."""

    id: str
    at: int
    symbol: str
    policy: str
    winner: str
    source: str
    tier: Tier
    action: Action
    confidence: float
    outranked: tuple[str, ...]
    reason: str
    target: Decimal
    position: Decimal


@value
class ClaimMade:
    """A source's claim on a symbol, as the desk bounded it."""

    at: int
    claim: Claim


@value
class AbstentionMade:
    """A source abstained."""

    at: int
    abstention: Abstention


@value
class OrderChanged:
    """An order reached a state. The first one of an order (INTENT) is stored durably before the venue hears of it."""

    at: int
    request: OrderRequest
    state: OrderState
    filled: Decimal
    average: Decimal | None
    venue_id: str | None = None
    reason: str = ""


@value
class FillBooked:
    """A fill reached the books.

    `realised` is the P&L it realised in the accounting currency, fees included; `fee_value` the fee in that currency;
    `slippage` the signed fraction by which the price was worse than the order's reference.
    """

    at: int
    fill: Fill
    source: str
    tier: Tier
    confidence: float
    decision_id: str | None
    realised: Decimal
    fee_value: Decimal
    slippage: float


@value
class PositionChanged:
    """One symbol's net position. `average` is the mean entry price; `opener` the source of its oldest lot."""

    at: int
    symbol: str
    amount: Decimal
    average: Decimal | None
    price: float
    realised: Decimal
    unrealised: float
    opener: str | None
    stop_loss: float | None = None
    take_profit: float | None = None
    trailing_stop: float | None = None


@value
class LotClosed:
    """A lot, or part of one, was closed, first in first out: the opener is credited, the closer recorded; `pnl` is net."""

    at: int
    symbol: str
    side: Side
    amount: Decimal
    entry: Decimal
    exit: Decimal
    opened: int
    opener: str
    opener_tier: Tier
    opening_decision: str | None
    closer: str
    closing_leg: str
    fees: Decimal
    pnl: Decimal


@value
class EquitySampled:
    """The book's worth in its accounting currency."""

    at: int
    cash: Decimal
    equity: float
    unrealised: float
    realised: Decimal
    fees: Decimal
    peak: float
    drawdown: float
    exposure: float


@value
class ShadowSampled:
    """What a source would be worth had it traded alone, with the book's starting equity."""

    at: int
    source: str
    tier: Tier
    equity: float
    realised: Decimal
    unrealised: float
    fees: Decimal
    trades: int
    wins: int


@value
class ShadowClosed:
    """A trade of a shadow ledger ended."""

    at: int
    source: str
    symbol: str
    decision_id: str
    opened: int
    entry: Decimal
    exit: Decimal
    amount: Decimal
    pnl: Decimal
    leg: str


@value
class OverrideClosed:
    """What overruling a source cost (positive) or saved (negative).

    Its shadow P&L minus the book's on that symbol, from the moment it was outranked until its own shadow left the trade, in the
    accounting currency.
    """

    at: int
    symbol: str
    loser: str
    winner: str
    decision_id: str
    verdict_id: str
    since: int
    shadow_pnl: float
    book_pnl: float
    cost: float


@value
class RiskChanged:
    """The trading state changed, or a loss limit came into force."""

    at: int
    state: TradingState
    actor: str
    reason: str


@value
class AccountReconciled:
    """The account at the venue was compared with the books; see `Reconciled` among the inputs."""

    at: int
    complete: bool
    orders: int
    fills: int
    notes: tuple[str, ...]
    unexplained: tuple[str, ...]


@value
class HealthChanged:
    """A symbol's market data changed health, or froze because an order is unknown."""

    at: int
    symbol: str
    health: Health
    detail: str


@value
class CommandDone:
    """An operator's command was carried out: the audit trail."""

    at: int
    actor: str
    command: str
    detail: str


Fact = (
    DecisionSeen
    | DecisionFate
    | DecisionFilled
    | Verdict
    | ClaimMade
    | AbstentionMade
    | OrderChanged
    | FillBooked
    | PositionChanged
    | LotClosed
    | EquitySampled
    | ShadowSampled
    | ShadowClosed
    | OverrideClosed
    | RiskChanged
    | AccountReconciled
    | HealthChanged
    | CommandDone
)
