"""Controls: what operators, configuration and the venue change about the desk itself.

REDUCING and HALTED cancel working entries at once. A closing bot never re-buys: flattening leaves every position through the
same exits as protection does, and the desk halts when the last is gone.
"""

from __future__ import annotations

from dataclasses import dataclass

from bot.core.decision import Fate
from bot.core.effects import Severity
from bot.core.facts import CommandDone, HealthChanged, RiskChanged
from bot.core.inputs import (
    Backlog,
    CashMoved,
    InstrumentChanged,
    MarketHealth,
    SetTradingState,
    SourceJoined,
    SourceLeft,
    TradingState,
)
from bot.core.market import Health
from bot.core.orders import Leg
from bot.core.settlement import Settlement
from bot.core.state import DeskState, ExitWanted, Outbox
from bot.core.trading import Trading


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
        self.out.record(RiskChanged(self.state.now, risk.state, command.actor, command.reason), durable=True)
        detail = f"{command.state.value}{', flatten' if command.flatten else ''}: {command.reason}"
        self.out.record(CommandDone(self.state.now, command.actor, "set-trading-state", detail), durable=True)
        if command.state is TradingState.ACTIVE:
            self._resume()
            return
        self.out.notify(Severity.CRITICAL, f"Trading is {risk.state.value}", f"{command.actor}: {command.reason}")
        for order in list(self.state.working.values()):
            if not order.request.reduce_only or risk.state is TradingState.HALTED:
                self.state.lapsing.setdefault(order.request.id, Fate.CANCELLED)
                self.trading.cancel(order, f"trading is {risk.state.value}")
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
        known = event.spec.name in self.state.sources
        self.state.sources[event.spec.name] = event.spec
        self.settlement.shadows.ledger(event.spec)
        verb = "source-changed" if known else "source-added"
        state = "paused" if event.spec.paused else "on"
        detail = f"{event.spec.name} ({event.spec.tier.label}, {state}, threshold {event.spec.threshold:g})"
        self.out.record(CommandDone(self.state.now, event.actor, verb, detail), durable=True)

    def leave(self, event: SourceLeft) -> None:
        """A source is removed: nothing of its own waits or stands any more; its position and its shadow stay."""
        if self.state.sources.pop(event.name, None) is None:
            self.state.ignore("source-unknown")
            return
        for decision in [waiting for waiting in self.state.queue if waiting.source == event.name]:
            self.state.queue.remove(decision)
            self.settlement.finish(decision, Fate.CANCELLED, reason=f"{event.name} was removed")
        for bench in self.state.benches.values():
            bench.opinions.pop(event.name, None)
            bench.claims.pop(event.name, None)
            if bench.standing is not None and bench.standing.source == event.name:
                self.settlement.end_standing(bench, Fate.CANCELLED)
        self.out.record(CommandDone(self.state.now, event.actor, "source-removed", event.name), durable=True)

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
        steps = (instrument.price_step, instrument.amount_step)
        if any(step <= 0 for step in steps):
            self.state.ignore("instrument-without-steps")
            return
        self.state.instruments[instrument.symbol] = instrument

    def cash(self, event: CashMoved) -> None:
        """A deposit or withdrawal moves the baselines with it."""
        if event.currency != self.state.portfolio.currency:
            self.state.ignore("cash-in-another-currency")
            return
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

    def _resume(self) -> None:
        for bench in self.state.benches.values():
            if bench.exit is not None and bench.exit.leg is Leg.FLATTEN and bench.working is None:
                bench.exit = None

    def _flatten_all(self, command: SetTradingState) -> None:
        for symbol, position in self.state.portfolio.positions.items():
            if not position.amount:
                continue
            bench = self.state.bench(symbol)
            bench.exit = ExitWanted(Leg.FLATTEN, f"{command.actor}:{self.state.now}", position.mark, position.lots[0].source)
            self.settlement.pursue(bench)
        self.check_flat()
