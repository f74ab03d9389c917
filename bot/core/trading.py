"""Trading: from a target to an order.

One order works per symbol. What a decision wants is considered against the position and the order already on its way; risk has
the last word. Exits come before everything else and are retried until the position is gone or too small to trade.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from bot.core.decision import Decision, Fate, SourceSpec
from bot.core.effects import Severity
from bot.core.guarding import Guarding
from bot.core.market import MarketView, Side
from bot.core.orders import OPINIONS, ZERO, Leg, Order, OrderRequest, OrderType, client_order_id
from bot.core.protection import guard
from bot.core.risk import OrderDraft, Refusal, RiskContext, RiskGate
from bot.core.shadow import Shadows
from bot.core.state import Bench, DeskState, ExitWanted, Outbox
from bot.core.targets import TargetRules, plan, touch
from bot.core.tracking import OrderTracker
from bot.core.values import value


@value
class Attempt:
    """What trying for a decision's target would do now: nothing (`fate`), be refused, or send `draft`."""

    target: Decimal
    draft: OrderDraft | None = None
    fate: Fate | None = None
    refusal: Refusal | None = None


@dataclass(slots=True)
class Trading:
    """How one desk comes by its targets."""

    state: DeskState
    out: Outbox
    market: MarketView
    gate: RiskGate
    book: RiskContext
    shadows: Shadows
    targets: TargetRules
    tracker: OrderTracker
    guarding: Guarding

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
        """Ask for the order that an attempt came to, once the one before it, and a guard that locks what it needs, has ended."""
        order = self.state.working.get(bench.working or "")
        if order is not None or self.guarding.release(bench, draft.side, f"{decision.id} trades what it locks"):
            bench.pursuing = True
            return
        leg = Leg.EXIT if draft.reduces else Leg.ENTRY
        if leg is Leg.ENTRY:
            bench.guard = guard(decision, draft.side.sign, draft.price)
        self._request(bench, draft, leg, decision.id, decision)

    def let_out(self, bench: Bench, decision: Decision, draft: OrderDraft) -> None:
        """Let a decision that does not stand leave the position; where a guard locks it, once that has ended."""
        if not self.guarding.release_for(bench, decision, draft.side):
            self.carry_out(bench, decision, draft)

    def contrary(self, bench: Bench, decision: Decision) -> Order | None:
        """The order of another opinion than the decision's that still works on the symbol; protection is nobody's opinion."""
        order = self.state.working.get(bench.working or "")
        if order is None or order.request.leg not in OPINIONS or order.request.side.value == decision.action.value:
            return None
        return order

    def serves(self, order: Order, decision: Decision) -> bool:
        """Whether an order works towards what the decision wants."""
        return order.request.leg in OPINIONS and order.request.side.value == decision.action.value

    def leave(self, bench: Bench) -> bool:
        """Work on the exit that the symbol must make; True while there is one."""
        wanted = bench.exit
        if wanted is None:
            return False
        amount = self.state.portfolio.amount(bench.symbol)
        order = self.state.working.get(bench.working or "")
        if order is not None:
            if order.request.leg is Leg.ENTRY:
                self.tracker.cancel(order, f"the position must be left: {wanted.leg.value}")
            return True
        if not amount:
            bench.exit = None
            return False
        if self.state.now < bench.retry_at:
            return True
        return self._exit(bench, wanted, amount)

    def _exit(self, bench: Bench, wanted: ExitWanted, amount: Decimal) -> bool:
        side = Side.SELL if amount > 0 else Side.BUY
        instrument = self.state.instruments[bench.symbol]
        price = touch(self.market, bench.symbol, side)
        draft = OrderDraft(bench.symbol, side, abs(amount), price, wanted.level, wanted.source, 1.0, True, instrument)
        answer = self.gate.judge(draft, self.book)
        if isinstance(answer, OrderDraft):
            if not self.guarding.release(bench, side, f"the position must be left: {wanted.leg.value}"):
                self._request(bench, answer, wanted.leg, wanted.cause, None)
            return True
        if answer.denial.permanent:
            bench.exit = None
            self.state.protections.pop(bench.symbol, None)
            self.out.notify(Severity.WARNING, "A remainder is too small to sell", f"{bench.symbol}: {answer.detail}")
            return False
        self.state.come_back(bench, self.tracker.rules.retry_ms)
        return True

    def _request(self, bench: Bench, draft: OrderDraft, leg: Leg, cause: str, decision: Decision | None) -> None:
        """Make the order and let the tracker take it from there."""
        state, rules = self.state, self.tracker.rules
        attempt = state.next_id()
        kind, price = OrderType.MARKET, None
        if leg is Leg.ENTRY and rules.entry is OrderType.LIMIT:
            kind, price = OrderType.LIMIT, draft.instrument.round_price(Decimal(repr(draft.price)))
        tier = decision.tier if decision is not None else self.shadows.tier_of(draft.source, state.sources.get(draft.source))
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
        self.tracker.begin(bench, request)
