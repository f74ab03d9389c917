"""ATR-trailing trend: a stop follows the close at a multiple of the average true range; where it is passed, the trend turns.

A buy carries the same distance as a trailing stop, so the desk protects the position between candles. Confidence is the trend's
strength when it turns: Wilder's ADX, in which 25 is a trend and 50 a strong one.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from bot.core.decision import Action
from bot.core.indicators_bands import ADX, AtrTrail
from bot.core.market import Candle, MarketView
from sources.base import Proposal, Rule, Strict, squash

_TREND = 25.0


class AtrTrendParams(Strict):
    """Periods in candles; `multiple` is the stop's distance in average true ranges."""

    period: int = Field(default=14, ge=1)
    multiple: float = Field(default=3.0, gt=0, le=20)
    adx: int = Field(default=14, ge=1)


class AtrTrend(Rule):
    """Follows the trend until it gives back a multiple of the average true range."""

    Params: ClassVar[type[Strict]] = AtrTrendParams

    def __init__(self, params: AtrTrendParams) -> None:
        self.trail = AtrTrail(params.period, params.multiple)
        self.adx = ADX(params.adx)

    def step(self, candle: Candle, view: MarketView) -> Proposal | None:
        """Propose where the trend turns."""
        high, low, close = candle.high, candle.low, candle.close
        adx = self.adx.update(high, low, close)
        turn = self.trail.update(high, low, close)
        atr = self.trail.value
        if not turn or adx is None or atr is None:
            return None
        evidence = {"atr": atr, "adx": adx, "stop": self.trail.level}
        confidence = squash(adx / _TREND)
        if turn > 0:
            trailing = min(self.trail.multiple * atr / close, 0.99) or None
            return Proposal(Action.BUY, confidence, "close above the falling ATR stop", evidence, trailing=trailing)
        return Proposal(Action.SELL, confidence, "close below the rising ATR stop", evidence)
