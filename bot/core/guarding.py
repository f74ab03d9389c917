"""Guarding: a stop that rests at the venue while a position stands, for the hours in which the bot is dead or blind.

The desk goes on watching the same level. The guard only comes first: when its level is reached it is given a moment to fill,
then the desk takes it back and leaves by itself. On spot a resting stop locks what it would sell, so whoever sells lets it go
first: cancel, confirm, then sell from the position that is there. One guard lives per symbol, never two, and never for more than
is held.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from bot.core.decision import Decision
from bot.core.effects import Severity
from bot.core.market import Instrument, MarketView, Side
from bot.core.matching import exact, round_against
from bot.core.orders import Leg, Order, OrderRequest, OrderState, OrderType, client_order_id
from bot.core.protection import Protection
from bot.core.risk import ABSURD, OrderDraft, RiskContext, RiskGate, whole_steps
from bot.core.shadow import Shadows
from bot.core.state import Bench, DeskState, Due, ExitWanted, Outbox, Resting
from bot.core.targets import touch
from bot.core.tracking import PATIENCE_MS, NativeProtection, OrderTracker
from bot.core.values import value


@value
class Wanted:
    """The guard that a position should have now; `draft` is its order as risk allows it, `level` what it guards."""

    leg: Leg
    level: float
    trigger: Decimal
    draft: OrderDraft


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

    def living(self, bench: Bench) -> Order | None:
        """The symbol's guard that has not ended."""
        resting = bench.resting
        return None if resting is None or resting.order is None else self.state.working.get(resting.order)

    def review(self) -> None:
        """Hold every guard against what it should be; asked after each input that changed anything."""
        for bench in self.state.benches.values():
            if bench.resting is not None or bench.symbol in self.state.protections:
                self.keep(bench)

    def follow(self, bench: Bench, protection: Protection) -> None:
        """A price passed that fired nothing: let the guard follow a trailing level, ask for one that is missing."""
        order = self.living(bench)
        if order is None or self._lags(order, protection):
            self.keep(bench)

    def keep(self, bench: Bench) -> None:
        """Ask for the symbol's guard, rewrite it or take it back, as its position stands now."""
        protection = self.state.protections.get(bench.symbol) if self.wanted else None
        order = self.living(bench)
        if order is not None:
            if not order.cancelling and order.closing is None:
                self._hold(bench, order, protection)
        elif protection is None:
            bench.resting = None
        elif bench.exit is None and bench.working is None:
            self._ask(bench, protection)

    def release(self, bench: Bench, side: Side, reason: str) -> bool:
        """Take back the guard that locks what an order of this side would trade; True until it has ended."""
        order = self.living(bench)
        if order is None or order.request.side is not side:
            return False
        if order.closing is None:
            self.tracker.cancel(order, reason)
        return True

    def release_for(self, bench: Bench, decision: Decision, side: Side) -> bool:
        """As `release`, for a decision that does not stand: it is remembered until the guard has ended."""
        if bench.resting is None or not self.release(bench, side, "a decision sells"):
            return False
        bench.resting.released = decision
        return True

    def awaits(self, bench: Bench, wanted: ExitWanted, worst: float) -> bool:
        """Whether an exit is left to the guard for now: it rests, its trigger was reached too, and its time is not over."""
        order, resting, grace = self.living(bench), bench.resting, self.tracker.rules.guard_grace_ms
        if order is None or resting is None or wanted.leg is Leg.TAKE_PROFIT or not grace:
            return False
        request = order.request
        if order.cancelling or order.state not in {OrderState.SENT, OrderState.OPEN} or request.trigger is None:
            return False
        if (worst - float(request.trigger)) * request.side.sign < 0.0:
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
        if order.state.terminal or bench.resting is None:
            bench.want_exit(_exit_of(request))
        else:
            self._await(bench.symbol, bench.resting, _exit_of(request))

    def ended(self, order: Order) -> None:
        """A guard is over: if it fired, the desk leaves what it left; if the venue would not keep it, ask again later."""
        request = order.request
        bench = self.state.bench(request.symbol)
        resting = bench.resting
        if resting is None or request.symbol not in self.state.protections:
            return
        fired, resting.fired = resting.fired, None
        if fired is not None or order.filled:
            if bench.exit is None:
                bench.want_exit(fired or _exit_of(request))
        elif not order.cancelling:
            self._set_back(resting, order)

    def overdue(self, bench: Bench) -> bool:
        """Whether a guard that was reached has had its time: the desk leaves by itself from now on."""
        resting = bench.resting
        if resting is None or resting.fired is None or resting.due > self.state.now:
            return False
        wanted, resting.fired = resting.fired, None
        if bench.exit is not None or bench.symbol not in self.state.protections:
            return False
        bench.want_exit(wanted)
        return True

    def _await(self, symbol: str, resting: Resting, wanted: ExitWanted) -> None:
        """Give the guard its time, once."""
        if resting.fired is None:
            resting.fired, resting.due = wanted, self.state.now + self.tracker.rules.guard_grace_ms
            self.state.remind(resting.due, Due.GUARD, symbol)

    def _hold(self, bench: Bench, order: Order, protection: Protection | None) -> None:
        """Hold a guard that rests against the position and its level."""
        request, position = order.request, self.state.portfolio.amount(bench.symbol)
        if protection is None or position * request.side.sign >= 0:
            self.tracker.cancel(order, "nothing is left to guard")
            return
        guardable = _guardable(self.state.instruments[bench.symbol], position)
        if order.remaining > guardable:
            self.tracker.cancel(order, f"only {position} is held")
            return
        firing = order.filled or (bench.resting is not None and bench.resting.fired is not None)
        if firing or bench.exit is not None or bench.working is not None:
            return
        if (order.remaining < guardable or self._lags(order, protection)) and self._wanted(bench.symbol, protection) is not None:
            self.tracker.cancel(order, "the position or its level moved")

    def _lags(self, order: Order, protection: Protection) -> bool:
        """Whether a guard's level is not the position's any more, by more than is worth a new order."""
        request, rules = order.request, self.tracker.rules
        if request.cause != protection.decision_id:
            return True
        stop = protection.stop
        if stop is None or abs(stop[1] - request.reference) <= rules.guard_step * request.reference:
            return False
        return self.state.now - request.created >= rules.guard_pace_ms

    def _ask(self, bench: Bench, protection: Protection) -> None:
        """Ask for the guard that is missing, unless the venue refused one just now."""
        if bench.resting is not None and bench.resting.again_at > self.state.now:
            return
        wanted = self._wanted(bench.symbol, protection)
        if wanted is not None:
            self.tracker.begin(bench, self._request(wanted, protection))

    def _wanted(self, symbol: str, protection: Protection) -> Wanted | None:
        """The guard a position should have; None where there is no stop, risk refuses it, or its level is reached already."""
        stop, position = protection.stop, self.state.portfolio.amount(symbol)
        if stop is None or position * protection.direction <= 0 or symbol not in self.state.prices:
            return None
        leg, level = stop
        instrument = self.state.instruments[symbol]
        side = Side.SELL if protection.direction > 0 else Side.BUY
        trigger = _trigger(instrument, side, level)
        # A stop that would fire at once is refused by venues; the desk's own watch deals with it.
        if trigger is None or (touch(self.market, symbol, side) - float(trigger)) * protection.direction <= 0:
            return None
        draft = OrderDraft(symbol, side, abs(position), float(trigger), level, protection.source, 1.0, True, instrument)
        answer = self.gate.judge(draft, self.book)
        return Wanted(leg, level, trigger, answer) if isinstance(answer, OrderDraft) else None

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

    def _set_back(self, resting: Resting, order: Order) -> None:
        """The venue would not keep a guard: the desk's own watch remains, and asks again ever more patiently. Say it once."""
        request, now = order.request, self.state.now
        if now - request.created > PATIENCE_MS:
            resting.failures = 0
        resting.failures += 1
        resting.again_at = now + self.tracker.patience(resting.failures)
        self.state.remind(resting.again_at, Due.GUARD, request.symbol)
        if resting.failures == 1:
            text = f"{request.symbol} stop at {request.trigger}: {order.reason or order.state.value}"
            self.out.notify(Severity.WARNING, "No stop rests at the venue", f"{text}; the desk watches the level and asks again")


def _exit_of(request: OrderRequest) -> ExitWanted:
    """The exit that a guard carries out."""
    return ExitWanted(request.leg, request.cause, request.reference, request.source)


def _guardable(instrument: Instrument, position: Decimal) -> Decimal:
    """How much of a position one order at the venue can guard: `Shape` of the risk gate gives it the same."""
    limits = [limit for limit in (instrument.max_amount, instrument.max_market_amount) if limit is not None]
    return whole_steps(instrument, min([abs(position), *limits]))


def _trigger(instrument: Instrument, side: Side, level: float) -> Decimal | None:
    """The level on the venue's grid, rounded so that it fires no later; None where the venue has no such price."""
    if not 0.0 < level < float(ABSURD):
        return None
    try:
        return round_against(Side.BUY if side is Side.SELL else Side.SELL, exact(level), instrument)
    except InvalidOperation:
        return None
