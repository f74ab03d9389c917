"""Guarding: a stop that rests at the venue while a position stands, for the hours in which the bot is dead or blind.

The desk goes on watching the same level. The guard only comes first: when its level is reached it is given a moment to fill,
then the desk takes it back and leaves by itself. On spot a resting stop locks what it would sell, so whoever sells lets it go
first: cancel, confirm, then sell from the position that is there. One guard lives per symbol, never two, and never for more than
is held.

Where the venue can, the target rests too: the guard is then a pair of which one cancels the other. It is sent, taken back and
replaced as one, it locks what it would sell once, and it is over when both have ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from bot.core.decision import Decision
from bot.core.effects import Severity
from bot.core.market import Instrument, MarketView, Side
from bot.core.matching import exact, round_against
from bot.core.orders import ZERO, Leg, Order, OrderRequest, OrderState, OrderType, client_order_id
from bot.core.protection import Protection
from bot.core.risk import ABSURD, OrderDraft, RiskContext, RiskGate, whole_steps
from bot.core.shadow import Shadows
from bot.core.state import Bench, DeskState, Due, ExitWanted, Outbox, Resting
from bot.core.targets import touch
from bot.core.tracking import PATIENCE_MS, NativeProtection, OrderTracker
from bot.core.values import value


@value
class Wanted:
    """The guard that a position should have now; `draft` is its order as risk allows it, `level` what it guards.

    `target` is the limit of the other order where the guard is to be a pair, None where it is a stop alone.
    """

    leg: Leg
    level: float
    trigger: Decimal
    draft: OrderDraft
    target: Decimal | None = None


@dataclass(slots=True)
class Guarding:
    """The guards of one desk. `active` says that there are any, or are to be."""

    state: DeskState
    out: Outbox
    market: MarketView
    gate: RiskGate
    book: RiskContext
    shadows: Shadows
    tracker: OrderTracker
    active: bool = False

    def __post_init__(self) -> None:
        self.active = self.wanted or any(bench.resting is not None for bench in self.state.benches.values())

    @property
    def wanted(self) -> bool:
        """Whether positions are to be guarded at all; guards of an earlier run are taken back where not."""
        return self.tracker.rules.native is not NativeProtection.OFF

    def living(self, bench: Bench) -> tuple[Order, ...]:
        """The orders of the symbol's guard that have not ended: a stop, a pair, or what is left of one."""
        resting = bench.resting
        if resting is None:
            return ()
        orders = (self.state.working.get(order_id or "") for order_id in (resting.order, resting.target))
        return tuple(order for order in orders if order is not None)

    def review(self) -> None:
        """Hold every guard against what it should be; asked after each input that changed anything."""
        for bench in self.state.benches.values():
            if bench.resting is not None or bench.symbol in self.state.protections:
                self.keep(bench)

    def follow(self, bench: Bench, protection: Protection) -> None:
        """A price passed that fired nothing: let the guard follow a trailing level, ask for one that is missing."""
        legs = self.living(bench)
        if not legs or any(self._lags(order, protection) for order in legs):
            self.keep(bench)

    def keep(self, bench: Bench) -> None:
        """Ask for the symbol's guard, rewrite it or take it back, as its position stands now."""
        protection = self.state.protections.get(bench.symbol) if self.wanted else None
        legs = self.living(bench)
        if legs:
            if all(not order.cancelling and order.closing is None for order in legs):
                self._hold(bench, legs, protection)
        elif protection is None:
            bench.resting = None
        elif bench.exit is None and bench.working is None:
            self._ask(bench, protection)

    def release(self, bench: Bench, side: Side, reason: str) -> bool:
        """Take back the guard that locks what an order of this side would trade; True until it has ended."""
        legs = [order for order in self.living(bench) if order.request.side is side]
        self._take_back(legs, reason)
        return bool(legs)

    def release_for(self, bench: Bench, decision: Decision, side: Side) -> bool:
        """As `release`, for a decision that does not stand: it is remembered until the guard has ended."""
        if bench.resting is None or not self.release(bench, side, "a decision sells"):
            return False
        bench.resting.released = decision
        return True

    def awaits(self, bench: Bench, wanted: ExitWanted, touched: float) -> bool:
        """Whether an exit is left to the guard for now: it rests, its price was reached too, and its time is not over.

        `touched` is the farthest the market went towards the level.
        """
        resting, grace = bench.resting, self.tracker.rules.guard_grace_ms
        aims = wanted.leg is Leg.TAKE_PROFIT
        order = next((order for order in self.living(bench) if _aims(order.request) is aims), None)
        if order is None or resting is None or not grace:
            return False
        request = order.request
        level = request.price if aims else request.trigger
        if order.cancelling or order.state not in {OrderState.SENT, OrderState.OPEN} or level is None:
            return False
        beyond = (touched - float(level)) * request.side.sign
        if (beyond > 0.0) if aims else (beyond < 0.0):
            return False
        self._await(bench.symbol, resting, wanted)
        return True

    def traded(self, order: Order) -> None:
        """Part of a guard traded: its level was reached, whatever the quotes said. No entry may build on what is being left."""
        request = order.request
        bench = self.state.bench(request.symbol)
        entry = self.state.working.get(bench.working or "")
        if entry is not None and entry.request.leg is Leg.ENTRY:
            self.tracker.cancel(entry, f"the position must be left: {request.leg.value}")
        if request.symbol not in self.state.protections or bench.exit is not None:
            return
        wanted = _exit_of(request)
        if not order.state.terminal and bench.resting is not None:
            self._await(bench.symbol, bench.resting, wanted)
        elif self._leaves(bench.symbol, wanted):
            bench.want_exit(wanted)

    def ended(self, order: Order) -> None:
        """A guard is over: if it fired, the desk leaves what it left; if the venue would not keep it, ask again later.

        The first of a pair to end says nothing of that yet: the venue ends it because the other one trades.
        """
        request = order.request
        bench = self.state.bench(request.symbol)
        resting = bench.resting
        if resting is None or request.symbol not in self.state.protections:
            return
        fired = resting.fired
        if fired is not None and (fired.leg is Leg.TAKE_PROFIT) is not _aims(request):
            fired = None
        else:
            resting.fired = None
        wanted = fired or _exit_of(request)
        if (fired is not None or order.filled) and self._leaves(request.symbol, wanted):
            if bench.exit is None:
                bench.want_exit(wanted)
        elif order.cancelling or order.filled:
            return
        elif any(_aims(other.request) is not _aims(request) for other in self.living(bench)):
            self._pace(resting, request.symbol)
        else:
            self._set_back(resting, order)

    def overdue(self, bench: Bench) -> bool:
        """Whether a guard that was reached has had its time: the desk leaves by itself from now on."""
        resting = bench.resting
        if resting is None or resting.fired is None or resting.due > self.state.now:
            return False
        wanted, resting.fired = resting.fired, None
        if bench.exit is not None or bench.symbol not in self.state.protections or not self._leaves(bench.symbol, wanted):
            return False
        bench.want_exit(wanted)
        return True

    def _leaves(self, symbol: str, wanted: ExitWanted) -> bool:
        """Whether the desk sells what a guard left: after a stop always, after a target while the market is there.

        A target that filled in part, and that the market has left since, leaves a position that is guarded anew.
        """
        direction = self.state.protections[symbol].direction
        if wanted.leg is not Leg.TAKE_PROFIT:
            return True
        return (touch(self.market, symbol, Side.SELL if direction > 0 else Side.BUY) - wanted.level) * direction >= 0.0

    def _await(self, symbol: str, resting: Resting, wanted: ExitWanted) -> None:
        """Give the guard its time, once; a stop does not wait for a target's to be over."""
        if resting.fired is None or (resting.fired.leg is Leg.TAKE_PROFIT and wanted.leg is not Leg.TAKE_PROFIT):
            resting.fired, resting.due = wanted, self.state.now + self.tracker.rules.guard_grace_ms
            self.state.remind(resting.due, Due.GUARD, symbol)

    def _take_back(self, legs: Sequence[Order], reason: str) -> None:
        """Cancel a guard. Venues end a pair whole, but what half of it is left need not be a pair any more."""
        for order in legs:
            if order.closing is None:
                self.tracker.cancel(order, reason)

    def _hold(self, bench: Bench, legs: Sequence[Order], protection: Protection | None) -> None:
        """Hold a guard that rests against the position and its level."""
        request, position = legs[0].request, self.state.portfolio.amount(bench.symbol)
        if protection is None or position * request.side.sign >= 0 or protection.stop is None:
            self._take_back(legs, "nothing is left to guard")
            return
        guardable = _guardable(self.state.instruments[bench.symbol], position)
        fired = bench.resting is not None and bench.resting.fired is not None
        # While one of a pair trades, the venue is ending the other: what the one has sold, the other never will.
        filled = sum((order.filled for order in legs), ZERO) if fired else ZERO
        if any(order.remaining > guardable + max(filled - order.filled, ZERO) for order in legs):
            self._take_back(legs, f"only {position} is held")
            return
        firing = fired or any(order.filled and not _aims(order.request) for order in legs)
        if firing or bench.exit is not None or bench.working is not None:
            return
        if self._outdated(bench, legs, guardable, protection):
            self._take_back(legs, "the position or its level moved")

    def _outdated(self, bench: Bench, legs: Sequence[Order], guardable: Decimal, protection: Protection) -> bool:
        """Whether a guard should be another one, and could be: it is too small, off its level, or not of the kind wanted."""
        kinds = {_aims(order.request) for order in legs}
        moved = any(order.remaining < guardable or self._lags(order, protection) for order in legs)
        alike = False in kinds and (True in kinds) is self._pairs(protection)
        due = bench.resting is None or bench.resting.again_at <= self.state.now
        if not moved and (alike or not due):
            return False
        wanted = self._wanted(bench.symbol, protection)
        return wanted is not None and (moved or kinds != ({False} if wanted.target is None else {False, True}))

    def _lags(self, order: Order, protection: Protection) -> bool:
        """Whether a guard's level is not the position's any more, by more than is worth a new order."""
        request, rules = order.request, self.tracker.rules
        if request.cause != protection.decision_id:
            return True
        stop = protection.stop
        if stop is None or _aims(request) or abs(stop[1] - request.reference) <= rules.guard_step * request.reference:
            return False
        return self.state.now - request.created >= rules.guard_pace_ms

    def _ask(self, bench: Bench, protection: Protection) -> None:
        """Ask for the guard that is missing, unless the venue refused one just now."""
        if bench.resting is not None and bench.resting.again_at > self.state.now:
            return
        wanted = self._wanted(bench.symbol, protection)
        if wanted is None:
            return
        self.tracker.begin(bench, self._request(wanted, protection))
        if wanted.target is not None and protection.take_profit is not None:
            self.tracker.begin(bench, self._target_request(wanted.draft, wanted.target, protection.take_profit, protection))

    def _pairs(self, protection: Protection) -> bool:
        """Whether a position's target is to rest beside its stop."""
        return self.tracker.rules.native is NativeProtection.BOTH and protection.take_profit is not None

    def _wanted(self, symbol: str, protection: Protection) -> Wanted | None:
        """The guard a position should have; None where there is no stop, risk refuses it, or its level is reached already."""
        stop, position = protection.stop, self.state.portfolio.amount(symbol)
        if stop is None or position * protection.direction <= 0 or symbol not in self.state.prices:
            return None
        leg, level = stop
        instrument = self.state.instruments[symbol]
        side = Side.SELL if protection.direction > 0 else Side.BUY
        trigger, price = _on_grid(instrument, side, level), touch(self.market, symbol, side)
        # A stop that would fire at once is refused by venues; the desk's own watch deals with it.
        if trigger is None or (price - float(trigger)) * protection.direction <= 0:
            return None
        target = None
        if self._pairs(protection) and protection.take_profit is not None:
            target = _on_grid(instrument, side, protection.take_profit)
            if target is not None and (float(target) - price) * protection.direction <= 0:
                return None
        least = trigger if target is None else min(trigger, target)
        draft = OrderDraft(symbol, side, abs(position), float(least), level, protection.source, 1.0, True, instrument)
        answer = self.gate.judge(draft, self.book)
        return Wanted(leg, level, trigger, answer, target) if isinstance(answer, OrderDraft) else None

    def _request(self, wanted: Wanted, protection: Protection) -> OrderRequest:
        state, rules, draft = self.state, self.tracker.rules, wanted.draft
        cause, leg, attempt = protection.decision_id, wanted.leg, state.next_id()
        return OrderRequest(
            client_order_id(rules.prefix, rules.account, rules.bot, cause, leg.value, attempt),
            draft.symbol,
            draft.side,
            OrderType.STOP,
            draft.amount,
            leg,
            cause,
            attempt,
            draft.source,
            self.shadows.tier_of(draft.source, state.sources.get(draft.source)),
            1.0,
            wanted.level,
            state.now,
            trigger=wanted.trigger,
            reduce_only=True,
        )

    def _target_request(self, draft: OrderDraft, price: Decimal, level: float, protection: Protection) -> OrderRequest:
        state, rules = self.state, self.tracker.rules
        cause, leg, attempt = protection.decision_id, Leg.TAKE_PROFIT, state.next_id()
        return OrderRequest(
            client_order_id(rules.prefix, rules.account, rules.bot, cause, leg.value, attempt),
            draft.symbol,
            draft.side,
            OrderType.LIMIT,
            draft.amount,
            leg,
            cause,
            attempt,
            draft.source,
            self.shadows.tier_of(draft.source, state.sources.get(draft.source)),
            1.0,
            level,
            state.now,
            price=price,
            reduce_only=True,
        )

    def _pace(self, resting: Resting, symbol: str) -> None:
        """One of a pair ended by itself: what is left of it is given time to tell why before another is asked for."""
        resting.again_at = self.state.now + self.tracker.patience(resting.failures + 1)
        self.state.remind(resting.again_at, Due.GUARD, symbol)

    def _set_back(self, resting: Resting, order: Order) -> None:
        """The venue would not keep a guard: the desk's own watch remains, and asks again ever more patiently. Say it once."""
        request, now = order.request, self.state.now
        if now - request.created > PATIENCE_MS:
            resting.failures = 0
        resting.failures += 1
        resting.again_at = now + self.tracker.patience(resting.failures)
        self.state.remind(resting.again_at, Due.GUARD, request.symbol)
        if resting.failures == 1:
            what = f"target at {request.price}" if _aims(request) else f"stop at {request.trigger}"
            text = f"{request.symbol} {what}: {order.reason or order.state.value}"
            self.out.notify(Severity.WARNING, "No stop rests at the venue", f"{text}; the desk watches the level and asks again")


def _aims(request: OrderRequest) -> bool:
    """Whether a guard's order is the target, and not the stop."""
    return request.trigger is None


def _exit_of(request: OrderRequest) -> ExitWanted:
    """The exit that a guard carries out."""
    return ExitWanted(request.leg, request.cause, request.reference, request.source)


def _guardable(instrument: Instrument, position: Decimal) -> Decimal:
    """How much of a position one order at the venue can guard: `Shape` of the risk gate gives it the same."""
    limits = [limit for limit in (instrument.max_amount, instrument.max_market_amount) if limit is not None]
    return whole_steps(instrument, min([abs(position), *limits]))


def _on_grid(instrument: Instrument, side: Side, level: float) -> Decimal | None:
    """The level on the venue's grid: a stop fires no later, a target pays no worse; None where the venue has no such price."""
    if not 0.0 < level < float(ABSURD):
        return None
    try:
        return round_against(Side.BUY if side is Side.SELL else Side.SELL, exact(level), instrument)
    except InvalidOperation:
        return None
