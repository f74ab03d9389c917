"""Sizing: from a verdict to a target, in the accounting currency.

A policy is a value that answers one question: what notional should this decision hold? The answer is always bounded by the
capital allocated to the source (equity x capital); risk may shrink it further and never grows it.
"""

from __future__ import annotations

from collections.abc import Sequence

from bot.core.decision import Decision
from bot.core.market import Candle
from bot.core.values import value


@value
class TrackRecord:
    """A source's closed shadow trades: counts and mean returns on entry notional (losses as a positive number)."""

    trades: int = 0
    wins: int = 0
    mean_win: float = 0.0
    mean_loss: float = 0.0


@value
class SizingContext:
    """What a policy may know. `capital` is the source's allocation in the accounting currency; candles are oldest first."""

    capital: float
    price: float
    candles: Sequence[Candle]
    record: TrackRecord


@value
class FixedFraction:
    """The same fraction of the source's capital, whatever is said."""

    fraction: float = 0.10

    def notional(self, decision: Decision, context: SizingContext) -> float:
        """Target notional in the accounting currency."""
        del decision
        return self.fraction * context.capital


@value
class ConfidenceScaled:
    """From `least` of the capital at confidence 0 to `most` at confidence 1."""

    least: float = 0.02
    most: float = 0.20

    def notional(self, decision: Decision, context: SizingContext) -> float:
        """Target notional in the accounting currency."""
        return (self.least + (self.most - self.least) * decision.confidence) * context.capital


@value
class VolatilityTarget:
    """Risk `risk` of the capital over a move of `multiple` average true ranges (mean of the last `period` true ranges).

    Falls back to `fallback` of the capital while there are fewer candles. Formula: notional = capital x risk x price /
    (multiple x ATR).
    """

    risk: float = 0.005
    multiple: float = 2.0
    period: int = 14
    fallback: float = 0.05

    def notional(self, decision: Decision, context: SizingContext) -> float:
        """Target notional in the accounting currency."""
        del decision
        average = average_true_range(context.candles, self.period)
        if average is None:
            return self.fallback * context.capital
        if average <= 0.0:
            return context.capital
        return context.capital * self.risk * context.price / (self.multiple * average)


@value
class CappedKelly:
    """`share` of the Kelly fraction of the source's shadow record, between 0 and `cap`; `fallback` below `least_trades`.

    Kelly: f = p/l - q/w for win probability p, q = 1 - p, mean loss l and mean win w as returns (Thorp 2006, eq. for unequal
    odds).
    """

    cap: float = 0.25
    share: float = 0.5
    least_trades: int = 30
    fallback: float = 0.05

    def notional(self, decision: Decision, context: SizingContext) -> float:
        """Target notional in the accounting currency."""
        del decision
        record = context.record
        if record.trades < self.least_trades:
            return self.fallback * context.capital
        win_rate = record.wins / record.trades
        if record.mean_win <= 0.0:
            return 0.0
        if record.mean_loss <= 0.0:
            return self.cap * context.capital
        kelly = win_rate / record.mean_loss - (1.0 - win_rate) / record.mean_win
        return max(0.0, min(self.cap, self.share * kelly)) * context.capital


Sizing = FixedFraction | ConfidenceScaled | VolatilityTarget | CappedKelly


def target_notional(sizing: Sizing, decision: Decision, context: SizingContext) -> float:
    """What the decision should hold: the policy's answer, scaled by the decision's own size, never above the source's capital."""
    wanted = sizing.notional(decision, context)
    if decision.size_fraction is not None:
        wanted *= decision.size_fraction
    return max(0.0, min(wanted, context.capital))


def average_true_range(candles: Sequence[Candle], period: int) -> float | None:
    """Mean of the last `period` true ranges, None with fewer than `period + 1` candles."""
    if len(candles) <= period:
        return None
    total = 0.0
    for index in range(len(candles) - period, len(candles)):
        candle, before = candles[index], candles[index - 1].close
        total += max(candle.high, before) - min(candle.low, before)
    return total / period
