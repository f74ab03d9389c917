"""Moving-average crossover: buy as the fast average crosses above the slow one, sell as it crosses below.

The confidence is the RSI's share of the recent movement that went the same way, so a cross against the momentum is heard less.
"""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import Field, model_validator

from bot.core.decision import Action
from bot.core.indicators import EMA, RSI, SMA, Cross
from bot.core.market import Candle, MarketView
from sources.base import Proposal, Rule, Strict


class CrossoverParams(Strict):
    """Periods in candles; the RSI bounds are optional filters."""

    fast: int = Field(default=20, ge=1, description="period of the fast average")
    slow: int = Field(default=50, ge=2, description="period of the slow average")
    rsi: int = Field(default=14, ge=1, description="period of the RSI that gives the confidence")
    buy_below_rsi: float | None = Field(default=None, gt=0, le=100, description="no buy while the RSI is at or above this")
    sell_above_rsi: float | None = Field(default=None, ge=0, lt=100, description="no sell while the RSI is at or below this")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not (self.fast < self.slow and self.rsi < self.slow):
            message = f"fast ({self.fast}) and rsi ({self.rsi}) must be shorter than slow ({self.slow})"
            raise ValueError(message)
        return self


class SmaCross(Rule):
    """Crossover of simple averages."""

    Params: ClassVar[type[Strict]] = CrossoverParams
    average: ClassVar[type[SMA | EMA]] = SMA

    def __init__(self, params: CrossoverParams) -> None:
        self.params = params
        self.fast = self.average(params.fast)
        self.slow = self.average(params.slow)
        self.rsi = RSI(params.rsi)
        self.cross = Cross()

    def step(self, candle: Candle, view: MarketView) -> Proposal | None:
        """Propose at a cross that the filters let through."""
        close = candle.close
        fast = self.fast.update(close)
        slow = self.slow.update(close)
        rsi = self.rsi.update(close)
        if fast is None or slow is None or rsi is None:
            return None
        turn = self.cross.update(fast, slow)
        return self._propose(turn, fast, slow, rsi) if turn else None

    def _propose(self, turn: int, fast: float, slow: float, rsi: float) -> Proposal | None:
        highest, lowest = self.params.buy_below_rsi, self.params.sell_above_rsi
        evidence = {"fast": fast, "slow": slow, "rsi": rsi}
        if turn > 0:
            if highest is not None and rsi >= highest:
                return None
            return Proposal(Action.BUY, rsi / 100.0, f"fast average crossed above slow, RSI {rsi:.0f}", evidence)
        if lowest is not None and rsi <= lowest:
            return None
        return Proposal(Action.SELL, 1.0 - rsi / 100.0, f"fast average crossed below slow, RSI {rsi:.0f}", evidence)


class EmaCross(SmaCross):
    """Crossover of exponential averages."""

    average = EMA
