"""MACD: buy as its line crosses above its signal, sell as it crosses below.

The confidence is the decisiveness of the cross: how far the histogram moved on that candle, measured by its own usual size.
"""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import Field, model_validator

from bot.core.decision import Action
from bot.core.indicators import MACD, Cross, Previous
from bot.core.indicators_bands import StdDev
from bot.core.market import Candle, MarketView
from sources.base import Proposal, Rule, Strict, squash


class MacdParams(Strict):
    """Periods in candles; `normal` is how many candles tell the histogram's usual size."""

    fast: int = Field(default=12, ge=1)
    slow: int = Field(default=26, ge=2)
    signal: int = Field(default=9, ge=1)
    normal: int = Field(default=50, ge=2)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.fast >= self.slow:
            message = f"fast ({self.fast}) must be shorter than slow ({self.slow})"
            raise ValueError(message)
        return self


class MacdCross(Rule):
    """Follows the crosses of the MACD line and its signal."""

    Params: ClassVar[type[Strict]] = MacdParams

    def __init__(self, params: MacdParams) -> None:
        self.macd = MACD(params.fast, params.slow, params.signal)
        self.size = StdDev(params.normal)
        self.previous = Previous()
        self.cross = Cross()

    @property
    def warmup(self) -> int:
        """The histogram must be warm before its usual size can be."""
        return self.macd.warmup + self.size.warmup - 1

    def step(self, candle: Candle, view: MarketView) -> Proposal | None:
        """Propose at a cross of the histogram through zero."""
        histogram = self.macd.update(candle.close)
        if histogram is None:
            return None
        size = self.size.update(histogram)
        before = self.previous.update(histogram)
        turn = self.cross.update(histogram)
        if not turn or size is None or before is None:
            return None
        confidence = 0.5 + 0.5 * squash(abs(histogram - before) / size) if size else 0.5
        action, side = (Action.BUY, "above") if turn > 0 else (Action.SELL, "below")
        evidence = {"line": self.macd.line, "signal": self.macd.signal, "histogram": histogram}
        return Proposal(action, confidence, f"MACD crossed {side} its signal", evidence)
