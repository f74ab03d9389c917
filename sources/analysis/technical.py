"""Technical analysis: one symbol, each of its timeframes, and how far they agree.

The score of a timeframe is 0.6 trend + 0.25 momentum + 0.15 patterns, each -1..1, of what is known; that of the symbol is the
mean of its timeframes, weighted by the square root of their length, so that four hours count twice as much as one. These weights
are choices. Agreement is |weighted mean| / weighted mean of |scores|: 1 if all point one way, 0 if they cancel.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from bot.core.market import Candle, timeframe_ms
from sources.analysis.candlesticks import CandlePattern, candle_patterns
from sources.analysis.levels import Levels, levels
from sources.analysis.readings import Indicators, measure
from sources.analysis.regime import Regime, Trend, Volatility, regime
from sources.analysis.series import Series, series_of
from sources.analysis.shapes import ChartPattern, chart_patterns
from sources.analysis.values import Told, clip

_RECENT = 3


class Stance(StrEnum):
    """What an analysis leans to."""

    BULLISH = "bullish"
    BEARISH = "bearish"
    NEUTRAL = "neutral"
    UNKNOWN = "unknown"


def stance_of(score: float | None, least: float = 0.25) -> Stance:
    """The stance of a score -1..1."""
    if score is None:
        return Stance.UNKNOWN
    return Stance.BULLISH if score >= least else Stance.BEARISH if score <= -least else Stance.NEUTRAL


@dataclass(frozen=True, slots=True)
class TimeframeReading(Told):
    """One timeframe at the close of its newest candle (`end`, ms UTC; None without candles).

    `score` is -1..1, None if too little is known. `missing` and `dropped` count the holes and the unusable rows in the input.
    """

    timeframe: str
    end: int | None
    count: int
    missing: int
    dropped: int
    indicators: Indicators
    regime: Regime
    levels: Levels
    candles: tuple[CandlePattern, ...]
    charts: tuple[ChartPattern, ...]
    score: float | None
    stance: Stance
    words: str


@dataclass(frozen=True, slots=True)
class TechnicalAnalysis(Told):
    """A symbol over its timeframes, shortest first; `agreement` is 0..1, None with fewer than two that are known."""

    symbol: str
    at: int | None
    timeframes: tuple[TimeframeReading, ...]
    score: float | None
    stance: Stance
    agreement: float | None
    words: str


def technical(symbol: str, candles: Mapping[str, Sequence[Candle]], at: int | None = None) -> TechnicalAnalysis:
    """Analyse a symbol by its candles of each timeframe; candles that had not ended by `at` (ms UTC) do not exist yet.

    Raises `AnalysisError` if a sequence mixes symbols or timeframes, `ValueError` if a timeframe is none.
    """
    order = sorted(candles, key=timeframe_ms)
    return summary(symbol, [read(series_of(candles[each], at, symbol=symbol, timeframe=each)) for each in order], at)


def technical_batch(candles: Mapping[str, Mapping[str, Sequence[Candle]]], at: int | None = None) -> dict[str, TechnicalAnalysis]:
    """The same for each of several symbols."""
    return {symbol: technical(symbol, each, at) for symbol, each in candles.items()}


def read(series: Series) -> TimeframeReading:
    """Analyse one timeframe."""
    measured = measure(series)
    now, atr = measured.now, measured.now.atr_14
    state = regime(series, measured.fast, measured.slow, measured.strength, measured.atr)
    lines, shapes = levels(series, atr), chart_patterns(series, atr)
    candles = candle_patterns(series, _RECENT)
    score = _score(state, now, candles, shapes)
    end = int(series.ts[-1]) + timeframe_ms(series.timeframe) if len(series) else None
    return TimeframeReading(
        series.timeframe,
        end,
        len(series),
        series.missing,
        series.dropped,
        now,
        state,
        lines,
        candles,
        shapes,
        score,
        stance_of(score),
        _words(series, now, state, lines, candles, shapes),
    )


def summary(symbol: str, readings: Sequence[TimeframeReading], at: int | None = None) -> TechnicalAnalysis:
    """Join the readings of several timeframes."""
    known = [(math.sqrt(timeframe_ms(each.timeframe)), each.score) for each in readings if each.score is not None]
    total = sum(weight for weight, _ in known)
    score = clip(sum(weight * value for weight, value in known) / total) if known else None
    size = sum(weight * abs(value) for weight, value in known) / total if known else 0.0
    agreement = None if score is None or len(known) < 2 or size <= 0.0 else min(1.0, abs(score) / size)
    at = at if at is not None else max((each.end for each in readings if each.end is not None), default=None)
    stance = stance_of(score)
    return TechnicalAnalysis(symbol, at, tuple(readings), score, stance, agreement, _joined(symbol, readings, stance, agreement))


def _score(state: Regime, now: Indicators, candles: Sequence[CandlePattern], shapes: Sequence[ChartPattern]) -> float | None:
    """What is known of trend, momentum and patterns, weighted; None without a trend."""
    if state.score is None:
        return None
    return clip(0.6 * state.score + 0.25 * _momentum(now) + 0.15 * _patterns(candles, shapes))


def _momentum(now: Indicators) -> float:
    """Mean of the RSI (full at 30 and 70) and of the MACD histogram (full at half an ATR)."""
    rsi = 0.0 if now.rsi_14 is None else clip((now.rsi_14 - 50.0) / 20.0)
    macd = 0.0 if not now.atr_14 or now.macd_histogram is None else clip(now.macd_histogram / (0.5 * now.atr_14))
    return (rsi + macd) / 2


def _patterns(candles: Sequence[CandlePattern], shapes: Sequence[ChartPattern]) -> float:
    """Chart patterns by their confidence, candlesticks 0.25 each."""
    charts = sum(each.direction * each.confidence for each in shapes)
    return clip(charts + 0.25 * sum(each.direction for each in candles))


def _words(
    series: Series,
    now: Indicators,
    state: Regime,
    lines: Levels,
    candles: Sequence[CandlePattern],
    shapes: Sequence[ChartPattern],
) -> str:
    if not len(series):
        return f"{series.timeframe}: no candles"
    parts = [_trend_words(state, len(series))]
    if now.rsi_14 is not None:
        zone = " (overbought)" if now.rsi_14 >= 70 else " (oversold)" if now.rsi_14 <= 30 else ""
        parts.append(f"RSI {now.rsi_14:.0f}{zone}")
    if state.volatility is not Volatility.UNKNOWN:
        parts.append(f"volatility {state.volatility.value}")
    if lines.supports:
        parts.append(f"support {lines.supports[0].price:.6g} ({lines.supports[0].touches}x)")
    if lines.resistances:
        parts.append(f"resistance {lines.resistances[0].price:.6g} ({lines.resistances[0].touches}x)")
    parts += [f"{each.name.replace('_', ' ')} {each.stage.value} ({each.confidence:.2f})" for each in shapes[:2]]
    parts += sorted({each.name.replace("_", " ") for each in candles})[:3]
    if series.missing:
        parts.append(f"{series.missing} candles missing")
    return f"{series.timeframe}: " + ", ".join(parts)


def _trend_words(state: Regime, count: int) -> str:
    if state.trend is Trend.UNKNOWN or state.score is None:
        return f"trend unknown ({count} candles)"
    if state.trend is Trend.SIDEWAYS:
        return "sideways"
    return f"{'strong ' if abs(state.score) >= 0.7 else ''}trend {state.trend.value}"


def _joined(symbol: str, readings: Sequence[TimeframeReading], stance: Stance, agreement: float | None) -> str:
    if stance is Stance.UNKNOWN:
        return f"{symbol}: too little is known of {', '.join(each.timeframe for each in readings) or 'it'}"
    if agreement is None:
        return f"{symbol}: {stance.value}"
    how = "agree" if agreement >= 0.8 else "mostly agree" if agreement >= 0.5 else "contradict each other"
    return f"{symbol}: {stance.value}; the timeframes {how} ({agreement:.2f})"
