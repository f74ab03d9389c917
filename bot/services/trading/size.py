"""What each sizing policy would hold of a symbol at a confidence, before risk and after it, and which one would be used."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from decimal import Decimal

from bot.core.decision import Action, Decision, SourceSpec, Tier
from bot.core.desk import TradingDesk
from bot.core.orders import ZERO
from bot.core.risk import OrderDraft, Refusal, RiskContext, RiskGate, whole_steps
from bot.core.sizing import (
    CappedKelly,
    ConfidenceScaled,
    FixedFraction,
    Sizing,
    SizingContext,
    TrackRecord,
    average_true_range,
    target_notional,
)
from bot.core.targets import plan
from bot.services.trading.at_desk import digits, fraction, listed
from bot.services.trading.copies import copied
from bot.services.trading.queue import on_its_way
from bot.services.trading.validate import source_of, unheard
from bot.services.use_case import UseCaseError

_LASTS_MS = 60_000


@dataclass(frozen=True, slots=True)
class Idea:
    """A buy that somebody thinks of. Without a `source` it has all of the capital and the desk's default sizing."""

    symbol: str
    confidence: float
    source: str | None = None
    stop_loss: float | None = None


def size_json(desk: TradingDesk, now: int, idea: Idea) -> dict[str, object]:
    """The answer; `UseCaseError` for a symbol or source that the desk does not know, or a stop that is no stop."""
    symbol = listed(desk, idea.symbol)
    price = desk.market.price(symbol)
    if price is None:
        message = f"no price of {symbol} has come yet: ask again when its feed is up"
        raise UseCaseError(message)
    if idea.stop_loss is not None and idea.stop_loss >= price:
        message = f"stop_loss {idea.stop_loss:g} is not below the price {price:g}: a buy is stopped below it"
        raise UseCaseError(message)
    spec = source_of(desk, idea.source) or SourceSpec("", Tier.TRADITIONAL)
    ledger = desk.state.shadows.get(spec.name)
    record = TrackRecord() if ledger is None else ledger.record()
    used = spec.sizing or desk.config.targets.default_sizing
    decision = Decision(
        "idea", spec.name, spec.tier, symbol, Action.BUY, idea.confidence, now, now + _LASTS_MS, price, stop_loss=idea.stop_loss
    )
    book = copied(desk, now)
    policies = [
        {**_policy(desk, book, decision, replace(spec, sizing=name), record, price), "used": name == used}
        for name in desk.config.targets.sizings
    ]
    return {
        "now": now,
        "symbol": symbol,
        "source": idea.source,
        "confidence": idea.confidence,
        "heard": idea.confidence >= spec.threshold and unheard(spec, symbol) is None,
        "stop_loss": idea.stop_loss,
        "price": price,
        "currency": desk.portfolio.currency,
        "equity": digits(desk.portfolio.equity),
        "capital": digits(float(spec.capital) * desk.portfolio.equity),
        "held": digits(desk.portfolio.amount(symbol)),
        "used": used,
        "policies": policies,
    }


def _policy(
    desk: TradingDesk, book: RiskContext, decision: Decision, spec: SourceSpec, record: TrackRecord, price: float
) -> dict[str, object]:
    """One policy's target, and the order that would be missing to it after risk."""
    rules, instrument, equity = desk.config.targets, desk.state.instruments[decision.symbol], desk.portfolio.equity
    assert spec.sizing is not None
    sizing = rules.sizings[spec.sizing]
    candles = desk.market.history(decision.symbol, rules.timeframe)
    notional = target_notional(sizing, decision, SizingContext(float(spec.capital) * equity, price, candles, record))
    amount = whole_steps(instrument, Decimal(repr(notional / price)))
    working = on_its_way(desk, decision)
    wanted = plan(decision, spec, book.portfolio, desk.market, instrument, record, rules, working)
    answer: OrderDraft | Refusal | None = unheard(spec, decision.symbol)
    if answer is None and wanted.draft is not None:
        answer = RiskGate(desk.config.limits.checks()).judge(wanted.draft, book)
    refusal = answer if isinstance(answer, Refusal) else None
    order = answer.amount if isinstance(answer, OrderDraft) else ZERO
    return {
        "name": spec.sizing,
        "kind": type(sizing).__name__,
        "parameters": asdict(sizing),
        "basis": _basis(desk, sizing, decision, record),
        "fraction": fraction(notional, equity),
        "notional": digits(notional),
        "amount": digits(amount),
        "at_stop": None if decision.stop_loss is None else digits(float(amount) * (price - decision.stop_loss)),
        "order": {
            "amount": digits(order),
            "notional": digits(float(order) * price),
            "fraction": fraction(float(order) * price, equity),
            "fate": None if wanted.fate is None else wanted.fate.value,
            "denial": None if refusal is None else refusal.denial.value,
            "reason": "" if refusal is None else refusal.detail,
        },
    }


def _basis(desk: TradingDesk, sizing: Sizing, decision: Decision, record: TrackRecord) -> str:
    """What the policy goes by, in a sentence."""
    if isinstance(sizing, FixedFraction):
        return f"always {sizing.fraction:.2%} of the capital"
    if isinstance(sizing, ConfidenceScaled):
        return f"from {sizing.least:.2%} to {sizing.most:.2%} of the capital, at confidence {decision.confidence:.2f}"
    if isinstance(sizing, CappedKelly):
        if record.trades < sizing.least_trades:
            few = f"{record.trades} closed shadow trades, {sizing.least_trades} are needed"
            return f"{few}: the fallback, {sizing.fallback:.2%} of the capital"
        return f"{record.wins} of {record.trades} shadow trades won; mean win {record.mean_win:.2%}, loss {record.mean_loss:.2%}"
    timeframe = desk.config.targets.timeframe
    candles = desk.market.history(decision.symbol, timeframe)
    average = average_true_range(candles, sizing.period)
    if average is None:
        few = f"{len(candles)} candles of {timeframe}, {sizing.period + 1} are needed"
        return f"{few}: the fallback, {sizing.fallback:.2%} of the capital"
    return f"{sizing.risk:.2%} of the capital over {sizing.multiple:g} average true ranges of {average:g} ({timeframe})"
