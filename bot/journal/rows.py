"""Facts as rows: one function per type, which says by name what goes into which column.

`Decimal` becomes its exact text, an enum its value, a mapping or tuple JSON. Text from outside (reasoning, reasons, details) is
made storable first: a lone surrogate or a NUL must not keep a decision out of the journal. The columns `book` and `run` are the
writer's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

import orjson

from bot.core import facts as f
from bot.core.facts import Fact

Row = dict[str, str | int | float | bool | None]
ToRow = Callable[[Any], Row]

# Samples: another one follows, so these may be dropped when the journal is far behind; nothing else ever is.
STATISTICS = (f.EquitySampled, f.ShadowSampled)


def clean(text: str) -> str:
    """The text as any database will take it: lone surrogates replaced, NUL removed."""
    if text.isascii() and "\0" not in text:
        return text
    return text.encode("utf-8", "replace").decode().replace("\0", "")


def _clean(text: str | None) -> str | None:
    return None if text is None else clean(text)


def _money(amount: Decimal | None) -> str | None:
    return None if amount is None else str(amount)


def json_text(value: object) -> str:
    """JSON of plain values; what JSON lacks (a `Decimal`, a `Path`) as text, what no database holds replaced."""
    try:
        return orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:
        return orjson.dumps(_storable(value), default=str, option=orjson.OPT_NON_STR_KEYS).decode()


def _storable(value: object) -> object:
    """The value without lone surrogates and without integers past 64 bits."""
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return str(value)
    if isinstance(value, dict):
        return {clean(key) if isinstance(key, str) else key: _storable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_storable(item) for item in value]
    return value


def _decision(fact: f.DecisionSeen) -> Row:
    decision = fact.decision
    return {
        "at": fact.at,
        "id": clean(decision.id),
        "source": decision.source,
        "tier": decision.tier.value,
        "symbol": clean(decision.symbol),
        "action": decision.action.value,
        "confidence": decision.confidence,
        "raw_confidence": decision.raw_confidence,
        "calibrated_confidence": decision.calibrated_confidence,
        "created": decision.created,
        "expires": decision.expires,
        "price": decision.price,
        "stop_loss": decision.stop_loss,
        "take_profit": decision.take_profit,
        "trailing": decision.trailing,
        "size_fraction": decision.size_fraction,
        "reasoning": clean(decision.reasoning),
        "evidence": json_text(dict(decision.evidence)),
        "cost": str(decision.cost),
        "external_id": _clean(decision.external_id),
        "target": decision.target,
    }


def _fate(fact: f.DecisionFate) -> Row:
    return {
        "at": fact.at,
        "decision_id": clean(fact.decision_id),
        "source": fact.source,
        "tier": fact.tier.value,
        "symbol": clean(fact.symbol),
        "fate": fact.fate.value,
        "denial": None if fact.denial is None else fact.denial.value,
        "verdict_id": fact.verdict_id,
        "winner": _clean(fact.winner),
        "reason": clean(fact.reason),
    }


def _decision_fill(fact: f.DecisionFilled) -> Row:
    return {"at": fact.at, "decision_id": clean(fact.decision_id), "filled_fraction": fact.filled_fraction}


def _verdict(fact: f.Verdict) -> Row:
    return {
        "at": fact.at,
        "id": fact.id,
        "symbol": clean(fact.symbol),
        "policy": fact.policy,
        "winner": clean(fact.winner),
        "source": fact.source,
        "tier": fact.tier.value,
        "action": fact.action.value,
        "confidence": fact.confidence,
        "outranked": json_text(fact.outranked),
        "reason": clean(fact.reason),
        "target": str(fact.target),
        "position": str(fact.position),
    }


def _claim(fact: f.ClaimMade) -> Row:
    claim = fact.claim
    return {"at": fact.at, "source": claim.source, "tier": claim.tier.value, "symbol": clean(claim.symbol), "until": claim.until}


def _abstention(fact: f.AbstentionMade) -> Row:
    abstention = fact.abstention
    return {
        "at": fact.at,
        "source": abstention.source,
        "tier": abstention.tier.value,
        "symbol": clean(abstention.symbol),
        "reason": clean(abstention.reason),
        "detail": clean(abstention.detail),
    }


def _order(fact: f.OrderChanged) -> Row:
    request = fact.request
    return {
        "id": request.id,
        "at": fact.at,
        "symbol": clean(request.symbol),
        "side": request.side.value,
        "type": request.type.value,
        "amount": str(request.amount),
        "leg": request.leg.value,
        "cause": clean(request.cause),
        "attempt": request.attempt,
        "source": request.source,
        "tier": request.tier.value,
        "confidence": request.confidence,
        "reference": request.reference,
        "created": request.created,
        "price": _money(request.price),
        "trigger_price": _money(request.trigger),
        "time_in_force": request.time_in_force.value,
        "post_only": request.post_only,
        "reduce_only": request.reduce_only,
        "decision_id": _clean(request.decision_id),
        "state": fact.state.value,
        "filled": str(fact.filled),
        "average": _money(fact.average),
        "venue_id": _clean(fact.venue_id),
        "reason": clean(fact.reason),
    }


def _order_event(fact: f.OrderChanged) -> Row:
    return {
        "at": fact.at,
        "order_id": fact.request.id,
        "state": fact.state.value,
        "filled": str(fact.filled),
        "average": _money(fact.average),
        "venue_id": _clean(fact.venue_id),
        "reason": clean(fact.reason),
    }


def _fill(fact: f.FillBooked) -> Row:
    fill = fact.fill
    return {
        "at": fact.at,
        "id": clean(fill.id),
        "order_id": clean(fill.order_id),
        "symbol": clean(fill.symbol),
        "side": fill.side.value,
        "amount": str(fill.amount),
        "price": str(fill.price),
        "fee": str(fill.fee),
        "fee_currency": fill.fee_currency,
        "ts": fill.ts,
        "maker": fill.maker,
        "evidence": clean(fill.evidence),
        "source": fact.source,
        "tier": fact.tier.value,
        "confidence": fact.confidence,
        "decision_id": _clean(fact.decision_id),
        "realised": str(fact.realised),
        "fee_value": str(fact.fee_value),
        "slippage": fact.slippage,
    }


def _position(fact: f.PositionChanged) -> Row:
    return {
        "at": fact.at,
        "symbol": clean(fact.symbol),
        "amount": str(fact.amount),
        "average": _money(fact.average),
        "price": fact.price,
        "realised": str(fact.realised),
        "unrealised": fact.unrealised,
        "opener": fact.opener,
        "stop_loss": fact.stop_loss,
        "take_profit": fact.take_profit,
        "trailing_stop": fact.trailing_stop,
    }


def _lot(fact: f.LotClosed) -> Row:
    return {
        "at": fact.at,
        "symbol": clean(fact.symbol),
        "side": fact.side.value,
        "amount": str(fact.amount),
        "entry": str(fact.entry),
        "exit": str(fact.exit),
        "opened": fact.opened,
        "opener": fact.opener,
        "opener_tier": fact.opener_tier.value,
        "opening_decision": _clean(fact.opening_decision),
        "closer": fact.closer,
        "closing_leg": fact.closing_leg,
        "fees": str(fact.fees),
        "pnl": str(fact.pnl),
    }


def _equity(fact: f.EquitySampled) -> Row:
    return {
        "at": fact.at,
        "cash": str(fact.cash),
        "equity": fact.equity,
        "unrealised": fact.unrealised,
        "realised": str(fact.realised),
        "fees": str(fact.fees),
        "peak": fact.peak,
        "drawdown": fact.drawdown,
        "exposure": fact.exposure,
    }


def _shadow_sample(fact: f.ShadowSampled) -> Row:
    return {
        "at": fact.at,
        "source": fact.source,
        "tier": fact.tier.value,
        "equity": fact.equity,
        "realised": str(fact.realised),
        "unrealised": fact.unrealised,
        "fees": str(fact.fees),
        "trades": fact.trades,
        "wins": fact.wins,
    }


def _shadow_trade(fact: f.ShadowClosed) -> Row:
    return {
        "at": fact.at,
        "source": fact.source,
        "symbol": clean(fact.symbol),
        "decision_id": clean(fact.decision_id),
        "opened": fact.opened,
        "entry": str(fact.entry),
        "exit": str(fact.exit),
        "amount": str(fact.amount),
        "pnl": str(fact.pnl),
        "leg": fact.leg,
    }


def _override(fact: f.OverrideClosed) -> Row:
    return {
        "at": fact.at,
        "symbol": clean(fact.symbol),
        "loser": fact.loser,
        "winner": fact.winner,
        "decision_id": clean(fact.decision_id),
        "verdict_id": fact.verdict_id,
        "since": fact.since,
        "shadow_pnl": fact.shadow_pnl,
        "book_pnl": fact.book_pnl,
        "cost": fact.cost,
    }


def _risk(fact: f.RiskChanged) -> Row:
    return {"at": fact.at, "state": fact.state.value, "actor": clean(fact.actor), "reason": clean(fact.reason)}


def _reconciliation(fact: f.AccountReconciled) -> Row:
    return {
        "at": fact.at,
        "complete": fact.complete,
        "orders": fact.orders,
        "fills": fact.fills,
        "notes": clean("\n".join(fact.notes)),
        "unexplained": clean("\n".join(fact.unexplained)),
    }


def _health(fact: f.HealthChanged) -> Row:
    return {"at": fact.at, "symbol": clean(fact.symbol), "health": fact.health.value, "detail": clean(fact.detail)}


def _command(fact: f.CommandDone) -> Row:
    return {"at": fact.at, "actor": clean(fact.actor), "command": clean(fact.command), "detail": clean(fact.detail)}


# The order of an entry is the order of the inserts: an order's event refers to the order.
ROWS: dict[type, tuple[tuple[str, ToRow], ...]] = {
    f.DecisionSeen: (("decisions", _decision),),
    f.DecisionFate: (("fates", _fate),),
    f.DecisionFilled: (("decision_fills", _decision_fill),),
    f.Verdict: (("verdicts", _verdict),),
    f.ClaimMade: (("claims", _claim),),
    f.AbstentionMade: (("abstentions", _abstention),),
    f.OrderChanged: (("orders", _order), ("order_events", _order_event)),
    f.FillBooked: (("fills", _fill),),
    f.PositionChanged: (("positions", _position),),
    f.LotClosed: (("lots_closed", _lot),),
    f.EquitySampled: (("equity", _equity),),
    f.ShadowSampled: (("shadow_samples", _shadow_sample),),
    f.ShadowClosed: (("shadow_trades", _shadow_trade),),
    f.OverrideClosed: (("overrides", _override),),
    f.RiskChanged: (("risk_states", _risk),),
    f.AccountReconciled: (("reconciliations", _reconciliation),),
    f.HealthChanged: (("market_health", _health),),
    f.CommandDone: (("commands", _command),),
}


def rows_by_table(facts: Iterable[Fact]) -> list[tuple[str, list[Fact], ToRow]]:
    """The facts sorted by table, each table's in their own order, with the function that makes their rows."""
    grouped: dict[type, list[Fact]] = {}
    for fact in facts:
        grouped.setdefault(type(fact), []).append(fact)
    return [(table, group, to_row) for kind, group in grouped.items() for table, to_row in ROWS[kind]]
