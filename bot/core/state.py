"""Everything of the desk that outlives a process, and the outbox through which it speaks.

`DeskState` is the desk's memory and its snapshot in one: plain dataclasses, so that a copy is a snapshot and the journal can
write and read it. `Outbox` collects the effects of one input.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from enum import StrEnum

from bot.core.decision import Claim, Decision, Denial, Fate, SourceSpec
from bot.core.effects import CancelOrder, Effect, Notify, Publish, Record, Severity, StoreIntent, SubmitOrder, SubmitPair
from bot.core.facts import Fact
from bot.core.market import Instrument, MarketView
from bot.core.orders import Leg, Order, OrderRequest
from bot.core.portfolio import Portfolio
from bot.core.protection import Protection
from bot.core.queue import DecisionQueue
from bot.core.risk import RiskState
from bot.core.shadow import ShadowLedger


class Due(StrEnum):
    """What a deadline is about."""

    SETTLE = "settle"
    EXPIRE = "expire"
    RETRY = "retry"
    ENTRY = "entry"
    CANCEL = "cancel"
    GUARD = "guard"
    SAMPLE = "sample"


Deadline = tuple[int, int, Due, str, str]
"""(at, sequence, what, symbol, id)."""


@dataclass(slots=True)
class ExitWanted:
    """A position must be left whatever the decisions say: protection fired, a decision lapsed, or an operator commanded it."""

    leg: Leg
    cause: str
    level: float
    source: str
    failures: int = 0
    commanded: bool = False


@dataclass(slots=True)
class Resting:
    """The stop that guards a position at the venue, perhaps with its target, or is to guard it again.

    `order` is the stop that lives, `target` the limit order of which one cancels the other, `stored` the first of the two whose
    intent is durable while they wait to be sent together; `fired` the exit that they are given until `due` to carry out, since
    its level was reached; `failures` counts how often in a row the venue would not keep them, none is asked for before
    `again_at`; `released` is a decision that was let through to sell once they have ended.
    """

    order: str | None = None
    fired: ExitWanted | None = None
    due: int = 0
    failures: int = 0
    again_at: int = 0
    released: Decision | None = None
    target: str | None = None
    stored: str | None = None

    def seat(self, request: OrderRequest) -> None:
        """Give a guard its place, unless another has it."""
        if request.trigger is not None:
            self.order = self.order or request.id
        else:
            self.target = self.target or request.id


@dataclass(slots=True)
class Bench:
    """What is in the air on one symbol.

    `standing` is the decision that won; `pursuing` that its target is still to be reached; `refused` the transient denial it
    waits out; `working` the one order on its way; `guard` the protection to arm when the entry fills; `resting` what guards
    the position at the venue, None where nothing is to; `settle_at` the fixed end of the settle window, zero when nobody
    waits; `claimed` when each unbroken claim began;
    `unpriced` the decisions that came before the symbol's first price, which shadows follow once there is one.
    """

    symbol: str
    settle_at: int = 0
    claims: dict[str, Claim] = field(default_factory=dict)
    claimed: dict[str, int] = field(default_factory=dict)
    opinions: dict[str, Decision] = field(default_factory=dict)
    unpriced: list[str] = field(default_factory=list)
    standing: Decision | None = None
    verdict_id: str | None = None
    pursuing: bool = False
    refused: Denial | None = None
    retry_at: int = 0
    working: str | None = None
    guard: Protection | None = None
    exit: ExitWanted | None = None
    resting: Resting | None = None

    def seat(self, request: OrderRequest) -> None:
        """Let an order have its place: that of the guard, or that of the one order on its way."""
        if not request.guards:
            self.working = self.working or request.id
            return
        if self.resting is None:
            self.resting = Resting()
        self.resting.seat(request)

    def want_exit(self, wanted: ExitWanted) -> None:
        """Resolve to leave the position: at once, whatever else the symbol was waiting for."""
        self.exit = wanted
        self.retry_at = 0

    def release(self, source: str) -> bool:
        """End a source's claim; False if it had none."""
        self.claimed.pop(source, None)
        return self.claims.pop(source, None) is not None


@dataclass(slots=True)
class DeskState:
    """The desk's memory.

    `open` holds the decisions that have met no fate; `lapsing` the fate an order's decision meets if nothing fills.
    """

    portfolio: Portfolio
    risk: RiskState = field(default_factory=RiskState)
    counter: int = 0
    sources: dict[str, SourceSpec] = field(default_factory=dict)
    queue: DecisionQueue = field(default_factory=DecisionQueue)
    benches: dict[str, Bench] = field(default_factory=dict)
    open: dict[str, Decision] = field(default_factory=dict)
    seen: dict[str, None] = field(default_factory=dict)
    orders: dict[str, Order] = field(default_factory=dict)
    working: dict[str, Order] = field(default_factory=dict)
    lapsing: dict[str, Fate] = field(default_factory=dict)
    protections: dict[str, Protection] = field(default_factory=dict)
    shadows: dict[str, ShadowLedger] = field(default_factory=dict)
    transfers: dict[str, None] = field(default_factory=dict)
    deadlines: list[Deadline] = field(default_factory=list)
    market: MarketView = field(default_factory=MarketView)
    ignored: dict[str, int] = field(default_factory=dict)

    @property
    def now(self) -> int:
        """The desk's time: the newest `at` of its inputs."""
        return self.market.now

    @property
    def instruments(self) -> dict[str, Instrument]:
        """What the venue lists."""
        return self.market.instruments

    @property
    def prices(self) -> dict[str, float]:
        """Newest prices."""
        return self.market.prices

    def bench(self, symbol: str) -> Bench:
        """The symbol's bench, set up when first asked for."""
        bench = self.benches.get(symbol)
        if bench is None:
            bench = self.benches[symbol] = Bench(symbol)
        return bench

    def next_id(self) -> int:
        """A number that no earlier verdict, order or deadline of these books has had."""
        self.counter += 1
        return self.counter

    def remind(self, at: int, due: Due, symbol: str = "", subject: str = "") -> None:
        """Set a deadline."""
        heapq.heappush(self.deadlines, (at, self.next_id(), due, symbol, subject))

    def come_back(self, bench: Bench, after_ms: int) -> None:
        """Try again on a symbol after a while, unless that is planned already."""
        if bench.retry_at <= self.now:
            bench.retry_at = self.now + after_ms
            self.remind(bench.retry_at, Due.RETRY, bench.symbol)

    def ignore(self, reason: str) -> None:
        """Count an input that could not be used."""
        self.ignored[reason] = self.ignored.get(reason, 0) + 1

    def remember(self, key: str, bound: int = 4_096) -> bool:
        """Note an id; False when it was already known. The newest `bound` are remembered, and up to as many before them."""
        if key in self.seen:
            return False
        self.seen[key] = None
        if len(self.seen) > 2 * bound:
            for old in list(self.seen)[:bound]:
                del self.seen[old]
        return True


@dataclass(slots=True)
class Outbox:
    """The effects of the input being handled, in the order in which they were asked for."""

    effects: list[Effect] = field(default_factory=list)

    def record(self, fact: Fact, durable: bool = False) -> None:
        """Journal and publish a fact."""
        self.effects.append(Record(fact, durable))

    def publish(self, fact: Fact) -> None:
        """Publish a fact that needs no row."""
        self.effects.append(Publish(fact))

    def notify(self, severity: Severity, title: str, text: str) -> None:
        """Tell the person."""
        self.effects.append(Notify(severity, title, text))

    def store(self, request: OrderRequest) -> None:
        """Ask for a durable intent."""
        self.effects.append(StoreIntent(request))

    def submit(self, request: OrderRequest) -> None:
        """Ask for the order to be sent."""
        self.effects.append(SubmitOrder(request))

    def submit_pair(self, stop: OrderRequest, target: OrderRequest) -> None:
        """Ask for two orders to be sent of which one cancels the other."""
        self.effects.append(SubmitPair(stop, target))

    def cancel(self, order_id: str, symbol: str, reason: str) -> None:
        """Ask for a cancel."""
        self.effects.append(CancelOrder(order_id, symbol, reason))
