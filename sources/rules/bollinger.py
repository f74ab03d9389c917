"""Bollinger bands, read both ways: a close outside them begins a trend (breakout), or a return inside ends an excess (reversion).

Distances are in standard deviations from the middle band; confidence grows with how far beyond the band the close went.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from bot.core.decision import Action
from bot.core.indicators import Cross, Excursion
from bot.core.indicators_bands import Bollinger
from bot.core.market import Candle, MarketView
from sources.base import Proposal, Rule, Strict, squash


class BollingerParams(Strict):
    """The window in candles and the bands' width in standard deviations."""

    period: int = Field(default=20, ge=3)
    width: float = Field(default=2.0, gt=0, le=10)


class BollingerBreakout(Rule):
    """Buys a close above the upper band, sells when a close falls below the middle."""

    Params: ClassVar[type[Strict]] = BollingerParams

    def __init__(self, params: BollingerParams) -> None:
        self.bands = Bollinger(params.period, params.width)
        self.upper = Cross()
        self.middle = Cross()

    def step(self, candle: Candle, view: MarketView) -> Proposal | None:
        """Propose at a breakout or at its end."""
        score = self.bands.update(candle.close)
        if score is None:
            return None
        width = self.bands.width
        out = self.upper.update(score, width)
        back = self.middle.update(score)
        if out > 0:
            evidence = {"score": score, "upper": self.bands.upper, "middle": self.bands.middle}
            return Proposal(Action.BUY, 0.5 + 0.5 * squash(score - width), "close above the upper Bollinger band", evidence)
        if back < 0:
            evidence = {"score": score, "middle": self.bands.middle}
            return Proposal(Action.SELL, 0.5 + 0.5 * squash(-score), "close below the middle Bollinger band", evidence)
        return None


class BollingerReversion(Rule):
    """Buys when the close comes back from below the lower band, sells when it comes back from above the upper one."""

    Params: ClassVar[type[Strict]] = BollingerParams

    def __init__(self, params: BollingerParams) -> None:
        self.bands = Bollinger(params.period, params.width)
        self.excursion = Excursion(-params.width, params.width)

    def step(self, candle: Candle, view: MarketView) -> Proposal | None:
        """Propose at the end of an excess."""
        score = self.bands.update(candle.close)
        if score is None:
            return None
        depth = self.excursion.update(score)
        if not depth:
            return None
        action, side = (Action.BUY, "below the lower") if depth > 0.0 else (Action.SELL, "above the upper")
        evidence = {"score": score, "depth": depth, "middle": self.bands.middle}
        return Proposal(action, 0.5 + 0.5 * squash(abs(depth)), f"close back from {side} Bollinger band", evidence)
