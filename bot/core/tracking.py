"""Tracking: an order from its intent to its end, by what the journal and the venue say of it.

It is stored durably before it is sent, checked once more between the two, and followed to its end. States only move forward;
news that comes late or twice changes nothing. An order that nobody can account for freezes its symbol, never the bot.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from bot.core.bookkeeping import Bookkeeping
from bot.core.decision import Fate
from bot.core.effects import Severity
from bot.core.facts import DecisionFilled, HealthChanged, OrderChanged
from bot.core.inputs import Closing, OrderClosed
from bot.core.market import Health
from bot.core.orders import OPINIONS, ZERO, Fill, Order, OrderRequest, OrderState, OrderType
from bot.core.risk import MINUTE_MS, may_send
from bot.core.state import Bench, DeskState, Due, ExitWanted, Outbox
from bot.core.values import value

PATIENCE_MS = 60_000
"""The longest wait between two tries at the same thing."""


class NativeProtection(StrEnum):
    """What of a position's protection also rests at the venue: nothing, the stop, or the stop and its target as a pair."""

    OFF = "off"
    STOP = "stop"
    BOTH = "both"


@value
class TradingRules:
    """How orders are made.

    `prefix` (at most 4 letters or digits) marks this bot's orders on a shared account; `entry` is market or limit; a limit
    entry that has not filled is cancelled after `entry_ttl_ms`; what was refused for now is retried every `retry_ms`.

    `native` says what rests at the venue while a position stands. A guard there follows a level that moved by more than
    `guard_step` (a fraction of the level), at most once in `guard_pace_ms`; once its level is reached it has `guard_grace_ms`
    to fill before the desk takes it back and sells by itself.
    """

    account: str = "paper"
    bot: str = "arbiter"
    prefix: str = "arb"
    entry: OrderType = OrderType.MARKET
    entry_ttl_ms: int = 60_000
    retry_ms: int = 1_000
    keep_done: int = 1_000
    native: NativeProtection = NativeProtection.OFF
    guard_step: float = 0.001
    guard_pace_ms: int = 1_000
    guard_grace_ms: int = 2_000

    def __post_init__(self) -> None:
        if self.retry_ms <= 0:
            message = f"retry_ms: {self.retry_ms!r} must be at least 1"
            raise ValueError(message)
        if not 0.0 <= self.guard_step < 1.0:
            message = f"guard_step: {self.guard_step!r} must be a fraction of the level, from 0 to below 1"
            raise ValueError(message)
        if self.guard_pace_ms < 0 or self.guard_grace_ms < 0:
            message = f"guard_pace_ms: {self.guard_pace_ms!r} and guard_grace_ms: {self.guard_grace_ms!r} must not be negative"
            raise ValueError(message)


@dataclass(slots=True)
class OrderTracker:
    """The orders of one desk."""

    state: DeskState
    out: Outbox
    books: Bookkeeping
    rules: TradingRules

    def begin(self, bench: Bench, request: OrderRequest) -> None:
        """A new order: it works from now on, and its intent is to be stored before the venue hears of it."""
        state = self.state
        order = Order(request, updated=state.now)
        state.orders[request.id] = order
        state.working[request.id] = order
        if not request.guards:
            # The order rate is that of trading: a guard that follows the market uses none of it up.
            state.risk.orders_since(state.now - MINUTE_MS)
            state.risk.order_times.append(state.now)
        bench.seat(request)
        if request.type is OrderType.LIMIT and not request.guards:
            state.remind(state.now + self.rules.entry_ttl_ms, Due.ENTRY, request.symbol, request.id)
        self.out.store(request)

    def cancel(self, order: Order, reason: str) -> None:
        """Ask the venue to cancel; what is not sent yet will not be, what is unknown is cancelled once it is known."""
        if order.cancelling or order.state.terminal:
            return
        order.cancelling = True
        order.reason = reason
        # How patient we are with a venue that refuses counts from here, however long the order has rested.
        order.updated = self.state.now
        if order.state in {OrderState.SENT, OrderState.OPEN}:
            self.out.cancel(order.request.id, order.request.symbol, reason)

    def cancel_refused(self, order: Order) -> None:
        """The venue would not cancel. The order's own updates may say why; if it lives on, ask again, ever more patiently."""
        if order.cancelling and not order.state.terminal:
            patience = max(self.rules.retry_ms, min(self.state.now - order.updated, PATIENCE_MS))
            self.state.remind(self.state.now + patience, Due.CANCEL, order.request.symbol, order.request.id)

    def cancel_again(self, order: Order) -> None:
        """Repeat a cancel that was refused."""
        if order.state in {OrderState.SENT, OrderState.OPEN}:
            self.out.cancel(order.request.id, order.request.symbol, order.reason)

    def intent_stored(self, order: Order) -> Order | None:
        """The intent is durable: send it, unless it must not go out any more. One of a pair waits for the other's intent."""
        if order.state is not OrderState.INTENT:
            self.state.ignore("intent-twice")
            return None
        partner = self._unsent_partner(order)
        if partner is not None:
            return self._half_stored(order, partner)
        veto = self._veto(order)
        if veto is not None:
            return self._end(order, OrderState.CANCELLED, veto)
        self._move(order, OrderState.SENT)
        self.out.submit(order.request)
        return None

    def intent_failed(self, order: Order, reason: str) -> bool:
        """The journal could not store it: nothing was sent. The symbol comes back to its wish after a while."""
        if order.state is not OrderState.INTENT:
            self.state.ignore("intent-twice")
            return False
        partner = self._unsent_partner(order)
        if partner is not None:
            self._end(partner, OrderState.CANCELLED, reason)
        self._end(order, OrderState.CANCELLED, reason)
        bench = self.state.bench(order.request.symbol)
        self.out.notify(Severity.CRITICAL, "The journal cannot be written", f"{order.request.id} was not sent: {reason}")
        self.state.come_back(bench, self.rules.retry_ms)
        return True

    def accepted(self, order: Order, venue_id: str) -> None:
        """The venue has it. Late news of an order that already ended changes nothing."""
        if order.state.terminal:
            return
        order.venue_id = venue_id or order.venue_id
        cancel_waited = self._cancel_waits(order)
        self._thaw(order)
        if order.state is not OrderState.OPEN:
            self._move(order, OrderState.OPEN)
        if cancel_waited:
            self.out.cancel(order.request.id, order.request.symbol, order.reason)

    def refused(self, order: Order, reason: str) -> Order | None:
        """The venue refused it."""
        if order.state.terminal or order.filled:
            self.state.ignore("refusal-after-the-fact")
            return None
        self._thaw(order)
        return self._end(order, OrderState.REJECTED, reason)

    def not_sent(self, order: Order, reason: str, again_ms: int) -> bool:
        """It never left the bot, so it is as good as an intent again. The symbol comes back to its wish after a while."""
        if order.state.terminal or order.filled or order.venue_id is not None:
            self.state.ignore("refusal-after-the-fact")
            return False
        self._thaw(order)
        order.state = OrderState.INTENT
        self._end(order, OrderState.CANCELLED, reason)
        bench = self.state.bench(order.request.symbol)
        if bench.exit is not None and not order.request.guards:
            text = f"{bench.symbol} {bench.exit.leg.value}: {reason}; it is tried again"
            self.out.notify(Severity.WARNING, "An exit was not sent", text)
        self.state.come_back(bench, max(self.rules.retry_ms, min(again_ms, PATIENCE_MS)))
        return True

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
        """Part of it traded."""
        cancel_waited = self._cancel_waits(order)
        if not self.books.book(order, fill):
            return None
        request = order.request
        self._thaw(order)
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
        if cancel_waited:
            self.out.cancel(request.id, request.symbol, order.reason)
        return None

    def _cancel_waits(self, order: Order) -> bool:
        """Whether a cancel is wanted of an order that nobody could ask to cancel so far.

        An intent is one too: it may have been sent by a process that died before its tape said so.
        """
        return order.cancelling and order.state in {OrderState.UNKNOWN, OrderState.INTENT}

    def fate_of(self, order: Order) -> Fate:
        """What a decision becomes whose order ended without a fill."""
        return Fate.REJECTED_BY_VENUE if order.state is OrderState.REJECTED else Fate.UNFILLED

    def _half_stored(self, order: Order, partner: Order) -> Order | None:
        """One of a pair is durable. Both go out together or not at all; only the caller's own order is told as done."""
        resting = self.state.bench(order.request.symbol).resting
        veto = self._veto(order) or self._veto(partner)
        if veto is not None:
            self._end(partner, OrderState.CANCELLED, veto)
            return self._end(order, OrderState.CANCELLED, veto)
        if resting is None or resting.stored != partner.request.id:
            if resting is not None:
                resting.stored = order.request.id
            return None
        self._move(order, OrderState.SENT)
        self._move(partner, OrderState.SENT)
        stop, target = (order, partner) if order.request.trigger is not None else (partner, order)
        self.out.submit_pair(stop.request, target.request)
        return None

    def _veto(self, order: Order) -> str | None:
        """Why an order that is not sent yet must not go out any more."""
        if order.cancelling:
            return order.reason or "cancelled before it was sent"
        return may_send(order.request, self.state.risk) or self._oversized(order.request)

    def _partner(self, order: Order) -> Order | None:
        """The order that guards together with this one, while it works."""
        resting = self.state.bench(order.request.symbol).resting if order.request.guards else None
        if resting is None or order.request.id not in {resting.order, resting.target}:
            return None
        other = resting.target if order.request.id == resting.order else resting.order
        return self.state.working.get(other or "")

    def _unsent_partner(self, order: Order) -> Order | None:
        partner = self._partner(order)
        return partner if partner is not None and partner.state is OrderState.INTENT else None

    def _oversized(self, request: OrderRequest) -> str | None:
        """Why a reduction would now open the other side: the position shrank since it was asked for."""
        position = self.state.portfolio.amount(request.symbol)
        if not request.reduce_only or (position * request.side.sign < ZERO and request.amount <= abs(position)):
            return None
        return f"the position shrank to {position} before the order was sent"

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
        if request.guards:
            self._unseat(bench, request)
        if order.filled and request.decision_id is not None:
            fraction = float(order.filled / request.amount)
            self.out.record(DecisionFilled(state.now, request.decision_id, fraction))
        if bench.exit is not None and refused and request.leg not in OPINIONS and not request.guards:
            self._exit_failed(bench, bench.exit, reason or to.value)
        self._forget_done()
        return order

    def _exit_failed(self, bench: Bench, wanted: ExitWanted, reason: str) -> None:
        """The venue refused an exit or ended it unfilled: say so, wait longer each time, try again."""
        wanted.failures += 1
        delay = self.patience(wanted.failures)
        bench.retry_at = self.state.now + delay
        self.state.remind(bench.retry_at, Due.RETRY, bench.symbol)
        severity = Severity.CRITICAL if wanted.failures > 2 else Severity.WARNING
        self.out.notify(severity, "An exit was refused", f"{bench.symbol} {wanted.leg.value}: {reason}; next try in {delay} ms")

    def patience(self, failures: int) -> int:
        """How many milliseconds to wait after so many failures in a row: ever more, up to a bound."""
        return min(self.rules.retry_ms << min(failures, 16), PATIENCE_MS)

    def _unseat(self, bench: Bench, request: OrderRequest) -> None:
        """A guard gave its place free: to another of its kind that an earlier run left on the symbol, if there is one."""
        resting, stops = bench.resting, request.trigger is not None
        if resting is None or request.id not in {resting.order, resting.target}:
            return
        others = (other.request for other in self.state.working.values() if other.request.symbol == request.symbol)
        heir = next((other.id for other in others if other.guards and (other.trigger is not None) is stops), None)
        if stops:
            resting.order = heir
        else:
            resting.target = heir

    def _forget_done(self) -> None:
        orders, working, kept = self.state.orders, self.state.working, self.rules.keep_done
        # Half of them at once: a dictionary that loses its oldest key over and over is slow to find the next.
        if len(orders) > 2 * kept + len(working):
            done = [key for key in orders if key not in working]
            for key in done[: len(done) - kept]:
                del orders[key]

    def _thaw(self, order: Order) -> None:
        symbol, frozen = order.request.symbol, self.state.risk.frozen
        if frozen.get(symbol) != order.request.id:
            return
        for other in self.state.working.values():
            if other is not order and other.request.symbol == symbol and other.state is OrderState.UNKNOWN:
                frozen[symbol] = other.request.id
                return
        del frozen[symbol]
        self._tell_health(symbol, f"thawed: order {order.request.id} is known again")

    def _tell_health(self, symbol: str, detail: str) -> None:
        health = self.state.risk.health.get(symbol, Health.FRESH)
        self.out.record(HealthChanged(self.state.now, symbol, health, detail))
