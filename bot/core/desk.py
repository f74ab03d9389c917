"""The trading desk: every input through one door, every effect out of another.

`handle` takes one input and returns what it asks the shell to do. It performs no I/O, reads no clock and draws no number, so
the same inputs give the same effects wherever it runs: live, on paper, in a backtest or in a replay. One task owns it; it needs
no lock.
"""

from __future__ import annotations

import copy
import heapq
from collections.abc import Callable, Sequence
from dataclasses import field
from decimal import Decimal
from enum import StrEnum
from typing import Any

from bot.core.arbiter import Arbiter
from bot.core.bookkeeping import Bookkeeping
from bot.core.briefing import Briefing, brief
from bot.core.controls import Controls
from bot.core.decision import Denial, Fate
from bot.core.effects import Effect, SetTimer, Severity
from bot.core.facts import EquitySampled, Fact
from bot.core.guarding import Guarding
from bot.core.inputs import (
    Abstained,
    Backlog,
    CancelRefused,
    CashMoved,
    Claimed,
    Filled,
    Input,
    InstrumentChanged,
    IntentFailed,
    IntentStored,
    MarketHealth,
    OrderAccepted,
    OrderAdopted,
    OrderClosed,
    OrderNotSent,
    OrderRefused,
    OrderUnknown,
    Proposed,
    Reconciled,
    SetTradingState,
    SourceJoined,
    SourceLeft,
    Wake,
)
from bot.core.market import Candle, MarketView, Quote, Side
from bot.core.matching import FillModel, protective_exit_price
from bot.core.orders import Fill, Leg, Order
from bot.core.portfolio import Portfolio
from bot.core.protection import Protection
from bot.core.queue import DecisionQueue
from bot.core.risk import DAY_MS, Cash, RiskContext, RiskGate, RiskLimits, Shape
from bot.core.settlement import Settlement
from bot.core.shadow import Shadows
from bot.core.sizing import FixedFraction
from bot.core.standing import Standing
from bot.core.state import Bench, Deadline, DeskState, Due, ExitWanted, Outbox
from bot.core.targets import TargetRules
from bot.core.tracking import OrderTracker, TradingRules
from bot.core.trading import Trading
from bot.core.values import value


class Drive(StrEnum):
    """What moves prices: quotes, or the candles of one timeframe (a backtest)."""

    QUOTES = "quotes"
    CANDLES = "candles"


def _default_targets() -> TargetRules:
    return TargetRules({"fixed-fraction": FixedFraction()}, "fixed-fraction")


@value
class DeskConfig:
    """Everything the desk is told at birth. `sample_ms` is the pace of equity and shadow samples, zero for none."""

    currency: str = "USDT"
    balance: Decimal = Decimal(10_000)
    arbiter: Arbiter = field(default_factory=Arbiter)
    limits: RiskLimits = field(default_factory=RiskLimits)
    targets: TargetRules = field(default_factory=_default_targets)
    trading: TradingRules = field(default_factory=TradingRules)
    fills: FillModel = field(default_factory=FillModel)
    drive: Drive = Drive.QUOTES
    drive_timeframe: str = "1m"
    next_open: bool = True
    queue_bound: int = 1_000
    max_age_ms: int = 60_000
    sample_ms: int = 60_000
    depth: int = 128


_NOTHING: tuple[Effect, ...] = ()
_LEAST, _MOST = 1e-15, 1e15
"""Prices beyond these are absurd: no market is quoted in them."""


class TradingDesk:
    """One book, one desk. `state` is its memory; read it, never write it."""

    def __init__(self, config: DeskConfig, state: DeskState | None = None) -> None:
        self.config = config
        self.state = state if state is not None else _opening(config)
        self.market: MarketView = self.state.market
        self.portfolio: Portfolio = self.state.portfolio
        self._risk = self.state.risk
        self._out = Outbox()
        self._deadlines = self.state.deadlines
        self._timer = 0
        gate = RiskGate(config.limits.checks())
        book = RiskContext(self.portfolio, self.market, self._risk, self.state.working)
        self.shadows = Shadows(
            self.state.shadows,
            self.market,
            self.portfolio,
            config.targets,
            config.fills,
            self.state.instruments,
            self._tell,
            config.next_open,
            config.drive is Drive.CANDLES,
            config.balance,
            gate=RiskGate((Cash(config.limits.cash_buffer), Shape())),
        )
        self.shadows.reindex()
        state, out = self.state, self._out
        self._tracker = OrderTracker(state, out, Bookkeeping(state, out, self.shadows), config.trading)
        self._guarding = Guarding(state, out, self.market, gate, book, self.shadows, self._tracker)
        trading = Trading(state, out, self.market, gate, book, self.shadows, config.targets, self._tracker, self._guarding)
        self._standing = Standing(state, out, trading)
        self._settlement = Settlement(state, out, config.arbiter, self.shadows, trading, self._standing, config.max_age_ms)
        self._controls = Controls(state, out, self._settlement, trading)
        self._drive_timeframe = config.drive_timeframe if config.drive is Drive.CANDLES else None
        self._handlers: dict[type, Callable[[Any], None]] = self._table()

    @classmethod
    def restore(cls, config: DeskConfig, snapshot: DeskState) -> TradingDesk:
        """A desk that goes on where the snapshot was taken; the snapshot itself is not touched."""
        state = copy.deepcopy(snapshot)
        for key in state.working:
            state.working[key] = state.orders[key]
        if state.risk.day_end and config.sample_ms > 0 and all(deadline[2] is not Due.SAMPLE for deadline in state.deadlines):
            state.remind(state.now + config.sample_ms, Due.SAMPLE)
        return cls(config, state)

    def snapshot(self) -> DeskState:
        """A copy of everything that outlives a process."""
        return copy.deepcopy(self.state)

    @property
    def next_timer(self) -> int | None:
        """When the desk next wants a `Wake`."""
        return self._deadlines[0][0] if self._deadlines else None

    def handle(self, event: Input) -> Sequence[Effect]:
        """Take one input; the effects are to be performed in order. An input that cannot be used is counted, never raised."""
        market, deadlines, at = self.market, self._deadlines, event.at
        if at > market.now:
            market.now = at
            if at >= self._risk.day_end:
                self._new_day()
        if deadlines and deadlines[0][0] <= market.now:
            self._run_due()
        self._handlers[event.__class__](event)
        effects = self._out.effects
        if effects and self._guarding.active:
            self._guarding.review()
        if deadlines and deadlines[0][0] != self._timer:
            self._timer = deadlines[0][0]
            effects.append(SetTimer(self._timer))
        if not effects:
            return _NOTHING
        self._out.effects = []
        return effects

    def _table(self) -> dict[type, Callable[[Any], None]]:
        settlement, tracker, controls = self._settlement, self._tracker, self._controls
        return {
            Quote: self._on_quote,
            Candle: self._on_candle,
            Wake: lambda event: None,
            Proposed: lambda event: settlement.propose(event.decision),
            Claimed: lambda event: settlement.claim(event.claim),
            Abstained: lambda event: settlement.abstain(event.abstention),
            IntentStored: lambda event: self._on_order(event.order_id, tracker.intent_stored),
            IntentFailed: lambda event: self._on_order(event.order_id, lambda order: self._unstored(order, event.reason)),
            OrderAccepted: lambda event: self._on_order(event.order_id, lambda order: tracker.accepted(order, event.venue_id)),
            OrderRefused: lambda event: self._on_order(event.order_id, lambda order: tracker.refused(order, event.reason)),
            OrderNotSent: lambda event: self._on_order(event.order_id, lambda order: self._not_sent(order, event)),
            OrderUnknown: lambda event: self._on_order(event.order_id, lambda order: tracker.unknown(order, event.reason)),
            OrderClosed: lambda event: self._on_order(event.order_id, lambda order: tracker.closed(order, event)),
            CancelRefused: lambda event: self._on_order(event.order_id, tracker.cancel_refused),
            Filled: lambda event: self._on_order(event.fill.order_id, lambda order: self._filled(order, event.fill)),
            SetTradingState: controls.set_state,
            SourceJoined: controls.join,
            SourceLeft: controls.leave,
            MarketHealth: controls.health,
            InstrumentChanged: controls.instrument,
            CashMoved: controls.cash,
            Backlog: controls.backlog,
            OrderAdopted: controls.adopt,
            Reconciled: controls.reconciled,
        }

    def _on_quote(self, quote: Quote) -> None:
        bid, ask = quote.bid, quote.ask
        if not (
            _LEAST < quote.bid_low <= bid <= quote.bid_high <= quote.ask_high < _MOST
            and quote.bid_low <= quote.ask_low <= ask <= quote.ask_high
            and bid <= ask
        ):
            self.state.ignore("quote-absurd")
            return
        symbol = quote.symbol
        market = self.market
        mid = (bid + ask) * 0.5
        market.quotes[symbol] = quote
        market.prices[symbol] = mid
        self._risk.seen[symbol] = market.now
        if symbol in self.shadows.interested:
            self.shadows.on_quote(quote)
        portfolio = self.portfolio
        if portfolio.assets:
            self._mark_asset(symbol, mid)
        position = portfolio.positions.get(symbol)
        if position is None or not position.amount_float:
            return
        portfolio.mark(symbol, mid)
        self._risk.peak = max(self._risk.peak, portfolio.equity)
        protection = self.state.protections.get(symbol)
        if protection is not None:
            low, high = (quote.bid_low, quote.bid_high) if protection.direction > 0 else (quote.ask_low, quote.ask_high)
            if protection.since >= quote.at:
                low = high = bid if protection.direction > 0 else ask
            self._watch(protection, low, high, None)

    def _on_candle(self, candle: Candle) -> None:
        low, high, close = candle.low, candle.high, candle.close
        if not (_LEAST < low <= close <= high < _MOST and low <= candle.open <= high):
            self.state.ignore("candle-absurd")
            return
        market, symbol = self.market, candle.symbol
        market.remember(candle)
        if candle.timeframe != self._drive_timeframe:
            if symbol not in market.quotes:
                market.prices[symbol] = close
            return
        self._risk.seen[symbol] = market.now
        market.prices[symbol] = close
        if symbol in self.shadows.interested:
            self.shadows.on_candle(candle)
        portfolio = self.portfolio
        position = portfolio.positions.get(symbol)
        if position is None or not position.amount_float:
            return
        protection = self.state.protections.get(symbol)
        if protection is not None:
            self._watch(protection, low, high, candle.open)
        portfolio.mark(symbol, close)
        if portfolio.equity > self._risk.peak:  # noqa: PLR1730 - max() costs three times as much, and this runs at every bar
            self._risk.peak = portfolio.equity

    def _watch(self, protection: Protection, low: float, high: float, opened: float | None) -> None:
        """Let protection look at a stretch of prices; leave the position when it fires."""
        bench = self.state.bench(protection.symbol)
        if bench.exit is not None:
            return
        hit = protection.touched(low, high)
        if hit is None:
            if self._guarding.active:
                self._guarding.follow(bench, protection)
            return
        leg, level = hit
        if opened is not None:
            level = protective_exit_price(level, opened, Side.SELL if protection.direction > 0 else Side.BUY, leg)
        wanted = ExitWanted(leg, protection.decision_id, level, protection.source)
        touched = low if (protection.direction > 0) is not (leg is Leg.TAKE_PROFIT) else high
        if bench.resting is not None and self._guarding.awaits(bench, wanted, touched):
            return
        bench.want_exit(wanted)
        self._standing.pursue(bench)

    def _on_order(self, order_id: str, step: Callable[[Order], Order | None]) -> None:
        """Take one step of an order; what is not ours is counted and left alone."""
        order = self.state.orders.get(order_id)
        if order is None:
            self.state.ignore("order-unknown-to-the-desk")
            self._out.notify(
                Severity.WARNING, "An order that is not ours", f"{order_id} was reported by the venue and left alone"
            )
            return
        done = step(order)
        if done is not None:
            if done.request.guards:
                self._guard_done(done)
            else:
                self._standing.order_done(done)
            self._controls.check_flat()

    def _unstored(self, order: Order, reason: str) -> None:
        if self._tracker.intent_failed(order, reason):
            self._stayed(order, Denial.INTENT_NOT_STORED)

    def _not_sent(self, order: Order, event: OrderNotSent) -> None:
        if self._tracker.not_sent(order, event.reason, event.again_ms):
            self._stayed(order, Denial.NOT_SENT)

    def _stayed(self, order: Order, why: Denial) -> None:
        """An order ended that never left the bot: what wanted it wants it still."""
        if order.request.guards:
            self._guard_done(order)
        else:
            self._standing.stayed(order, why)
        self._controls.check_flat()

    def _guard_done(self, order: Order) -> None:
        self._guarding.ended(order)
        self._standing.guard_done(self.state.bench(order.request.symbol))

    def _filled(self, order: Order, fill: Fill) -> Order | None:
        late, before = order.state.terminal, order.filled
        done = self._tracker.filled(order, fill)
        if order.request.guards and order.filled != before:
            self._guarding.traded(order)
        if late:
            self._standing.booked_late(order)
        return done

    def _run_due(self) -> None:
        """Do everything whose time has come, in the order in which it came."""
        now = self.market.now
        deadlines = self._deadlines
        while deadlines and deadlines[0][0] <= now:
            self._do(heapq.heappop(deadlines))

    def _do(self, deadline: Deadline) -> None:
        at, _, due, symbol, subject = deadline
        if due is Due.EXPIRE:
            self._settlement.expire(symbol, subject)
        elif due is Due.SETTLE:
            self._settlement.due(self.state.bench(symbol))
        elif due is Due.RETRY:
            bench = self.state.bench(symbol)
            if bench.retry_at <= at:
                bench.retry_at = 0
                self._standing.pursue(bench)
                self._controls.check_flat()
        elif due is Due.ENTRY:
            order = self.state.working.get(subject)
            if order is not None:
                self.state.lapsing.setdefault(subject, Fate.UNFILLED)
                self._tracker.cancel(order, "the entry did not fill in time")
        elif due is Due.GUARD:
            self._guard_due(self.state.bench(symbol))
        elif due is Due.CANCEL:
            order = self.state.working.get(subject)
            if order is not None:
                self._tracker.cancel_again(order)
        elif self.config.sample_ms > 0:
            self._sample()
            self.state.remind(self.market.now + self.config.sample_ms, Due.SAMPLE)

    def _guard_due(self, bench: Bench) -> None:
        """A guard has had its time to fill, or one that the venue refused may be asked for again."""
        if self._guarding.overdue(bench):
            self._standing.pursue(bench)
            self._controls.check_flat()
        elif self._guarding.active:
            self._guarding.keep(bench)

    def _new_day(self) -> None:
        """A UTC day begins: the baseline of the daily loss moves. The very first input also starts the samples."""
        risk = self._risk
        first = risk.day_end == 0
        risk.day_end = (self.market.now // DAY_MS + 1) * DAY_MS
        risk.day_start = self.portfolio.equity
        if first:
            risk.peak = max(risk.peak, self.portfolio.equity)
            if self.config.sample_ms > 0:
                self.state.remind(self.market.now + self.config.sample_ms, Due.SAMPLE)

    def _sample(self) -> None:
        for fact in self.samples():
            self._out.record(fact)

    def briefing(self) -> Briefing:
        """The books and the limits as they are now."""
        return brief(self.state, self.config.limits)

    def samples(self) -> list[Fact]:
        """The worth of the book and of every shadow ledger, now."""
        books, risk, now = self.portfolio, self._risk, self.market.now
        drawdown = 1.0 - books.equity / risk.peak if risk.peak > 0 else 0.0
        equity = EquitySampled(
            now, books.cash, books.equity, books.unrealised, books.realised, books.fees, risk.peak, drawdown, books.exposure
        )
        return [equity, *(ledger.sample(now) for ledger in self.state.shadows.values())]

    def _mark_asset(self, symbol: str, price: float) -> None:
        base, _, quote = symbol.partition("/")
        if quote == self.portfolio.currency and base in self.portfolio.assets:
            self.portfolio.mark_asset(base, price)

    def _tell(self, fact: Fact) -> None:
        self._out.record(fact)


def _opening(config: DeskConfig) -> DeskState:
    """The memory of a desk that has seen nothing."""
    state = DeskState(Portfolio.opening(config.currency, config.balance), queue=DecisionQueue(config.queue_bound))
    state.market.depth = config.depth
    return state
