"""From a decision to a target position, and from the target to what is missing.

Targets, not deltas: what is missing is target - position - working remainder, so a repeated buy does not pyramid. Only a source
marked `adds` builds on what is there. A buy never sells and a sell never buys: a position within `band` of its target, or beyond
it, is at its target. A sell closes, unless its decision names the share that is to be left.
"""

from __future__ import annotations

from decimal import Decimal

from bot.core.decision import Action, Decision, Fate, SourceSpec
from bot.core.market import Instrument, MarketView, Side
from bot.core.orders import ZERO
from bot.core.portfolio import Portfolio
from bot.core.risk import OrderDraft, whole_steps
from bot.core.sizing import Sizing, SizingContext, TrackRecord, target_notional
from bot.core.values import value


@value
class TargetRules:
    """How decisions become targets.

    `band` is the fraction of a target that is not worth an order; `timeframe` the candles that volatility is measured on.
    """

    sizings: dict[str, Sizing]
    default_sizing: str
    band: float = 0.10
    allow_short: bool = False
    timeframe: str = "1m"


@value
class Plan:
    """The target position of a decision and what is missing to it; `fate` says that nothing is, and why."""

    target: Decimal
    draft: OrderDraft | None
    fate: Fate | None = None


def plan(
    decision: Decision,
    spec: SourceSpec,
    portfolio: Portfolio,
    market: MarketView,
    instrument: Instrument,
    record: TrackRecord,
    rules: TargetRules,
    working: Decimal = ZERO,
) -> Plan:
    """The plan of a BUY or SELL on a symbol that has a price; `working` is the signed remainder of orders on their way."""
    position = portfolio.amount(decision.symbol)
    ahead = position + working
    target = _target(decision, spec, portfolio, market, instrument, record, rules, ahead)
    missing = target - ahead
    buying = decision.action is Action.BUY
    if not buying and (missing >= ZERO or (target > ZERO and -missing <= target * Decimal(repr(rules.band)))):
        return Plan(target, None, Fate.NOTHING_TO_SELL if target == ZERO else Fate.ALREADY_AT_TARGET)
    if buying and (missing <= ZERO or (ahead > ZERO and not spec.adds and missing <= target * Decimal(repr(rules.band)))):
        return Plan(ahead if ahead > target else target, None, Fate.ALREADY_AT_TARGET)
    side = Side.BUY if buying else Side.SELL
    reduces = position * side.sign < 0 and abs(missing) <= abs(position)
    draft = OrderDraft(
        decision.symbol,
        side,
        abs(missing),
        touch(market, decision.symbol, side),
        decision.price,
        decision.source,
        float(spec.capital),
        reduces,
        instrument,
    )
    return Plan(target, draft)


def _target(
    decision: Decision,
    spec: SourceSpec,
    portfolio: Portfolio,
    market: MarketView,
    instrument: Instrument,
    record: TrackRecord,
    rules: TargetRules,
    ahead: Decimal,
) -> Decimal:
    """Signed amount the decision wants to hold."""
    if decision.target is not None:
        worth = decision.target * float(spec.capital) * max(0.0, portfolio.equity)
        return whole_steps(instrument, Decimal(repr(worth / market.prices[decision.symbol])))
    if decision.action is Action.SELL and not rules.allow_short:
        return ZERO
    price = market.prices[decision.symbol]
    sizing = rules.sizings[spec.sizing or rules.default_sizing]
    capital = float(spec.capital) * portfolio.equity
    context = SizingContext(capital, price, market.history(decision.symbol, rules.timeframe), record)
    notional = target_notional(sizing, decision, context)
    amount = whole_steps(instrument, Decimal(repr(max(0.0, notional) / price)))
    if spec.adds:
        return ahead + amount if decision.action is Action.BUY else ahead - amount
    return amount if decision.action is Action.BUY else -amount


def touch(market: MarketView, symbol: str, side: Side) -> float:
    """The price a taker would meet: the far side of the quote, else the newest price."""
    quote = market.quotes.get(symbol)
    if quote is None:
        return market.prices[symbol]
    return quote.ask if side is Side.BUY else quote.bid
