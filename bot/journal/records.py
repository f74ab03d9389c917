"""What the queries answer with: one small class per table, its fields named as the columns."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from bot.core.decision import Action, Evidence, Fate, Tier
from bot.core.inputs import TradingState
from bot.core.market import Health, Side
from bot.core.orders import Leg, OrderState, OrderType, TimeInForce


@dataclass(frozen=True, slots=True)
class Run:
    """A run; `ended` is None while it runs, and for good if it was killed. `config` is JSON."""

    id: str
    bot: str
    mode: str
    venue: str
    world: str
    started: int
    ended: int | None
    simulated: bool
    config_hash: str
    config: str
    code_version: str
    seed: int | None
    closed_cleanly: bool


@dataclass(frozen=True, slots=True)
class JournaledDecision:
    """A decision and its fate (None while it has none). `row` is the cursor; `filled_fraction` of an executed one, 0..1."""

    row: int
    run: str
    at: int
    id: str
    source: str
    tier: Tier
    symbol: str
    action: Action
    confidence: float | None
    raw_confidence: float | None
    calibrated_confidence: float | None
    created: int
    expires: int
    price: float | None
    stop_loss: float | None
    take_profit: float | None
    trailing: float | None
    size_fraction: float | None
    reasoning: str
    evidence: Evidence
    cost: Decimal
    external_id: str | None
    target: float | None
    fate: Fate | None
    denial: str | None
    verdict_id: str | None
    winner: str | None
    fate_reason: str | None
    fate_at: int | None
    filled_fraction: float | None


@dataclass(frozen=True, slots=True)
class JournaledOrder:
    """An order as it stands; `at` is its last change."""

    id: str
    run: str
    at: int
    symbol: str
    side: Side
    type: OrderType
    amount: Decimal
    leg: Leg
    cause: str
    attempt: int
    source: str
    tier: Tier
    confidence: float | None
    reference: float | None
    created: int
    price: Decimal | None
    trigger_price: Decimal | None
    time_in_force: TimeInForce
    post_only: bool
    reduce_only: bool
    decision_id: str | None
    state: OrderState
    filled: Decimal
    average: Decimal | None
    venue_id: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class OrderEvent:
    """One state an order reached."""

    row: int
    run: str
    at: int
    order_id: str
    state: OrderState
    filled: Decimal
    average: Decimal | None
    venue_id: str | None
    reason: str


@dataclass(frozen=True, slots=True)
class JournaledFill:
    """A fill, with what it realised and who caused it."""

    row: int
    run: str
    at: int
    id: str
    order_id: str
    symbol: str
    side: Side
    amount: Decimal
    price: Decimal
    fee: Decimal
    fee_currency: str
    ts: int
    maker: bool
    evidence: str
    source: str
    tier: Tier
    confidence: float | None
    decision_id: str | None
    realised: Decimal
    fee_value: Decimal
    slippage: float | None


@dataclass(frozen=True, slots=True)
class JournaledPosition:
    """The newest state of a symbol's position."""

    row: int
    run: str
    at: int
    symbol: str
    amount: Decimal
    average: Decimal | None
    price: float | None
    realised: Decimal
    unrealised: float | None
    opener: str | None
    stop_loss: float | None
    take_profit: float | None
    trailing_stop: float | None


@dataclass(frozen=True, slots=True)
class EquityPoint:
    """One sample of the book's worth."""

    row: int
    run: str
    at: int
    cash: Decimal
    equity: float | None
    unrealised: float | None
    realised: Decimal
    fees: Decimal
    peak: float | None
    drawdown: float | None
    exposure: float | None


@dataclass(frozen=True, slots=True)
class ShadowPoint:
    """One sample of a source's shadow ledger."""

    row: int
    run: str
    at: int
    source: str
    tier: Tier
    equity: float | None
    realised: Decimal
    unrealised: float | None
    fees: Decimal
    trades: int
    wins: int


@dataclass(frozen=True, slots=True)
class ShadowTrade:
    """A trade that ended in a shadow ledger."""

    row: int
    run: str
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


@dataclass(frozen=True, slots=True)
class ClosedLot:
    """A closed lot; `pnl` is net of fees."""

    row: int
    run: str
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


@dataclass(frozen=True, slots=True)
class JournaledVerdict:
    """A verdict; `outranked` names decisions."""

    row: int
    run: str
    at: int
    id: str
    symbol: str
    policy: str
    winner: str
    source: str
    tier: Tier
    action: Action
    confidence: float | None
    outranked: tuple[str, ...]
    reason: str
    target: Decimal
    position: Decimal


@dataclass(frozen=True, slots=True)
class Override:
    """What overruling a source cost (positive) or saved (negative)."""

    row: int
    run: str
    at: int
    symbol: str
    loser: str
    winner: str
    decision_id: str
    verdict_id: str
    since: int
    shadow_pnl: float | None
    book_pnl: float | None
    cost: float | None


@dataclass(frozen=True, slots=True)
class RiskState:
    """A change of the trading state."""

    row: int
    run: str
    at: int
    state: TradingState
    actor: str
    reason: str


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """A comparison of the venue's account with the books that found something; one finding a line."""

    row: int
    run: str
    at: int
    complete: bool
    orders: int
    fills: int
    notes: str
    unexplained: str


@dataclass(frozen=True, slots=True)
class HealthEvent:
    """A change of a symbol's market data."""

    row: int
    run: str
    at: int
    symbol: str
    health: Health
    detail: str


@dataclass(frozen=True, slots=True)
class Command:
    """A line of the audit trail."""

    row: int
    run: str
    at: int
    actor: str
    command: str
    detail: str


@dataclass(frozen=True, slots=True)
class Segment:
    """An input segment; `path` is relative to the data folder, `sha256` of its lines None while it is open."""

    run: str
    number: int
    path: str
    first_input: int
    last_input: int
    bytes: int
    sha256: str | None
    closed: bool
    at: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The newest kept state of a book: after input `seq` of `run` (0: before its first), None if the run ended with it."""

    run: str
    at: int
    seq: int | None
    state: object


@dataclass(frozen=True, slots=True)
class FateCount:
    """How many decisions of a source met a fate (None: none yet)."""

    source: str
    fate: Fate | None
    count: int
