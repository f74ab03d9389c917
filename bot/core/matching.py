"""Fill arithmetic, shared by the paper broker and the shadow ledgers, so that both pay the same price for the same trade.

Market data come in as floats and become `Decimal` by their shortest decimal text; what is owed leaves as exact `Decimal`. Every
rounding goes against us: a buy pays up to the next price step, a sell receives down to it, a fee is rounded up. Nothing here
keeps state, reads a clock or draws a number.
"""

from __future__ import annotations

import math
from decimal import ROUND_CEILING, Decimal

from bot.core.market import Candle, Instrument, Quote, Side, Trade
from bot.core.orders import ZERO, Leg
from bot.core.values import value

ONE = Decimal(1)
TWO = Decimal(2)
FEE_STEP = Decimal("1E-10")
"""Fees are rounded up to this, so that the sum of any number of them stays exact within 28 digits."""


@value
class FillModel:
    """How harshly the paper world trades against us.

    `maker_fee` and `taker_fee` are fractions of the notional, None meaning the instrument's own. `slippage` is the fraction added
    against us to every taker fill. `impact` is depth-aware: the fraction of the spread added per multiple of the displayed size
    that is taken. `latency_ms` passes between a request and its arrival where quotes drive the market (a candle is too coarse to
    see it). `candle_spread` is the whole spread, a fraction of the price, that candles do not show: a taker pays half of it.
    `max_participation` (0..1] is the share of the displayed size that one quote, or of the size that one trade, may fill; the
    rest of the order waits for the next. Its default of 1 takes all that is displayed and never more.
    """

    maker_fee: Decimal | None = None
    taker_fee: Decimal | None = None
    slippage: float = 0.0
    impact: float = 0.0
    latency_ms: int = 0
    candle_spread: float = 0.0
    max_participation: float = 1.0

    def __post_init__(self) -> None:
        for name in ("slippage", "impact", "latency_ms", "candle_spread"):
            value = getattr(self, name)
            if not (math.isfinite(value) and value >= 0):
                message = f"{name}: {value!r} must be zero or more"
                raise ValueError(message)
        if self.slippage + self.candle_spread / 2 >= 1:
            message = f"slippage: {self.slippage!r} and half of candle_spread: {self.candle_spread!r} must stay below 1"
            raise ValueError(message)
        if not 0 < self.max_participation <= 1:
            message = f"max_participation: {self.max_participation!r} must be above 0 and at most 1"
            raise ValueError(message)


def exact(value: float) -> Decimal:
    """A float as the decimal number a person would read, not as its binary expansion."""
    return Decimal(repr(value))


def round_against(side: Side, price: Decimal, instrument: Instrument) -> Decimal:
    """The price on the venue's grid that is not better for us: up for a buy, down for a sell, never below one step."""
    step = instrument.price_step
    steps = price // step
    if side is Side.BUY and steps * step != price:
        steps += 1
    return (steps or ONE) * step


def _worse(side: Side, price: Decimal, by: Decimal) -> Decimal:
    return price + by if side is Side.BUY else price - by


def displayed_size(side: Side, quote: Quote) -> float:
    """Base amount a taker of this side can see; infinite when the venue does not say (zero or not a number)."""
    size = quote.ask_size if side is Side.BUY else quote.bid_size
    return size if 0 < size < math.inf else math.inf


def market_price(side: Side, amount: Decimal, quote: Quote, instrument: Instrument, model: FillModel) -> Decimal:
    """What a taker pays or receives per unit: the other side of the quote, made worse by slippage and by the depth it takes.

    Impact is `impact * spread * amount / displayed size`; where the venue shows no size, one whole size is assumed taken.
    """
    price = exact(quote.ask if side is Side.BUY else quote.bid)
    against = price * exact(model.slippage) if model.slippage else None
    if model.impact:
        size = displayed_size(side, quote)
        taken = float(amount) / size if size < math.inf else 1.0
        spread = max(exact(quote.ask) - exact(quote.bid), ZERO)
        pressed = spread * exact(model.impact * taken)
        against = pressed if against is None else against + pressed
    return round_against(side, price if against is None else _worse(side, price, against), instrument)


def candle_market_price(side: Side, price: float, instrument: Instrument, model: FillModel) -> Decimal:
    """What a taker pays or receives at a bar's open, close or a level within: worse by half the spread and by slippage."""
    seen = exact(price)
    if model.candle_spread or model.slippage:
        seen = _worse(side, seen, seen * (exact(model.slippage) + exact(model.candle_spread) / TWO))
    return round_against(side, seen, instrument)


def fee_of(
    side: Side, amount: Decimal, price: Decimal, instrument: Instrument, model: FillModel, maker: bool
) -> tuple[Decimal, str]:
    """The fee of a fill and its currency: paper charges the quote currency on both sides. A rebate is a negative fee."""
    if maker:
        rate = instrument.maker_fee if model.maker_fee is None else model.maker_fee
    else:
        rate = instrument.taker_fee if model.taker_fee is None else model.taker_fee
    return (amount * price * rate).quantize(FEE_STEP, ROUND_CEILING), instrument.quote


def takeable(amount: Decimal, size: float, instrument: Instrument, model: FillModel) -> Decimal:
    """How much of `amount` a displayed or traded `size` can fill, in whole amount steps; zero is possible."""
    room = size * model.max_participation
    if room >= float(amount):
        return amount
    return min(amount, instrument.floor_amount(exact(room)))


def protective_exit_price(level: float, candle_open: float, side: Side, leg: Leg) -> float:
    """Where protection trades within a bar that reached its level, before slippage. `side` is the exit's own.

    A stop (also a trailing one) fills at the level, or at the open when the bar opened beyond it: worse. A target fills at the
    level, or at the open when that is better.
    """
    higher = (side is Side.SELL) is (leg is Leg.TAKE_PROFIT)
    return max(level, candle_open) if higher else min(level, candle_open)


def marketable(side: Side, limit: float, quote: Quote) -> bool:
    """Whether a limit would trade at once against the quote."""
    return quote.ask <= limit if side is Side.BUY else quote.bid >= limit


def met_by_quote(side: Side, limit: float, quote: Quote) -> bool:
    """Whether the other side came to a resting limit since the last quote: it could not have, had it not traded us first."""
    return quote.ask_low <= limit if side is Side.BUY else quote.bid_high >= limit


def triggered_by_quote(side: Side, trigger: float, quote: Quote) -> bool:
    """Whether a stop of this side was reached since the last quote: a sell by the bid, a buy by the ask."""
    return quote.ask_high >= trigger if side is Side.BUY else quote.bid_low <= trigger


def traded_through(side: Side, limit: float, candle: Candle) -> bool:
    """Whether a bar went beyond a resting limit. A bar shows no queue, so that a mere touch does not fill."""
    return candle.low < limit if side is Side.BUY else candle.high > limit


def triggered_by_candle(side: Side, trigger: float, candle: Candle) -> bool:
    """Whether a bar reached a stop of this side."""
    return candle.high >= trigger if side is Side.BUY else candle.low <= trigger


def queue_ahead(side: Side, limit: float, quote: Quote, ahead: float) -> float:
    """How much rests before us at our limit: base amount, infinite while our level is behind the best and so not displayed.

    Inside the spread nobody is ahead. At the best price everyone displayed is, and never more than that: the queue also shrinks
    as others cancel.
    """
    best, size = (quote.bid, quote.bid_size) if side is Side.BUY else (quote.ask, quote.ask_size)
    if limit == best:
        return min(ahead, size) if size > 0 else ahead
    improves = limit > best if side is Side.BUY else limit < best
    return 0.0 if improves else ahead


def traded_against(side: Side, limit: float, trade: Trade, ahead: float) -> tuple[float, float]:
    """What a public trade would have filled of a resting limit, and the queue that is left ahead of it.

    A trade beyond the limit must have come through us. One at the limit first serves the displayed queue. Only an aggressor of
    the other side can trade with us.
    """
    if trade.side is side:
        return 0.0, ahead
    beyond = trade.price < limit if side is Side.BUY else trade.price > limit
    if beyond:
        return trade.amount, 0.0
    if trade.price != limit:
        return 0.0, ahead
    served = min(ahead, trade.amount)
    return trade.amount - served, ahead - served
