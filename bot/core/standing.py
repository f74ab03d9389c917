"""Standing: what a decision that won still wants, and the fate it meets.

The standing decision is pursued until its target is reached, its order has ended, or its time is over. Exits come first. Each
decision meets exactly one fate, here.
"""

from __future__ import annotations

from dataclasses import dataclass

from bot.core.decision import Action, Decision, Denial, Fate
from bot.core.effects import Severity
from bot.core.facts import DecisionFate, RiskChanged
from bot.core.orders import ZERO, Leg, Order
from bot.core.risk import Refusal
from bot.core.state import Bench, DeskState, ExitWanted, Outbox
from bot.core.trading import Attempt, Trading


@dataclass(slots=True)
class Standing:
    """The standing decisions of one desk, one per symbol."""

    state: DeskState
    out: Outbox
    trading: Trading

    def finish(
        self,
        decision: Decision,
        fate: Fate,
        *,
        denial: Denial | None = None,
        verdict_id: str | None = None,
        winner: str | None = None,
        reason: str = "",
    ) -> None:
        """Give a decision its one terminal fate; a second is impossible."""
        if self.state.open.pop(decision.id, None) is None:
            return
        self.out.record(
            DecisionFate(
                self.state.now,
                decision.id,
                decision.source,
                decision.tier,
                decision.symbol,
                fate,
                denial,
                verdict_id,
                winner,
                reason,
            )
        )

    def end(self, bench: Bench, fate: Fate, keep_order: bool = False) -> None:
        """The standing decision stands no more; `fate` is what it becomes if it has met none and no order of its lives on.

        An order that works towards its target, be it of an earlier decision that agreed, ends with it.
        """
        standing = bench.standing
        bench.standing, bench.pursuing, bench.refused = None, False, None
        if standing is None:
            return
        order = self.state.working.get(bench.working or "")
        own = order is not None and order.request.decision_id == standing.id
        if order is not None and not keep_order and (own or self.trading.serves(order, standing)):
            self.trading.tracker.cancel(order, f"the decision was {fate.value}")
            if own:
                self.state.lapsing[order.request.id] = fate
        if own:
            return
        if standing.id in self.state.open:
            self.finish(standing, fate, verdict_id=bench.verdict_id)

    def order_done(self, order: Order) -> None:
        """An order ended: its decision meets its fate, and the symbol goes on."""
        request = order.request
        lapsed = self.state.lapsing.pop(request.id, None)
        decision = self.state.open.get(request.decision_id or "")
        bench = self.state.bench(request.symbol)
        owner = bench.standing is not None and bench.standing.id == request.decision_id
        if decision is not None and not order.filled:
            fate = lapsed or self.trading.tracker.fate_of(order)
            self.finish(decision, fate, verdict_id=bench.verdict_id, reason=order.reason)
            if owner:
                bench.standing, bench.refused = None, None
        if owner:
            # An exit that got only part of the way goes on; an entry makes do with what it got.
            part = request.leg is Leg.EXIT and order.filled > ZERO and self.state.portfolio.amount(request.symbol) != ZERO
            bench.pursuing = part
        self.pursue(bench)

    def guard_done(self, bench: Bench) -> None:
        """The guard is gone, and with it the lock on the position: what waited to sell goes on."""
        resting = bench.resting
        released = None if resting is None else resting.released
        if resting is not None and released is not None:
            resting.released = None
            self._let_go(bench, released)
        self.pursue(bench)

    def _let_go(self, bench: Bench, decision: Decision) -> None:
        """Let a decision that does not stand sell, if there still is what it wanted to sell."""
        spec = self.state.sources.get(decision.source)
        if decision.id not in self.state.open:
            return
        if decision.expires <= self.state.now:
            self.finish(decision, Fate.EXPIRED, verdict_id=bench.verdict_id)
            return
        if spec is None or bench.exit is not None or bench.working is not None:
            self.finish(decision, Fate.CANCELLED, verdict_id=bench.verdict_id, reason="its turn passed before the guard ended")
            return
        attempt = self.trading.consider(decision, spec, bench)
        if attempt.draft is not None and attempt.draft.reduces:
            self.trading.let_out(bench, decision, attempt.draft)
        elif attempt.refusal is not None:
            denial, detail = attempt.refusal.denial, attempt.refusal.detail
            self.finish(decision, Fate.DENIED, denial=denial, verdict_id=bench.verdict_id, reason=detail)
        else:
            self.finish(decision, attempt.fate or Fate.CANCELLED, verdict_id=bench.verdict_id)

    def stayed(self, order: Order, why: Denial) -> None:
        """An order never left the bot: the standing decision tries again, any other meets its fate."""
        request = order.request
        lapsed = self.state.lapsing.pop(request.id, None)
        bench = self.state.bench(request.symbol)
        if lapsed is None and bench.standing is not None and bench.standing.id == request.decision_id:
            bench.refused, bench.pursuing = why, True
            return
        decision = self.state.open.get(request.decision_id or "")
        if decision is not None:
            denial = why if lapsed is None else None
            self.finish(decision, lapsed or Fate.DENIED, denial=denial, verdict_id=bench.verdict_id, reason=order.reason)

    def booked_late(self, order: Order) -> None:
        """A fill came after its order's end: the position is another one, and what stands against it acts again."""
        bench = self.state.bench(order.request.symbol)
        standing, request = bench.standing, order.request
        if standing is not None and standing.action is not Action.HOLD and standing.action.value != request.side.value:
            # A guard that fired is no reason to buy again.
            bench.pursuing = bench.pursuing or not request.guards
        self.pursue(bench)

    def pursue(self, bench: Bench) -> None:
        """Go on with what the symbol still wants: an exit first, else the standing decision's target."""
        if self.trading.leave(bench):
            return
        standing = bench.standing
        if standing is None or not bench.pursuing or bench.working is not None:
            return
        spec = self.state.sources.get(standing.source)
        if spec is None:
            self.end(bench, Fate.CANCELLED)
            return
        self.carry(bench, standing, self.trading.consider(standing, spec, bench))

    def carry(self, bench: Bench, decision: Decision, attempt: Attempt) -> None:
        """Act on what an attempt at the standing decision's target came to."""
        bench.pursuing = False
        bench.refused = None
        if self.trading.contrary(bench, decision) is not None:
            # It may still trade while it is being cancelled: wait for its end and start from the position that is there.
            bench.pursuing = True
        elif attempt.draft is not None:
            if bench.exit is None:
                self.trading.carry_out(bench, decision, attempt.draft)
            else:
                bench.pursuing = True
        elif attempt.fate is not None:
            self.finish(decision, attempt.fate, verdict_id=bench.verdict_id)
        elif attempt.refusal is not None and attempt.refusal.denial.permanent:
            denial, detail = attempt.refusal.denial, attempt.refusal.detail
            if decision.id in self.state.open:
                self.finish(decision, Fate.DENIED, denial=denial, verdict_id=bench.verdict_id, reason=detail)
                bench.standing = None
        elif attempt.refusal is not None:
            bench.refused = attempt.refusal.denial
            bench.pursuing = True
            self._warn(attempt.refusal)
            self.state.come_back(bench, self.trading.tracker.rules.retry_ms)

    def flatten(self, bench: Bench, decision: Decision) -> None:
        """Leave the position of an expired decision's source, and what an entry on its way may still add to it."""
        position = self.state.portfolio.positions.get(bench.symbol)
        held = position is not None and bool(position.lots) and position.lots[0].source == decision.source
        order = self.state.working.get(bench.working or "")
        entering = order is not None and order.request.leg is Leg.ENTRY and order.request.source == decision.source
        if bench.exit is not None or decision.action is Action.HOLD or not (held or entering):
            return
        if held and position is not None and (position.amount > ZERO) is not (decision.action is Action.BUY):
            return
        level = self.state.prices[bench.symbol]
        bench.want_exit(ExitWanted(Leg.FLATTEN, decision.id, level, decision.source))
        self.pursue(bench)

    def _warn(self, refusal: Refusal) -> None:
        """Say aloud that losses hold entries back."""
        risk, now = self.state.risk, self.state.now
        if risk.news(refusal.denial, now):
            self.out.record(RiskChanged(now, risk.state, "risk", f"{refusal.denial.value}: {refusal.detail}"), durable=True)
            self.out.notify(Severity.WARNING, "Losses hold entries back", f"{refusal.denial.value}: {refusal.detail}")
