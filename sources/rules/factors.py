"""A multi-factor score: momentum, trend, volatility and volume, each from -1 to 1, weighted into one number.

Buy as the score rises through `enter`, sell as it falls through `-leave`. The confidence is the factors' agreement: the weight of
their sum over the sum of their weights, 1 when all of them point the same way, 0 when they cancel.
"""

from __future__ import annotations

from math import sqrt, tanh
from typing import ClassVar, Self

from pydantic import Field, model_validator

from bot.core.decision import Action
from bot.core.indicators import EMA, SMA, Cross, RateOfChange
from bot.core.indicators_bands import ATR, StdDev, ZScore
from bot.core.market import Candle, MarketView
from sources.base import Proposal, Rule, Strict


class Weights(Strict):
    """How much each factor counts, relative to the others."""

    momentum: float = Field(default=0.35, ge=0)
    trend: float = Field(default=0.35, ge=0)
    volatility: float = Field(default=0.1, ge=0)
    volume: float = Field(default=0.2, ge=0)


class FactorParams(Strict):
    """Periods in candles; the score's levels are in 0..1."""

    momentum: int = Field(default=20, ge=2, description="candles over which the return is measured")
    fast: int = Field(default=12, ge=1, description="fast average of the trend factor")
    slow: int = Field(default=48, ge=2, description="slow average of the trend factor")
    atr: int = Field(default=14, ge=1)
    normal: int = Field(default=60, ge=2, description="candles that tell a usual volatility")
    volume: int = Field(default=20, ge=1, description="candles over which buying and selling volume are compared")
    enter: float = Field(default=0.35, gt=0, lt=1)
    leave: float = Field(default=0.15, ge=0, lt=1)
    weights: Weights = Weights()

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        if self.fast >= self.slow:
            message = f"fast ({self.fast}) must be shorter than slow ({self.slow})"
            raise ValueError(message)
        weights = self.weights
        if not any((weights.momentum, weights.trend, weights.volatility, weights.volume)):
            message = "every weight is 0; give at least one factor a weight"
            raise ValueError(message)
        return self


class FactorScore(Rule):
    """Weighs four views of the same candles and speaks when they agree enough."""

    Params: ClassVar[type[Strict]] = FactorParams

    def __init__(self, params: FactorParams) -> None:
        self.params = params
        weights = params.weights
        self.weights = (weights.momentum, weights.trend, weights.volatility, weights.volume)
        self.total = sum(self.weights)
        self.change = RateOfChange(1)
        self.returns = StdDev(params.momentum)
        self.momentum = RateOfChange(params.momentum)
        self.fast = EMA(params.fast)
        self.slow = EMA(params.slow)
        self.atr = ATR(params.atr)
        self.calm = ZScore(params.normal)
        self.signed = SMA(params.volume)
        self.volume = SMA(params.volume)
        self.enter = Cross()
        self.leave = Cross()

    @property
    def warmup(self) -> int:
        """The volatility's usual size begins only when the average true range is warm."""
        return max(super().warmup, self.atr.warmup + self.calm.warmup - 1, self.returns.warmup + 1)

    def step(self, candle: Candle, view: MarketView) -> Proposal | None:
        """Propose when the score crosses one of its levels."""
        factors = self._factors(candle)
        if factors is None:
            return None
        parts = [weight * factor for weight, factor in zip(self.weights, factors, strict=True)]
        score = sum(parts) / self.total
        up = self.enter.update(score, self.params.enter)
        down = self.leave.update(score, -self.params.leave)
        if up <= 0 and down >= 0:
            return None
        spread = sum(map(abs, parts))
        agreement = min(1.0, abs(sum(parts)) / spread) if spread else 0.0
        evidence = dict(zip(("momentum", "trend", "volatility", "volume"), factors, strict=True), score=score)
        action = Action.BUY if up > 0 else Action.SELL
        return Proposal(action, agreement, f"factor score {score:+.2f}, agreement {agreement:.2f}", evidence)

    def _factors(self, candle: Candle) -> tuple[float, float, float, float] | None:
        """Momentum in standard deviations of its horizon, trend in true ranges, calm against usual, balance of volume."""
        close = candle.close
        change = self.change.update(close)
        deviation = None if change is None else self.returns.update(change)
        momentum = self.momentum.update(close)
        fast, slow = self.fast.update(close), self.slow.update(close)
        atr = self.atr.update(candle.high, candle.low, close)
        unrest = None if atr is None else self.calm.update(atr / close)
        signed = self.signed.update(candle.volume * _direction(candle))
        volume = self.volume.update(candle.volume)
        if deviation is None or momentum is None or fast is None or slow is None or atr is None or unrest is None:
            return None
        if signed is None or volume is None:
            return None
        horizon = deviation * sqrt(self.params.momentum)
        return (
            tanh(momentum / horizon) if horizon else 0.0,
            tanh((fast - slow) / atr) if atr else 0.0,
            -tanh(unrest),
            signed / volume if volume else 0.0,
        )


def _direction(candle: Candle) -> float:
    """Where in its range the candle closed, -1 at the low to 1 at the high."""
    span = candle.high - candle.low
    return (2.0 * candle.close - candle.high - candle.low) / span if span else 0.0
