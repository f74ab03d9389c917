"""The queue as it is: who waits to be heard, who stands, who is thinking, and which orders work."""

from __future__ import annotations

from decimal import Decimal

from bot.core.decision import Action, Decision, Tier
from bot.core.desk import TradingDesk
from bot.core.orders import ZERO, Order
from bot.core.queue import priority
from bot.core.sizing import TrackRecord
from bot.core.state import Bench
from bot.core.targets import plan
from bot.services.trading.at_desk import digits, told


def queue_json(desk: TradingDesk, now: int) -> dict[str, object]:
    """All of it, the first to be heard first."""
    state = desk.state
    standing = [bench for bench in state.benches.values() if bench.standing is not None]
    standing.sort(key=lambda bench: priority(_stands(bench)))
    return {
        "now": now,
        "policy": desk.config.arbiter.policy.value,
        "bound": state.queue.bound,
        "waiting": [_waiting(desk, decision, now) for decision in sorted(state.queue, key=priority)],
        "standing": [_standing(desk, bench) for bench in standing],
        "claims": [
            {
                "source": claim.source,
                "tier": int(claim.tier),
                "tier_name": claim.tier.label,
                "symbol": claim.symbol,
                "since": bench.claimed.get(claim.source),
                "until": claim.until,
            }
            for bench in state.benches.values()
            for claim in bench.claims.values()
            if claim.until > now
        ],
        "working": [_order(order) for order in state.working.values()],
    }


def on_its_way(desk: TradingDesk, decision: Decision) -> Decimal:
    """The signed remainder of the order that works on the symbol in the decision's direction, as the desk counts it."""
    bench = desk.state.benches.get(decision.symbol)
    order = None if bench is None else desk.state.working.get(bench.working or "")
    if order is None or order.request.side.value != decision.action.value:
        return ZERO
    return order.remaining * order.request.side.sign


def target_of(desk: TradingDesk, bench: Bench) -> str | None:
    """The position that what stands wants as things are, None where that cannot be said; a HOLD wants the one that is there."""
    state, decision = desk.state, _stands(bench)
    symbol, working = decision.symbol, on_its_way(desk, decision)
    held = state.portfolio.amount(symbol)
    if decision.action is Action.HOLD:
        return digits(held)
    spec, instrument = state.sources.get(decision.source), state.instruments.get(symbol)
    if spec is None or instrument is None or symbol not in state.prices:
        return None
    asked = bool(working) or decision.id not in state.open
    if spec.adds and decision.action is Action.BUY and decision.target is None and asked and not bench.pursuing:
        return digits(held + working)  # it builds on what was there when its order was made, and once only
    ledger = state.shadows.get(decision.source)
    record = TrackRecord() if ledger is None else ledger.record()
    return digits(plan(decision, spec, state.portfolio, desk.market, instrument, record, desk.config.targets, working).target)


def _stands(bench: Bench) -> Decision:
    assert bench.standing is not None
    return bench.standing


def _waiting(desk: TradingDesk, decision: Decision, now: int) -> dict[str, object]:
    bench = desk.state.benches.get(decision.symbol)
    return {
        **told(decision, desk.market.price(decision.symbol)),
        "settles_at": (bench.settle_at or None) if bench is not None else None,
        "waits_for": None if bench is None else _thinker(bench, decision.tier, now),
    }


def _thinker(bench: Bench, tier: Tier, now: int) -> str | None:
    """The source of a higher tier that thinks longest about the symbol."""
    above = [claim for claim in bench.claims.values() if claim.tier < tier and claim.until > now]
    return max(above, key=lambda claim: claim.until).source if above else None


def _standing(desk: TradingDesk, bench: Bench) -> dict[str, object]:
    decision = _stands(bench)
    settled = [opinion for opinion in bench.opinions.values() if opinion.id not in desk.state.open]
    # A HOLD that does not stand was heard and stood in nobody's way: it was not outranked.
    contrary = [each for each in settled if each.action not in {decision.action, Action.HOLD}]
    return {
        **told(decision, desk.market.price(decision.symbol)),
        "since": decision.created,
        "verdict": bench.verdict_id,
        "target": target_of(desk, bench),
        "position": digits(desk.portfolio.amount(decision.symbol)),
        "pursuing": bench.pursuing,
        "refused": None if bench.refused is None else bench.refused.value,
        "outranked": [told(opinion, None, 120) for opinion in sorted(contrary, key=priority)],
    }


def _order(order: Order) -> dict[str, object]:
    request = order.request
    return {
        "id": request.id,
        "symbol": request.symbol,
        "side": request.side.value,
        "type": request.type.value,
        "leg": request.leg.value,
        "amount": digits(request.amount),
        "filled": digits(order.filled),
        "price": None if request.price is None else digits(request.price),
        "trigger": None if request.trigger is None else digits(request.trigger),
        "reference": request.reference,
        "state": order.state.value,
        "cancelling": order.cancelling,
        "guards": request.guards,
        "source": request.source,
        "tier": int(request.tier),
        "tier_name": request.tier.label,
        "decision": request.decision_id,
        "created": request.created,
        "updated": order.updated,
    }
