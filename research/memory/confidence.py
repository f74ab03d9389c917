"""How far a strategy is to be believed on a symbol at a timeframe, and what that does to a decision.

Four figures of the record become marks of 0..1 by straight ramps, and the quality is their weighted sum:

    quality = 0.35 * ramp(Sharpe, 0, 2) + 0.25 * ramp(profit factor, 1, 2)
            + 0.20 * ramp(win rate, 0.3, 0.6) + 0.20 * (1 - ramp(max drawdown, 0.05, 0.40))

where a figure that is not known has the mark 0, and a quality above 0.5 needs a Sharpe ratio above 0 and a profit factor above 1.
The confidence is the quality times the credibility n / (n + k) of n trades, and at most 0.5 below `min_trades`. So it never
falls when the Sharpe ratio, the profit factor, the win rate or the number of trades rises, or the drawdown falls. The ramps and
weights are choices, not findings; what they are is fixed here so that confidences can be compared.
"""

from __future__ import annotations

from collections.abc import Sequence

from bot.core.values import value
from research.memory.estimates import credibility
from research.memory.evidence import BacktestEvidence, TradeEvidence, number
from research.memory.figures import BEST_FACTOR, Figures, pooled
from research.memory.policy import DEFAULT_POLICY, MemoryPolicy

UNPROVEN_CAP = 0.5
_SHARPE, _PROFIT_FACTOR, _WIN_RATE, _DRAWDOWN = 0.35, 0.25, 0.20, 0.20


@value
class Confidence:
    """`value` 0..1 is quality times credibility, capped; `trades` are those behind it (backtested ones count less)."""

    value: float
    quality: float
    credibility: float
    trades: float
    proven: bool


NO_CONFIDENCE = Confidence(0.0, 0.0, 0.0, 0.0, proven=False)


def ramp(figure: float | None, low: float, high: float) -> float:
    """0 at `low` and below, 1 at `high` and above, straight between; 0 if not known."""
    return 0.0 if figure is None else min(1.0, max(0.0, (figure - low) / (high - low)))


def quality(figures: Figures) -> float:
    """The marks of a record, 0..1; see the module for the formula. Trades without a single loss have the best profit factor."""
    factor = figures.factor
    fall = figures.max_drawdown
    marks = (
        _SHARPE * ramp(figures.sharpe, 0.0, 2.0)
        + _PROFIT_FACTOR * ramp(factor, 1.0, BEST_FACTOR)
        + _WIN_RATE * ramp(figures.win_rate, 0.3, 0.6)
        + _DRAWDOWN * (0.0 if fall is None else 1.0 - ramp(fall, 0.05, 0.40))
    )
    earns = (figures.sharpe or 0.0) > 0.0 and (factor or 0.0) > 1.0
    return min(marks, 1.0) if earns else min(marks, UNPROVEN_CAP)


def confidence_in(figures: Figures, policy: MemoryPolicy = DEFAULT_POLICY) -> Confidence:
    """The confidence that a record deserves; 0 without trades."""
    good, weight = quality(figures), credibility(figures.trades, policy)
    proven = figures.trades >= policy.min_trades
    believed = good * weight
    return Confidence(believed if proven else min(believed, UNPROVEN_CAP), good, weight, figures.trades, proven)


def confidence_of(
    trades: Sequence[TradeEvidence], backtests: Sequence[BacktestEvidence], policy: MemoryPolicy = DEFAULT_POLICY
) -> Confidence:
    """The confidence that all the evidence of one subject deserves."""
    return confidence_in(pooled(trades, backtests, policy), policy)


@value
class Adjusted:
    """A decision's confidence after the memory; `raw` is what it was before, `factor` what the memory asked for."""

    value: float
    raw: float
    factor: float


def adjusted(confidence: Confidence | None, raw: float, policy: MemoryPolicy = DEFAULT_POLICY) -> Adjusted:
    """What a memory makes of a decision's confidence `raw` (0..1, already calibrated).

        factor = 1 + strength * credibility * (2 * quality - 1), at most 1 while unproven
        value  = raw * factor, within 0..1

    so a record of quality 0.5, or no record, changes nothing; a bad one costs at most `strength` of the confidence, a good one
    adds at most as much, each the more the more trades say so; and a record with too few trades never raises. Raises
    `EvidenceError` if `raw` is not within 0..1.
    """
    number("confidence", raw, 0.0, 1.0)
    found = confidence or NO_CONFIDENCE
    factor = 1.0 + policy.strength * found.credibility * (2.0 * found.quality - 1.0)
    if not found.proven:
        factor = min(1.0, factor)
    return Adjusted(min(1.0, max(0.0, raw * factor)), raw, factor)
