"""Trading: from a target to orders, and from what the venue says back to the books.

One order works per symbol. It is stored durably before it is sent, checked once more between the two, and followed to its end;
fills are booked once each by the venue's trade id, whenever and however often they arrive. An order that nobody can account for
freezes its symbol, never the bot. Exits come before everything else and are retried until the position is gone or too small to
trade.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal

from bot.core.decision import Decision, Fate, SourceSpec
from bot.core.effects import Severity
from bot.core.facts import DecisionFate, DecisionFilled, FillBooked, HealthChanged, OrderChanged, PositionChanged
from bot.core.inputs import Closing, OrderClosed
from bot.core.market import Health, Instrument, MarketView, Side
from bot.core.orders import ZERO, Fill, Leg, Order, OrderRequest, OrderState, OrderType, client_order_id
from bot.core.portfolio import Booking
from bot.core.protection import guard
from bot.core.risk import ABSURD, MINUTE_MS, OrderDraft, Refusal, RiskContext, RiskGate, may_send
from bot.core.shadow import Shadows
from bot.core.state import Bench, DeskState, Due, ExitWanted, Outbox
from bot.core.targets import TargetRules, plan, touch

_OPINIONS = (Leg.ENTRY, Leg.EXIT)
"""Legs that a decision asked for; all others act whatever is decided."""
_PATIENCE_MS = 60_000
"""The longest wait between two tries at the same thing."""


@dataclass(frozen=True, slots=True)
class TradingRules:
    """How orders are made.

    `prefix` (at most 4 letters or digits) marks this bot's orders on a shared account; `entry` is market or limit; a limit
    entry that has not filled is cancelled after `entry_ttl_ms`; what was refused for now is retried every `retry_ms`.
    """

    account: str = "paper"
    bot: str = "arbiter"
    prefix: str = "arb"
    entry: OrderType = OrderType.MARKET
    entry_ttl_ms: int = 60_000
    retry_ms: int = 1_000
    keep_done: int = 1_000

    def __post_init__(self) -> None:
        if self.retry_ms <= 0:
            message = f"retry_ms: {self.retry_ms!r} must be at least 1"
            raise ValueError(message)


@dataclass(frozen=True, slots=True)
class Attempt:
    """What trying for a decision's target would do now: nothing (`fate`), be refused, or send `draft`."""

    target: Decimal
    draft: OrderDraft | None = None
    fate: Fate | None = None
    refusal: Refusal | None = None


@dataclass(slots=True)
class Trading:
    """The orders and books of one desk."""

    state: DeskState
    out: Outbox
    market: MarketView
    gate: RiskGate
    book: RiskContext
    shadows: Shadows
    targets: TargetRules
    rules: TradingRules

    def consider(self, decision: Decision, spec: SourceSpec, bench: Bench) -> Attempt:
        """What a BUY or SELL would come to now; asks for nothing."""
        symbol = decision.symbol
        order = self.state.working.get(bench.working or "")
        working = ZERO
        if order is not None and order.request.side.value == decision.action.value:
            working = order.remaining * order.request.side.sign
        shadow = self.shadows.ledger(spec)
        instrument = self.state.instruments[symbol]
        wanted = plan(decision, spec, self.state.portfolio, self.market, instrument, shadow.record(), self.targets, working)
        if wanted.draft is None:
            return Attempt(wanted.target, fate=wanted.fate)
        answer = self.gate.judge(wanted.draft, self.book)
        if isinstance(answer, Refusal):
            return Attempt(wanted.target, refusal=answer)
        return Attempt(wanted.target, draft=answer)

    def carry_out(self, bench: Bench, decision: Decision, draft: OrderDraft) -> None:
        """Ask for the order that an attempt came to, once the one before it has ended."""
        order = self.state.working.get(bench.working or "")
        if order is not None:
            bench.pursuing = True
            return
        leg = Leg.EXIT if draft.reduces else Leg.ENTRY
        if leg is Leg.ENTRY:
            bench.guard = guard(decision, draft.side.sign, draft.price)
        self._request(bench, draft, leg, decision.id, decision)

    def contrary(self, bench: Bench, decision: Decision) -> Order | None:
        """The order of another opinion than the decision's that still works on the symbol; protection is nobody's opinion."""
        order = self.state.working.get(bench.working or "")
        if order is None or order.request.leg not in _OPINIONS or order.request.side.value == decision.action.value:
            return None
        return order

    def serves(self, order: Order, decision: Decision) -> bool:
        """Whether an order works towards what the decision wants."""
        return order.request.leg in _OPINIONS and order.request.side.value == decision.action.value

    def want_exit(self, bench: Bench, wanted: ExitWanted) -> None:
        """Resolve to leave a position: at once, whatever else the symbol was waiting for."""
        bench.exit = wanted
        bench.retry_at = 0

    def leave(self, bench: Bench) -> bool:
        """Work on the exit that the symbol must make; True while there is one."""
        wanted = bench.exit
        if wanted is None:
            return False
        amount = self.state.portfolio.amount(bench.symbol)
        order = self.state.working.get(bench.working or "")
        if order is not None:
            if order.request.leg is Leg.ENTRY:
                self.cancel(order, f"the position must be left: {wanted.leg.value}")
            return True
        if not amount:
            bench.exit = None
            return False
        if self.state.now < bench.retry_at:
            return True
        return self._exit(bench, wanted, amount)

    def cancel(self, order: Order, reason: str) -> None:
        """Ask the venue to cancel; what is not sent yet will not be, what is unknown is cancelled once it is known."""
        if order.cancelling or order.state.terminal:
            return
        order.cancelling = True
        order.reason = reason
        if order.state in {OrderState.SENT, OrderState.OPEN}:
            self.out.cancel(order.request.id, order.request.symbol, reason)

    def cancel_refused(self, order: Order) -> None:
        """The venue would not cancel. The order's own updates may say why; if it lives on, ask again, ever more patiently."""
        if order.cancelling and not order.state.terminal:
            patience = max(self.rules.retry_ms, min(self.state.now - order.updated, _PATIENCE_MS))
            self.state.remind(self.state.now + patience, Due.CANCEL, order.request.symbol, order.request.id)

    def cancel_again(self, order: Order) -> None:
        """Repeat a cancel that was refused."""
        if order.state in {OrderState.SENT, OrderState.OPEN}:
            self.out.cancel(order.request.id, order.request.symbol, order.reason)

    def retry(self, bench: Bench) -> None:
        """Come back to the symbol after a while."""
        at = self.state.now + self.rules.retry_ms
        if bench.retry_at <= self.state.now:
            bench.retry_at = at
            self.state.remind(at, Due.RETRY, bench.symbol)

    def intent_stored(self, order: Order) -> Order | None:
        """The intent is durable: send it, unless it must not go out any more."""
        if order.state is not OrderState.INTENT:
            self.state.ignore("intent-twice")
            return None
        veto = order.reason if order.cancelling else may_send(order.request, self.state.risk) or self._oversized(order.request)
        if veto is not None:
            return self._end(order, OrderState.CANCELLED, veto or "cancelled before it was sent")
        self._move(order, OrderState.SENT)
        self.out.submit(order.request)
        return None

    def intent_failed(self, order: Order, reason: str) -> bool:
        """The journal could not store it: nothing was sent. The symbol comes back to its wish after a while."""
        if order.state is not OrderState.INTENT:
            self.state.ignore("intent-twice")
            return False
        self._end(order, OrderState.CANCELLED, reason)
        bench = self.state.bench(order.request.symbol)
        self.out.notify(Severity.CRITICAL, "The journal cannot be written", f"{order.request.id} was not sent: {reason}")
        self.retry(bench)
        return True

    def accepted(self, order: Order, venue_id: str) -> None:
        """The venue has it. Late news of an order that already ended changes nothing."""
        if order.state.terminal:
            return
        order.venue_id = venue_id or order.venue_id
        was_unknown = order.state is OrderState.UNKNOWN
        self._thaw(order)
        if order.state is not OrderState.OPEN:
            self._move(order, OrderState.OPEN)
        if was_unknown and order.cancelling:
            self.out.cancel(order.request.id, order.request.symbol, order.reason)

    def refused(self, order: Order, reason: str) -> Order | None:
        """The venue refused it."""
        if order.state.terminal or order.filled:
            self.state.ignore("refusal-after-the-fact")
            return None
        self._thaw(order)
        return self._end(order, OrderState.REJECTED, reason)

    def unknown(self, order: Order, reason: str) -> None:
        """Nobody can say whether it lives: its symbol freezes until somebody can."""
        if order.state.terminal:
            return
        self.state.risk.frozen[order.request.symbol] = order.request.id
        order.reason = reason
        self._move(order, OrderState.UNKNOWN)
        self._tell_health(order.request.symbol, f"frozen: order {order.request.id} is unknown at the venue")
        self.out.notify(Severity.WARNING, "An order is unknown", f"{order.request.id} on {order.request.symbol}: {reason}")

    def closed(self, order: Order, event: OrderClosed) -> Order | None:
        """The venue closed it. Fills it reports and we have not seen are awaited first."""
        if order.state.terminal:
            return None
        self._thaw(order)
        order.reported = event.filled
        order.reason = event.reason or order.reason
        order.closing = OrderState.CANCELLED if event.how is Closing.CANCELLED else OrderState.EXPIRED
        return self._end(order, order.closing, order.reason) if order.filled >= event.filled else None

    def filled(self, order: Order, fill: Fill) -> Order | None:
        """Book a fill once, by its trade id."""
        request = order.request
        if fill.id in order.fill_ids:
            self.state.ignore("fill-repeated")
            return None
        fault = fill_fault(fill, request, self.state.instruments[request.symbol])
        if fault is not None:
            self.state.ignore("fill-absurd")
            self.out.notify(Severity.CRITICAL, "A fill cannot be booked", f"{fill.id} of order {request.id}: {fault}")
            return None
        order.fill_ids[fill.id] = None
        order.filled += fill.amount
        order.cost += fill.amount * fill.price
        self._thaw(order)
        self._value_fee(fill)
        was_unknown = order.state is OrderState.UNKNOWN
        booking = self.state.portfolio.book(fill, request, self.state.instruments[request.symbol], self.state.now)
        self.state.portfolio.mark(request.symbol, self.state.prices.get(request.symbol, float(fill.price)))
        self._tell(order, fill, booking)
        self._after_fill(order, booking)
        if order.state.terminal:
            self.out.notify(
                Severity.WARNING, "A fill came late", f"{fill.id} of order {request.id}, which was {order.state.value}"
            )
            return None
        if order.filled >= request.amount:
            return self._end(order, OrderState.FILLED, "")
        if order.closing is not None and order.filled >= order.reported:
            return self._end(order, order.closing, order.reason)
        self._move(order, OrderState.OPEN)
        if was_unknown and order.cancelling:
            self.out.cancel(request.id, request.symbol, order.reason)
        return None

    def fate_of(self, order: Order) -> Fate:
        """What a decision becomes whose order ended without a fill."""
        return Fate.REJECTED_BY_VENUE if order.state is OrderState.REJECTED else Fate.UNFILLED

    def position_fact(self, symbol: str) -> PositionChanged:
        """The symbol's position as it stands."""
        position = self.state.portfolio.positions[symbol]
        protection = self.state.protections.get(symbol)
        return PositionChanged(
            self.state.now,
            symbol,
            position.amount,
            position.average,
            position.mark,
            position.realised,
            position.unrealised,
            position.lots[0].source if position.lots else None,
            protection.stop_loss if protection else None,
            protection.take_profit if protection else None,
            protection.trailing_stop if protection else None,
        )

    def _dust(self, symbol: str, amount: Decimal) -> bool:
        """Whether what is left of a position is too little for any order: as good as flat."""
        instrument = self.state.instruments[symbol]
        return abs(amount) < max(instrument.min_amount, instrument.amount_step)

    def _arm(self, bench: Bench, order: Order) -> None:
        """Protection takes hold with an entry's first fill, also with one that comes after the position was left."""
        guarding, armed = bench.guard, self.state.protections.get(bench.symbol)
        if guarding is None or guarding.decision_id != order.request.decision_id:
            return
        if armed is None or armed.decision_id != guarding.decision_id:
            self.state.protections[bench.symbol] = replace(guarding, peak=float(order.average or 0), since=self.state.now)

    def _oversized(self, request: OrderRequest) -> str | None:
        """Why a reduction would now open the other side: the position shrank since it was asked for."""
        position = self.state.portfolio.amount(request.symbol)
        if not request.reduce_only or (position * request.side.sign < ZERO and request.amount <= abs(position)):
            return None
        return f"the position shrank to {position} before the order was sent"

    def _value_fee(self, fill: Fill) -> None:
        """A fee in a currency that no quote has valued in the books yet is worth what the market says now."""
        books = self.state.portfolio
        price = self.state.prices.get(f"{fill.fee_currency}/{books.currency}")
        if fill.fee and price is not None and fill.fee_currency not in books.asset_marks:
            books.mark_asset(fill.fee_currency, price)

    def _exit(self, bench: Bench, wanted: ExitWanted, amount: Decimal) -> bool:
        side = Side.SELL if amount > 0 else Side.BUY
        instrument = self.state.instruments[bench.symbol]
        price = touch(self.market, bench.symbol, side)
        draft = OrderDraft(bench.symbol, side, abs(amount), price, wanted.level, wanted.source, 1.0, True, instrument)
        answer = self.gate.judge(draft, self.book)
        if isinstance(answer, OrderDraft):
            self._request(bench, answer, wanted.leg, wanted.cause, None)
            return True
        if answer.denial.permanent:
            bench.exit = None
            self.state.protections.pop(bench.symbol, None)
            self.out.notify(Severity.WARNING, "A remainder is too small to sell", f"{bench.symbol}: {answer.detail}")
            return False
        self.retry(bench)
        return True

    def _request(self, bench: Bench, draft: OrderDraft, leg: Leg, cause: str, decision: Decision | None) -> None:
        """Make the order and ask for its durable intent."""
        state, rules = self.state, self.rules
        attempt = state.next_id()
        spec = state.sources.get(draft.source)
        kind, price = OrderType.MARKET, None
        if leg is Leg.ENTRY and rules.entry is OrderType.LIMIT:
            kind, price = OrderType.LIMIT, draft.instrument.round_price(Decimal(repr(draft.price)))
        tier = decision.tier if decision is not None else self.shadows.tier_of(draft.source, spec)
        request = OrderRequest(
            client_order_id(rules.prefix, rules.account, rules.bot, cause, leg.value, attempt),
            draft.symbol,
            draft.side,
            kind,
            draft.amount,
            leg,
            cause,
            attempt,
            draft.source,
            tier,
            decision.confidence if decision is not None else 1.0,
            draft.reference if leg.protective else draft.price,
            state.now,
            price,
            reduce_only=draft.reduces,
            decision_id=decision.id if decision is not None else None,
        )
        order = Order(request, updated=state.now)
        state.orders[request.id] = order
        state.working[request.id] = order
        state.risk.orders_since(state.now - MINUTE_MS)
        state.risk.order_times.append(state.now)
        bench.working = request.id
        if kind is OrderType.LIMIT:
            state.remind(state.now + rules.entry_ttl_ms, Due.ENTRY, draft.symbol, request.id)
        self.out.store(request)

    def _move(self, order: Order, to: OrderState) -> None:
        order.state = to
        order.updated = self.state.now
        self.out.record(
            OrderChanged(self.state.now, order.request, to, order.filled, order.average, order.venue_id, order.reason),
            durable=True,
        )

    def _end(self, order: Order, to: OrderState, reason: str) -> Order:
        """The order is over: free its symbol and forget the oldest that ended."""
        order.reason = reason
        refused = order.state is not OrderState.INTENT and not order.filled and not order.cancelling
        self._move(order, to)
        state, request = self.state, order.request
        state.working.pop(request.id, None)
        self._thaw(order)
        bench = state.bench(request.symbol)
        if bench.working == request.id:
            bench.working = None
        if order.filled and request.decision_id is not None:
            fraction = float(order.filled / request.amount)
            self.out.record(DecisionFilled(state.now, request.decision_id, fraction))
        if bench.exit is not None and refused and request.leg not in _OPINIONS:
            self._exit_failed(bench, bench.exit, reason or to.value)
        self._forget_done()
        return order

    def _exit_failed(self, bench: Bench, wanted: ExitWanted, reason: str) -> None:
        """The venue refused an exit or ended it unfilled: say so, wait longer each time, try again."""
        wanted.failures += 1
        delay = min(self.rules.retry_ms * 2 ** min(wanted.failures, 16), _PATIENCE_MS)
        bench.retry_at = self.state.now + delay
        self.state.remind(bench.retry_at, Due.RETRY, bench.symbol)
        severity = Severity.CRITICAL if wanted.failures > 2 else Severity.WARNING
        self.out.notify(severity, "An exit was refused", f"{bench.symbol} {wanted.leg.value}: {reason}; next try in {delay} ms")

    def _forget_done(self) -> None:
        orders = self.state.orders
        while len(orders) > self.rules.keep_done + len(self.state.working):
            oldest = next((key for key in orders if key not in self.state.working), None)
            if oldest is None:
                return
            del orders[oldest]

    def _thaw(self, order: Order) -> None:
        if self.state.risk.frozen.get(order.request.symbol) == order.request.id:
            del self.state.risk.frozen[order.request.symbol]
            self._tell_health(order.request.symbol, f"thawed: order {order.request.id} is known again")

    def _tell_health(self, symbol: str, detail: str) -> None:
        health = self.state.risk.health.get(symbol, Health.FRESH)
        self.out.record(HealthChanged(self.state.now, symbol, health, detail))

    def _tell(self, order: Order, fill: Fill, booking: Booking) -> None:
        """Record the fill, the fate it settles, and the lots it closed."""
        state, request = self.state, order.request
        decision = state.open.pop(request.decision_id or "", None)
        worse = (float(fill.price) / request.reference - 1.0) * request.side.sign
        self.out.record(
            FillBooked(
                state.now,
                fill,
                request.source,
                request.tier,
                request.confidence,
                request.decision_id,
                booking.realised,
                booking.fee_value,
                worse,
            ),
            durable=True,
        )
        if decision is not None:
            verdict_id = state.bench(request.symbol).verdict_id
            self.out.record(
                DecisionFate(
                    state.now,
                    decision.id,
                    decision.source,
                    decision.tier,
                    decision.symbol,
                    Fate.EXECUTED,
                    verdict_id=verdict_id,
                    reason=f"order {request.id}",
                )
            )
        for lot in booking.closed:
            self.out.record(lot, durable=True)

    def _after_fill(self, order: Order, booking: Booking) -> None:
        """Arm or drop protection, count losses, tell the position."""
        state, symbol = self.state, order.request.symbol
        bench = state.bench(symbol)
        position = state.portfolio.positions[symbol]
        if booking.closed:
            state.risk.count(order.request.id, booking.realised < ZERO, state.now)
        left = not position.amount or (bool(booking.closed) and self._dust(symbol, position.amount))
        if left:
            state.protections.pop(symbol, None)
            state.risk.last_exit[symbol] = state.now
            bench.exit = None
            self.shadows.book_flat(symbol)
        elif order.request.leg is Leg.ENTRY:
            self._arm(bench, order)
        if not left and state.risk.flattening and bench.exit is None:
            cause = f"flatten:{order.request.id}"
            wanted = ExitWanted(Leg.FLATTEN, cause, position.mark, order.request.source, commanded=True)
            self.want_exit(bench, wanted)
        self.out.record(self.position_fact(symbol), durable=True)


def fill_fault(fill: Fill, request: OrderRequest, instrument: Instrument) -> str | None:
    """Why a fill cannot be of this order, or None."""
    if fill.symbol != request.symbol or fill.side is not request.side:
        return f"it is a {fill.side.value} of {fill.symbol}, the order a {request.side.value} of {request.symbol}"
    for name, value in (("amount", fill.amount), ("price", fill.price), ("fee", fill.fee)):
        if not value.is_finite() or abs(value) > ABSURD or (name != "fee" and value <= ZERO):
            return f"{name} {value} is not a possible figure"
    if fill.fee_currency == instrument.base and fill.fee >= fill.amount:
        return f"its fee {fill.fee} {fill.fee_currency} leaves nothing of {fill.amount}"
    return None
