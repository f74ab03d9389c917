"""The risk gate: proposals ask, the gate disposes.

Checks shrink or refuse an order and never grow one, so their sequence cannot undo a limit; precision and minimums come last. A
refusal names its `Denial` and says in figures why. Orders that lower |position| pass every limit that exists to stop entries.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal, InvalidOperation

from bot.core.decision import Denial
from bot.core.inputs import TradingState
from bot.core.market import Health, Instrument, MarketView, Side
from bot.core.orders import ZERO, Order, OrderRequest
from bot.core.portfolio import Portfolio
from bot.core.values import value

MINUTE_MS = 60_000
DAY_MS = 86_400_000
LOSS_LIMITS = (Denial.DAILY_LOSS, Denial.DRAWDOWN, Denial.LOSS_STREAK)
"""Denials that mean the book has lost too much for now."""
ABSURD = Decimal(10) ** 15
"""No amount, price or sum of money that can be meant is larger."""


@dataclass(slots=True)
class RiskState:
    """What risk must remember, also over a restart."""

    state: TradingState = TradingState.ACTIVE
    reason: str = ""
    flattening: bool = False
    peak: float = 0.0
    day_end: int = 0
    day_start: float = 0.0
    loss_streak: int = 0
    last_loss: int = 0
    streak_order: str = ""
    order_times: list[int] = field(default_factory=list)
    last_exit: dict[str, int] = field(default_factory=dict)
    health: dict[str, Health] = field(default_factory=dict)
    seen: dict[str, int] = field(default_factory=dict)
    frozen: dict[str, str] = field(default_factory=dict)
    backlog: bool = False
    unread: str = ""
    unexplained: tuple[str, ...] = ()
    told: dict[str, int] = field(default_factory=dict)

    def news(self, denial: Denial, now: int) -> bool:
        """Whether a person should hear of this limit: once a day, while it is in force."""
        if denial not in LOSS_LIMITS or now - self.told.get(denial.value, -DAY_MS) < DAY_MS:
            return False
        self.told[denial.value] = now
        return True

    def orders_since(self, since: int) -> int:
        """Orders sent after `since`; forgets the older ones."""
        while self.order_times and self.order_times[0] <= since:
            self.order_times.pop(0)
        return len(self.order_times)

    def count(self, order_id: str, lost: bool, at: int) -> None:
        """A closing fill won or lost. The fills of one order are one trade, however many there are."""
        if not lost:
            self.loss_streak = 0
        elif self.streak_order != order_id or not self.loss_streak:
            self.loss_streak += 1
        if lost:
            self.last_loss = at
        self.streak_order = order_id


@dataclass(slots=True)
class RiskContext:
    """What a check may look at. The desk keeps it current; checks only read."""

    portfolio: Portfolio
    market: MarketView
    risk: RiskState
    working: Mapping[str, Order]

    @property
    def now(self) -> int:
        """The desk's time in milliseconds."""
        return self.market.now

    @property
    def equity(self) -> float:
        """The book's worth."""
        return self.portfolio.equity

    def reserved(self, symbol: str | None = None, source: str | None = None) -> float:
        """Notional that working entries may still add, of all symbols or one, of all sources or one."""
        if not self.working:
            return 0.0
        return sum(
            float(order.remaining) * order.request.reference
            for order in self.working.values()
            if not order.request.reduce_only
            and (symbol is None or order.request.symbol == symbol)
            and (source is None or order.request.source == source)
        )


@value
class OrderDraft:
    """An order before it is one.

    `price` is the live price it would meet, `reference` the one its decision saw; `capital` is the fraction of equity allocated
    to its source; `reduces` says that it lowers |position|.
    """

    symbol: str
    side: Side
    amount: Decimal
    price: float
    reference: float
    source: str
    capital: float
    reduces: bool
    instrument: Instrument

    @property
    def notional(self) -> float:
        """Amount times live price, in the quote currency."""
        return float(self.amount) * self.price

    def resized_to(self, notional: float) -> OrderDraft:
        """The same order, no larger than `notional`."""
        return replace(self, amount=min(self.amount, Decimal(repr(max(0.0, notional) / self.price))))


@value
class Refusal:
    """Why an order was refused, as a code and in figures."""

    denial: Denial
    detail: str


Answer = OrderDraft | Refusal
Check = Callable[[OrderDraft, RiskContext], Answer]


def _fit(draft: OrderDraft, room: float, denial: Denial, detail: str) -> Answer:
    """Shrink the order into the room that is left, or refuse when no acceptable order fits."""
    if draft.notional <= room:
        return draft
    if room <= 0 or room < float(draft.instrument.min_cost):
        return Refusal(denial, detail)
    return draft.resized_to(room)


@value
class States:
    """HALTED, an account not read and a frozen symbol admit nothing; REDUCING, a backlog and what is unexplained no entries."""

    def __call__(self, draft: OrderDraft, book: RiskContext) -> Answer:
        """The draft, or why not."""
        risk = book.risk
        if risk.state is TradingState.HALTED:
            return Refusal(Denial.HALTED, "trading is halted")
        if risk.unread:
            return Refusal(Denial.UNRECONCILED, f"the account at the venue is not read yet: {risk.unread}")
        if draft.symbol in risk.frozen:
            return Refusal(Denial.SYMBOL_FROZEN, f"order {risk.frozen[draft.symbol]} is unknown at the venue")
        if draft.reduces:
            return draft
        if risk.state is TradingState.REDUCING:
            return Refusal(Denial.REDUCING, "only reductions are admitted")
        if risk.backlog:
            return Refusal(Denial.BACKLOG, "broker updates are waiting to be handled")
        if risk.unexplained:
            return Refusal(Denial.UNRECONCILED, f"unexplained at the venue: {risk.unexplained[0]}")
        return draft


@value
class LiveQuote:
    """No order, not even an exit, before the symbol has a quote it could meet; it is tried again."""

    def __call__(self, draft: OrderDraft, book: RiskContext) -> Answer:
        """The draft, or why not."""
        if draft.symbol in book.market.quotes:
            return draft
        return Refusal(Denial.NO_PRICE, f"no quote of {draft.symbol} has come yet")


@value
class AllowedSymbols:
    """Symbols that may be entered; empty means all."""

    symbols: frozenset[str]

    def __call__(self, draft: OrderDraft, book: RiskContext) -> Answer:
        """The draft, or why not."""
        del book
        if not draft.reduces and not draft.instrument.active:
            return Refusal(Denial.UNKNOWN_INSTRUMENT, f"{draft.symbol} is not trading at the venue")
        if draft.reduces or not self.symbols or draft.symbol in self.symbols:
            return draft
        return Refusal(Denial.SYMBOL_NOT_ALLOWED, f"{draft.symbol} is not among the allowed symbols")


@value
class StaleData:
    """No entry on data older than `after_ms`, or on a symbol whose feed is stale or has a gap."""

    after_ms: int

    def __call__(self, draft: OrderDraft, book: RiskContext) -> Answer:
        """The draft, or why not."""
        if draft.reduces:
            return draft
        health = book.risk.health.get(draft.symbol, Health.FRESH)
        if health is not Health.FRESH:
            return Refusal(Denial.STALE_DATA, f"the feed of {draft.symbol} is {health.value}")
        age = book.now - book.risk.seen.get(draft.symbol, 0)
        if age > self.after_ms:
            return Refusal(Denial.STALE_DATA, f"the newest price of {draft.symbol} is {age} ms old, limit {self.after_ms} ms")
        return draft


@value
class PriceCollar:
    """No entry when the live price has left the decision's reference by more than `fraction`."""

    fraction: float

    def __call__(self, draft: OrderDraft, book: RiskContext) -> Answer:
        """The draft, or why not."""
        del book
        if draft.reduces:
            return draft
        distance = abs(draft.price / draft.reference - 1.0)
        if distance <= self.fraction:
            return draft
        return Refusal(Denial.PRICE_COLLAR, f"{draft.price:g} is {distance:.2%} from the decision's {draft.reference:g}")


@value
class SymbolCoolDown:
    """No new entry on a symbol within `wait_ms` of leaving it."""

    wait_ms: int

    def __call__(self, draft: OrderDraft, book: RiskContext) -> Answer:
        """The draft, or why not."""
        left = book.risk.last_exit.get(draft.symbol)
        if draft.reduces or left is None or book.now - left >= self.wait_ms:
            return draft
        wait = -(-(left + self.wait_ms - book.now) // 1_000)  # whole seconds, none too few
        return Refusal(Denial.COOL_DOWN, f"{draft.symbol} was left just now; it may be entered again in {wait} s")


@value
class LossStreak:
    """After `losses` losing trades in a row, no entry for `wait_ms`."""

    losses: int
    wait_ms: int

    def __call__(self, draft: OrderDraft, book: RiskContext) -> Answer:
        """The draft, or why not."""
        risk = book.risk
        if draft.reduces or risk.loss_streak < self.losses or book.now - risk.last_loss >= self.wait_ms:
            return draft
        wait = -(-(risk.last_loss + self.wait_ms - book.now) // 1_000)  # whole seconds, none too few
        return Refusal(Denial.LOSS_STREAK, f"{risk.loss_streak} losses in a row; entries resume in {wait} s")


@value
class MaxDailyLoss:
    """No entry once equity has lost `fraction` since the UTC day began."""

    fraction: float

    def __call__(self, draft: OrderDraft, book: RiskContext) -> Answer:
        """The draft, or why not."""
        start = book.risk.day_start
        if draft.reduces or start <= 0 or book.equity > start * (1.0 - self.fraction):
            return draft
        return Refusal(Denial.DAILY_LOSS, f"{1.0 - book.equity / start:.2%} lost today, limit {self.fraction:.2%}")


@value
class MaxDrawdown:
    """No entry once equity is `fraction` below its peak."""

    fraction: float

    def __call__(self, draft: OrderDraft, book: RiskContext) -> Answer:
        """The draft, or why not."""
        peak = book.risk.peak
        if draft.reduces or peak <= 0 or book.equity > peak * (1.0 - self.fraction):
            return draft
        return Refusal(Denial.DRAWDOWN, f"{1.0 - book.equity / peak:.2%} below the peak, limit {self.fraction:.2%}")


@value
class MaxOrderRate:
    """At most `per_minute` orders in any 60 seconds; exits count but are never refused for it."""

    per_minute: int

    def __call__(self, draft: OrderDraft, book: RiskContext) -> Answer:
        """The draft, or why not."""
        if draft.reduces or book.risk.orders_since(book.now - MINUTE_MS) < self.per_minute:
            return draft
        return Refusal(Denial.ORDER_RATE, f"{self.per_minute} orders were sent within a minute")


@value
class MaxOpenOrders:
    """At most `count` orders working at once; guards that rest at the venue are not among them."""

    count: int

    def __call__(self, draft: OrderDraft, book: RiskContext) -> Answer:
        """The draft, or why not."""
        if draft.reduces or len(book.working) < self.count:
            return draft
        working = sum(not order.request.guards for order in book.working.values())
        if working < self.count:
            return draft
        return Refusal(Denial.MAX_OPEN_ORDERS, f"{working} orders are working, limit {self.count}")


@value
class MaxPosition:
    """Cap the notional held in one symbol, working entries counted, as a fraction of equity."""

    fraction: float

    def __call__(self, draft: OrderDraft, book: RiskContext) -> Answer:
        """The draft, shrunk or refused."""
        if draft.reduces:
            return draft
        limit = self.fraction * book.equity
        held = abs(float(book.portfolio.amount(draft.symbol))) * draft.price + book.reserved(symbol=draft.symbol)
        return _fit(draft, limit - held, Denial.MAX_POSITION, f"{held:.2f} of {limit:.2f} is held in {draft.symbol}")


@value
class MaxExposure:
    """Cap the gross exposure of the whole book, working entries counted, as a fraction of equity."""

    fraction: float

    def __call__(self, draft: OrderDraft, book: RiskContext) -> Answer:
        """The draft, shrunk or refused."""
        if draft.reduces:
            return draft
        limit = self.fraction * book.equity
        used = book.portfolio.exposure + book.reserved()
        return _fit(draft, limit - used, Denial.MAX_EXPOSURE, f"{used:.2f} of {limit:.2f} gross exposure is used")


@value
class SourceCapital:
    """A source holds no more than the capital allocated to it."""

    def __call__(self, draft: OrderDraft, book: RiskContext) -> Answer:
        """The draft, shrunk or refused."""
        if draft.reduces:
            return draft
        limit = draft.capital * book.equity
        used = float(book.portfolio.held_by(draft.source)) + book.reserved(source=draft.source)
        return _fit(draft, limit - used, Denial.NO_CAPITAL, f"{draft.source} uses {used:.2f} of its {limit:.2f}")


@value
class MaxOrderNotional:
    """Cap one order, in the accounting currency."""

    notional: float

    def __call__(self, draft: OrderDraft, book: RiskContext) -> Answer:
        """The draft, shrunk or refused."""
        del book
        if draft.reduces:
            return draft
        return _fit(draft, self.notional, Denial.MAX_ORDER_NOTIONAL, f"orders are capped at {self.notional:.2f}")


@value
class Cash:
    """A buy is paid from free cash; `buffer` (a fraction) is kept for slippage between now and the fill."""

    buffer: float

    def __call__(self, draft: OrderDraft, book: RiskContext) -> Answer:
        """The draft, shrunk or refused."""
        if draft.reduces or draft.side is Side.SELL:
            return draft
        free = float(book.portfolio.cash) - book.reserved()
        room = free / (1.0 + float(draft.instrument.taker_fee) + self.buffer)
        return _fit(draft, room, Denial.INSUFFICIENT_CASH, f"{free:.2f} {book.portfolio.currency} is free")


@value
class Shape:
    """Precision and minimums of the venue: amounts are floored to the step; what is then too small is refused, never looped."""

    def __call__(self, draft: OrderDraft, book: RiskContext) -> Answer:
        """The draft, shaped, or why not."""
        del book
        instrument = draft.instrument
        most = [limit for limit in (instrument.max_amount, instrument.max_market_amount) if limit is not None]
        amount = whole_steps(instrument, min([draft.amount, *most]))
        if amount < instrument.min_amount or amount <= ZERO:
            return Refusal(Denial.BELOW_MIN_AMOUNT, f"{amount} {instrument.base} is below the minimum {instrument.min_amount}")
        cost = float(amount) * draft.price
        if cost < float(instrument.min_cost):
            return Refusal(Denial.BELOW_MIN_COST, f"{cost:.2f} {instrument.quote} is below the minimum {instrument.min_cost}")
        return draft if amount == draft.amount else replace(draft, amount=amount)


@value
class RiskLimits:
    """`config/risk.yaml` as the desk needs it. Fractions are of equity, times in milliseconds; None switches a check off."""

    max_position: float | None = 0.25
    max_exposure: float | None = 0.95
    max_order_notional: float | None = None
    max_open_orders: int | None = 20
    max_orders_per_minute: int | None = 30
    max_daily_loss: float | None = 0.05
    max_drawdown: float | None = 0.20
    loss_streak: int | None = 5
    loss_streak_cool_down_ms: int = 900_000
    symbol_cool_down_ms: int | None = None
    price_collar: float | None = 0.02
    stale_after_ms: int | None = 30_000
    cash_buffer: float = 0.002
    live_quote: bool = False
    allowed_symbols: tuple[str, ...] = ()

    def checks(self) -> tuple[Check, ...]:
        """The checks in the order in which they are asked: states, permissions, pace, sizes, and shape last."""
        streak, pause = self.loss_streak, self.loss_streak_cool_down_ms
        optional: tuple[Check | None, ...] = (
            LiveQuote() if self.live_quote else None,
            None if self.stale_after_ms is None else StaleData(self.stale_after_ms),
            None if self.price_collar is None else PriceCollar(self.price_collar),
            None if self.symbol_cool_down_ms is None else SymbolCoolDown(self.symbol_cool_down_ms),
            None if streak is None else LossStreak(streak, pause),
            None if self.max_daily_loss is None else MaxDailyLoss(self.max_daily_loss),
            None if self.max_drawdown is None else MaxDrawdown(self.max_drawdown),
            None if self.max_orders_per_minute is None else MaxOrderRate(self.max_orders_per_minute),
            None if self.max_open_orders is None else MaxOpenOrders(self.max_open_orders),
            None if self.max_position is None else MaxPosition(self.max_position),
            None if self.max_exposure is None else MaxExposure(self.max_exposure),
            SourceCapital(),
            None if self.max_order_notional is None else MaxOrderNotional(self.max_order_notional),
        )
        asked = (check for check in optional if check is not None)
        return (States(), AllowedSymbols(frozenset(self.allowed_symbols)), *asked, Cash(self.cash_buffer), Shape())


@value
class RiskGate:
    """Asks every check in order; the first refusal ends it."""

    checks: tuple[Check, ...]

    def judge(self, draft: OrderDraft, book: RiskContext) -> Answer:
        """The order as risk allows it, or the refusal."""
        for check in self.checks:
            answer = check(draft, book)
            if isinstance(answer, Refusal):
                return answer
            draft = answer
        return draft


def whole_steps(instrument: Instrument, amount: Decimal) -> Decimal:
    """The amount floored to the venue's steps; nothing when it has more of them than any venue counts."""
    try:
        return instrument.floor_amount(amount)
    except InvalidOperation:
        return ZERO


def may_send(request: OrderRequest, risk: RiskState) -> str | None:
    """Asked once more between the durable intent and the send: why the order must not go out any more, or None."""
    if risk.state is TradingState.HALTED:
        return "trading was halted before the order was sent"
    if risk.unread or (risk.unexplained and not request.reduce_only):
        return "the account at the venue and the books came apart before the order was sent"
    if risk.state is TradingState.REDUCING and not request.reduce_only:
        return "only reductions are admitted since before the order was sent"
    if risk.frozen.get(request.symbol, request.id) != request.id:
        return "the symbol froze before the order was sent"
    return None
