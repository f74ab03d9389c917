"""Controls: what operators, configuration and the venue change about the desk itself.

REDUCING and HALTED cancel working entries at once. A closing bot never re-buys: flattening leaves every position through the
same exits as protection does, and the desk halts when the last is gone.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from bot.core.decision import Fate, SourceSpec
from bot.core.effects import Severity
from bot.core.facts import AccountReconciled, CommandDone, HealthChanged, RiskChanged
from bot.core.inputs import (
    Backlog,
    CashMoved,
    InstrumentChanged,
    MarketHealth,
    OrderAdopted,
    Reconciled,
    SetTradingState,
    SourceJoined,
    SourceLeft,
    TradingState,
)
from bot.core.market import Health, Instrument
from bot.core.orders import ZERO, Leg, Order
from bot.core.risk import ABSURD
from bot.core.settlement import Settlement
from bot.core.state import DeskState, ExitWanted, Outbox
from bot.core.trading import Trading

_LEAST_STEP = Decimal("1e-18")


@dataclass(slots=True)
class Controls:
    """Commands and circumstances."""

    state: DeskState
    out: Outbox
    settlement: Settlement
    trading: Trading

    def set_state(self, command: SetTradingState) -> None:
        """Kill, reduce or resume."""
        risk = self.state.risk
        risk.flattening = command.flatten and command.state is not TradingState.ACTIVE
        risk.state = TradingState.REDUCING if risk.flattening else command.state
        risk.reason = f"{command.actor}: {command.reason}"
        self.out.record(RiskChanged(self.state.now, risk.state, command.actor, command.reason), durable=True)
        detail = f"{command.state.value}{', flatten' if command.flatten else ''}: {command.reason}"
        self.out.record(CommandDone(self.state.now, command.actor, "set-trading-state", detail), durable=True)
        if command.state is TradingState.ACTIVE:
            self._resume()
            return
        self.out.notify(Severity.CRITICAL, f"Trading is {risk.state.value}", f"{command.actor}: {command.reason}")
        for order in list(self.state.working.values()):
            # A guard can only lower risk: it stays, also over a halt.
            if not order.request.reduce_only or (risk.state is TradingState.HALTED and not order.request.guards):
                self.state.lapsing.setdefault(order.request.id, Fate.CANCELLED)
                self.trading.tracker.cancel(order, f"trading is {risk.state.value}")
        if risk.flattening:
            self._flatten_all(command)

    def check_flat(self) -> None:
        """While flattening: halt once nothing is held and nothing works."""
        risk = self.state.risk
        if not risk.flattening or self.state.working:
            return
        if any(bench.exit is not None for bench in self.state.benches.values()):
            return
        risk.flattening = False
        risk.state = TradingState.HALTED
        self.out.record(RiskChanged(self.state.now, risk.state, "desk", "flattened: every position is closed"), durable=True)

    def join(self, event: SourceJoined) -> None:
        """A source is added, or its settings change."""
        fault = self._fault_of(event.spec)
        if fault is not None:
            self.state.ignore("source-absurd")
            self.out.notify(Severity.WARNING, "A source was refused", f"{event.spec.name}: {fault}")
            return
        known = event.spec.name in self.state.sources
        self.state.sources[event.spec.name] = event.spec
        self.settlement.shadows.ledger(event.spec)
        verb = "source-changed" if known else "source-added"
        state = "paused" if event.spec.paused else "on"
        detail = f"{event.spec.name} ({event.spec.tier.label}, {state}, threshold {event.spec.threshold:g})"
        self.out.record(CommandDone(self.state.now, event.actor, verb, detail), durable=True)
        if event.spec.paused:
            self._release(event.spec.name)

    def leave(self, event: SourceLeft) -> None:
        """A source is removed: nothing of its own waits or stands any more; its position and its shadow stay."""
        if self.state.sources.pop(event.name, None) is None:
            self.state.ignore("source-unknown")
            return
        for decision in [waiting for waiting in self.state.queue if waiting.source == event.name]:
            self.state.queue.remove(decision)
            self.settlement.standing.finish(decision, Fate.CANCELLED, reason=f"{event.name} was removed")
        for bench in self.state.benches.values():
            bench.opinions.pop(event.name, None)
            if bench.standing is not None and bench.standing.source == event.name:
                self.settlement.standing.end(bench, Fate.CANCELLED)
        self.out.record(CommandDone(self.state.now, event.actor, "source-removed", event.name), durable=True)
        self._release(event.name)

    def health(self, event: MarketHealth) -> None:
        """A symbol's feed changed health."""
        before = self.state.risk.health.get(event.symbol, Health.FRESH)
        self.state.risk.health[event.symbol] = event.health
        if before is not event.health or event.detail:
            self.out.record(HealthChanged(self.state.now, event.symbol, event.health, event.detail))

    def instrument(self, event: InstrumentChanged) -> None:
        """The venue's word on a symbol; a symbol in another currency than the book's cannot be converted and is refused."""
        instrument = event.instrument
        if instrument.quote != self.state.portfolio.currency:
            self.state.ignore("instrument-in-another-currency")
            currency = self.state.portfolio.currency
            text = f"{instrument.symbol} is priced in {instrument.quote}; this book is kept in {currency}"
            self.out.notify(Severity.WARNING, "A symbol was refused", text)
            return
        if not _sound(instrument):
            self.state.ignore("instrument-absurd")
            self.out.notify(
                Severity.WARNING, "A symbol was refused", f"{instrument.symbol}: its steps, minimums or fees are absurd"
            )
            return
        self.state.instruments[instrument.symbol] = instrument

    def cash(self, event: CashMoved) -> None:
        """A deposit or withdrawal moves the baselines with it."""
        if event.currency != self.state.portfolio.currency:
            self.state.ignore("cash-in-another-currency")
            return
        if not event.amount.is_finite() or abs(event.amount) > ABSURD:
            self.state.ignore("cash-absurd")
            return
        if event.id:
            if event.id in self.state.transfers:
                self.state.ignore("cash-twice")
                return
            self.state.transfers[event.id] = None
        self.state.portfolio.move_cash(event.amount)
        moved = float(event.amount)
        self.state.risk.peak += moved
        self.state.risk.day_start += moved
        self.out.record(CommandDone(self.state.now, "venue", "cash-moved", f"{event.amount} {event.currency}: {event.reason}"))

    def backlog(self, event: Backlog) -> None:
        """Entries wait while broker updates pile up."""
        if self.state.risk.backlog is event.over:
            return
        self.state.risk.backlog = event.over
        if event.over:
            self.out.notify(Severity.WARNING, "Broker updates pile up", f"{event.depth} wait; entries are held back")

    def reconciled(self, event: Reconciled) -> None:
        """The account was compared with the books; a person hears of it when that opens or closes the way to the venue."""
        risk, news = self.state.risk, bool(event.fills or event.notes)
        unread = "" if event.complete else ("; ".join(event.notes) or "it has not been asked")
        if risk.unread != unread:
            news = True
            risk.unread = unread
        if event.complete and risk.unexplained != event.unexplained:
            news = True
            self._tell_difference(event.unexplained)
            risk.unexplained = event.unexplained
        fact = AccountReconciled(
            self.state.now, event.complete, event.orders, event.fills, event.notes, risk.unexplained
        )  # fmt: skip
        if news:
            self.out.record(fact, durable=True)
        else:
            self.out.publish(fact)

    def adopt(self, event: OrderAdopted) -> None:
        """Take up an order whose cause was lost: it works, and until the venue has answered for it its symbol is frozen."""
        request = event.request
        if request.id in self.state.orders:
            self.state.ignore("adopted-twice")
            return
        order = Order(request, updated=self.state.now)
        # What derives ids counts on from there, so that no later order repeats this one's.
        self.state.counter = max(self.state.counter, request.attempt)
        self.state.orders[request.id] = order
        self.state.working[request.id] = order
        self.state.bench(request.symbol).seat(request)
        self.trading.guarding.active |= request.guards
        self.trading.tracker.unknown(order, "its cause was lost in a crash")

    def _tell_difference(self, unexplained: tuple[str, ...]) -> None:
        if unexplained:
            self.out.notify(Severity.CRITICAL, "The account and the books differ: no entries", "; ".join(unexplained))
        else:
            self.out.notify(Severity.INFO, "The account is explained again", "entries are admitted")

    def _resume(self) -> None:
        for bench in self.state.benches.values():
            if bench.exit is not None and bench.exit.commanded and bench.working is None:
                bench.exit = None

    def _flatten_all(self, command: SetTradingState) -> None:
        """Leave every position, and whatever an entry on its way may still make one."""
        cause = f"{command.actor}:{self.state.now}"
        for symbol, position in self.state.portfolio.positions.items():
            if position.amount:
                source = position.lots[0].source if position.lots else ""
                wanted = ExitWanted(Leg.FLATTEN, cause, position.mark, source, commanded=True)
                self.state.bench(symbol).want_exit(wanted)
        for order in self.state.working.values():
            request, bench = order.request, self.state.bench(order.request.symbol)
            if bench.exit is None and not request.reduce_only:
                bench.want_exit(ExitWanted(Leg.FLATTEN, cause, request.reference, request.source, commanded=True))
        for bench in self.state.benches.values():
            self.settlement.standing.pursue(bench)
        self.check_flat()

    def _release(self, source: str) -> None:
        """A source that is gone or paused thinks of nothing any more: nobody waits for it."""
        for bench in self.state.benches.values():
            if bench.release(source):
                self.settlement.due(bench)

    def _fault_of(self, spec: SourceSpec) -> str | None:
        """What is wrong with a source's settings, or None."""
        if not (spec.capital.is_finite() and 0 <= spec.capital <= 1):
            return f"capital {spec.capital} is not within 0..1"
        if not 0.0 <= spec.threshold <= 1.0:
            return f"threshold {spec.threshold!r} is not within 0..1"
        if spec.settle_ms < 0 or spec.max_claim_ms < 0:
            return "settle_ms and max_claim_ms must not be negative"
        if spec.sizing is not None and spec.sizing not in self.trading.targets.sizings:
            return f"no sizing is called {spec.sizing}; there are {', '.join(self.trading.targets.sizings)}"
        return None


def _sound(instrument: Instrument) -> bool:
    """Whether an instrument's figures can be a venue's."""
    figures = (
        instrument.price_step,
        instrument.amount_step,
        instrument.min_amount,
        instrument.min_cost,
        instrument.maker_fee,
        instrument.taker_fee,
        instrument.max_amount or ZERO,
        instrument.max_market_amount or ZERO,
    )
    if not all(figure.is_finite() and abs(figure) <= ABSURD for figure in figures):
        return False
    steps = min(instrument.price_step, instrument.amount_step)
    return steps >= _LEAST_STEP and min(figures[2:4]) >= 0 and max(abs(fee) for fee in figures[4:6]) < 1
