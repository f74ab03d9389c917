"""Momentum: buy as the change over a stretch of candles rises through `enter`, sell as it falls through `-leave`.

The confidence grows with how large the change is against what the market's own unrest would make of that many candles.
"""

from __future__ import annotations

from math import sqrt
from typing import ClassVar

from pydantic import Field

from bot.core.decision import Action
from bot.core.indicators import Cross, RateOfChange
from bot.core.indicators_bands import StdDev
from bot.core.market import Candle, MarketView
from sources.base import Proposal, Rule, Strict, squash


class MomentumParams(Strict):
    """The stretch in candles and its levels, as fractions of the older price."""

    period: int = Field(default=20, ge=2, description="candles over which the change is measured")
    enter: float = Field(default=0.02, ge=0, lt=10, description="change above which it buys")
    leave: float = Field(default=0.0, ge=0, lt=1, description="fall below which it sells")


class Momentum(Rule):
    """Buys what has risen and sells it when it has stopped to."""

    Params: ClassVar[type[Strict]] = MomentumParams

    def __init__(self, params: MomentumParams) -> None:
        self.params = params
        self.change = RateOfChange(params.period)
        self.single = RateOfChange(1)
        self.unrest = StdDev(params.period)
        self.enter = Cross()
        self.leave = Cross()

    @property
    def warmup(self) -> int:
        """The unrest begins with the second candle, whose change is the first."""
        return self.unrest.warmup + 1

    def step(self, candle: Candle, view: MarketView) -> Proposal | None:
        """Propose when the change crosses one of its levels."""
        change = self.change.update(candle.close)
        single = self.single.update(candle.close)
        unrest = None if single is None else self.unrest.update(single)
        if change is None or unrest is None:
            return None
        up = self.enter.update(change, self.params.enter)
        down = self.leave.update(change, -self.params.leave)
        if up <= 0 and down >= 0:
            return None
        usual = unrest * sqrt(self.params.period)
        confidence = 0.5 + 0.5 * squash(abs(change) / usual) if usual else 0.5
        action, side = (Action.BUY, "above") if up > 0 else (Action.SELL, "below")
        return Proposal(action, confidence, f"momentum {change:+.2%}, {side} its level", {"change": change, "unrest": unrest})
