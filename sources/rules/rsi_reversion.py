"""RSI mean reversion: buy as the RSI comes back from oversold, sell as it comes back from overbought.

The confidence grows with how deep the excursion went: 0.5 at the level's edge, 1 at the end of the scale.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from bot.core.decision import Action
from bot.core.indicators import RSI, Excursion
from bot.core.market import Candle, MarketView
from sources.base import Proposal, Rule, Strict


class RsiReversionParams(Strict):
    """The RSI's period in candles and its levels."""

    period: int = Field(default=14, ge=1)
    oversold: float = Field(default=30.0, gt=0, lt=50)
    overbought: float = Field(default=70.0, gt=50, lt=100)


class RsiReversion(Rule):
    """Buys what has fallen too fast and sells what has risen too fast, once it turns."""

    Params: ClassVar[type[Strict]] = RsiReversionParams

    def __init__(self, params: RsiReversionParams) -> None:
        self.rsi = RSI(params.period)
        self.excursion = Excursion(params.oversold, params.overbought)

    def step(self, candle: Candle, view: MarketView) -> Proposal | None:
        """Propose at the end of an excursion."""
        rsi = self.rsi.update(candle.close)
        if rsi is None:
            return None
        depth = self.excursion.update(rsi)
        if depth > 0.0:
            confidence = 0.5 + 0.5 * depth / self.excursion.low
            return Proposal(Action.BUY, confidence, f"RSI back from {depth:.1f} below oversold", {"rsi": rsi, "depth": depth})
        if depth < 0.0:
            confidence = 0.5 - 0.5 * depth / (100.0 - self.excursion.high)
            return Proposal(Action.SELL, confidence, f"RSI back from {-depth:.1f} above overbought", {"rsi": rsi, "depth": depth})
        return None
