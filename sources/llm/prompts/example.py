"""A made-up market for looking at templates where there is no live one; always the same."""

from __future__ import annotations

import math
from dataclasses import replace
from decimal import Decimal

from bot.core.briefing import Briefing, Held, LimitUse
from bot.core.decision import Action
from bot.core.inputs import TradingState
from bot.core.market import Candle, MarketView, Quote, timeframe_ms
from sources.llm.prompts.placeholders import Terms
from sources.llm.snapshot import NewsState, OwnDecision, Sight, Snapshot, SnapshotSpec, Thesis, take

_AT = 1_700_000_000_000
_CANDLES = 200
_SOURCE = "llm:example"
TERMS = Terms(
    schema="symbol, action, confidence 0..1, reasoning",
    limits="A stop is at most 15 % away.",
)


def example_sight(symbol: str = "BTC/USDT", timeframes: tuple[str, ...] = ("5m", "1h", "4h")) -> Sight:
    """What a source would see: some waves, a position of its own, one decision, no news to be had."""
    view = MarketView(depth=_CANDLES)
    for timeframe in timeframes:
        for candle in _candles(symbol, timeframe):
            view.remember(candle)
    price = 50_000.0
    view.prices[symbol] = price
    view.quotes[symbol] = Quote.of(symbol, _AT - 400, price - 0.5, price + 0.5)
    held = Held(
        symbol, Decimal("0.05"), Decimal(49_000), price, 0.25, 50.0, _AT - 5_400_000, _SOURCE, "example", 47_500.0, 53_000.0
    )
    books = Briefing(
        at=_AT,
        currency="USDT",
        equity=10_000.0,
        cash=7_500.0,
        exposure=0.25,
        drawdown=0.02,
        day_change=0.004,
        state=TradingState.ACTIVE,
        held=(held,),
        limits=(LimitUse("max_position", 0.25, 0.4), LimitUse("max_exposure", 0.25, 1.0), LimitUse("max_daily_loss", 0.0, 0.05)),
    )
    own = OwnDecision(_AT - 5_400_000, Action.BUY, 0.66, "The trend over 4h is up and 1h came back to its average.", "executed")
    theses = {"example": Thesis("A pullback within a rising market.", "A close on 1h below 48000.")}
    return Sight(symbol, view, books, timeframes, (own,), theses, NewsState.UNAVAILABLE, source=_SOURCE)


def example_snapshot(symbol: str = "BTC/USDT", timeframes: tuple[str, ...] = ("5m", "1h", "4h")) -> Snapshot:
    """The snapshot of it."""
    return take(example_sight(symbol, timeframes), SnapshotSpec())


def bare_snapshot(symbol: str = "BTC/USDT", timeframes: tuple[str, ...] = ("5m", "1h", "4h")) -> Snapshot:
    """The same books before anything is known of the market: no price, no candles."""
    return take(replace(example_sight(symbol, timeframes), view=MarketView()))


def _candles(symbol: str, timeframe: str) -> list[Candle]:
    """Two waves about a slow rise that ends at 50,000."""
    length, made = timeframe_ms(timeframe), []
    last = _AT - _AT % length
    before = _price(0)
    for number in range(1, _CANDLES + 1):
        close = _price(number)
        ts = last - (_CANDLES - number + 1) * length
        top, bottom = max(before, close) * 1.001, min(before, close) * 0.999
        made.append(Candle(symbol, timeframe, ts + length, ts, before, top, bottom, close, 10.0 + number % 7))
        before = close
    return made


def _price(number: int) -> float:
    left = _CANDLES - number
    return 50_000.0 * (1.0 - 0.0002 * left) * (1.0 + 0.01 * math.sin(left / 9.0) + 0.003 * math.sin(left / 2.3))
