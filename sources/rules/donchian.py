"""Donchian breakout: buy a close above the highest high of the candles before it, sell a close below their lowest low.

The exit channel is shorter than the entry channel, as the Turtles had it. Confidence grows with the distance beyond the channel,
measured in average true ranges.
"""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import Field, model_validator

from bot.core.decision import Action
from bot.core.indicators import Cross
from bot.core.indicators_bands import ATR, Donchian
from bot.core.market import Candle, MarketView
from sources.base import Proposal, Rule, Strict, squash


class DonchianParams(Strict):
    """Lengths in candles of the entry channel, the exit channel and the average true range."""

    entry: int = Field(default=20, ge=2)
    exit: int = Field(default=10, ge=1)
    atr: int = Field(default=14, ge=1)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.exit > self.entry:
            message = f"exit ({self.exit}) must not be longer than entry ({self.entry})"
            raise ValueError(message)
        return self


class DonchianBreakout(Rule):
    """Buys new highs and sells new lows, once at each break."""

    Params: ClassVar[type[Strict]] = DonchianParams

    def __init__(self, params: DonchianParams) -> None:
        self.entry = Donchian(params.entry)
        self.exit = Donchian(params.exit)
        self.atr = ATR(params.atr)
        self.above = Cross()
        self.below = Cross()

    def step(self, candle: Candle, view: MarketView) -> Proposal | None:
        """Propose when the close leaves the channel that the candles before it made."""
        close = candle.close
        upper, lower = self.entry.upper, self.exit.lower
        self.entry.update(candle.high, candle.low)
        self.exit.update(candle.high, candle.low)
        atr = self.atr.update(candle.high, candle.low, close)
        if upper is None or lower is None or atr is None:
            return None
        up = self.above.update(close, upper)
        down = self.below.update(close, lower)
        evidence = {"upper": upper, "lower": lower, "atr": atr}
        if up > 0:
            return Proposal(Action.BUY, _beyond(close - upper, atr), "close above the Donchian channel", evidence)
        if down < 0:
            return Proposal(Action.SELL, _beyond(lower - close, atr), "close below the Donchian channel", evidence)
        return None


def _beyond(distance: float, atr: float) -> float:
    return 0.5 + 0.5 * squash(distance / atr) if atr else 0.5
