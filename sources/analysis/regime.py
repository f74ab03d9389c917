"""The state of a market: which way it goes, how surely, and how much it moves compared with its own past."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from bot.core.market import timeframe_ms
from sources.analysis.indicators import Directional
from sources.analysis.series import Series
from sources.analysis.values import Floats, Told, clip, known, last

_YEAR_MS = 365 * 86_400_000
_SLOPE = 50
_LEAST = 60
_PAST = 250


class Trend(StrEnum):
    """Which way the price goes."""

    UP = "up"
    DOWN = "down"
    SIDEWAYS = "sideways"
    UNKNOWN = "unknown"


class Volatility(StrEnum):
    """How much it moves, by the rank of its average true range (as a share of the price) among the last 250."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"
    EXTREME = "extreme"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Regime(Told):
    """`score` is -1 (down) to 1 (up), None if unknown; `rank` is that of the volatility, 0..1.

    `slope` is that of the log price over the last 50 candles, per candle; `fit` is the R squared of that line; `volatility_year`
    is the standard deviation of log returns over them, per year of 365 days.
    """

    trend: Trend = Trend.UNKNOWN
    score: float | None = None
    slope: float | None = None
    fit: float | None = None
    volatility: Volatility = Volatility.UNKNOWN
    rank: float | None = None
    volatility_year: float | None = None


def regime(series: Series, fast: Floats, slow: Floats, strength: Directional, atr: Floats) -> Regime:
    """The regime now. `fast` and `slow` are averages of the close, `strength` is the ADX, `atr` in price."""
    slope, fit = _slope(series.close)
    score = _score(series, last(fast), last(slow), last(strength.adx), slope, fit)
    rank = _rank(series.close, atr)
    return Regime(_trend(score), score, slope, fit, _volatility(rank), rank, _yearly(series))


def _slope(close: Floats) -> tuple[float | None, float | None]:
    """Least squares of the log price on time over the last 50 candles: slope per candle, R squared."""
    if len(close) < _SLOPE:
        return None, None
    logs = np.log(close[-_SLOPE:])
    logs = logs - logs.mean()
    time = np.arange(_SLOPE) - (_SLOPE - 1) / 2
    slope = float((time * logs).sum() / (time * time).sum())
    spread = float((logs * logs).sum())
    return slope, clip(slope * slope * float((time * time).sum()) / spread, 0.0, 1.0) if spread > 1e-18 else 0.0


def _score(
    series: Series, fast: float | None, slow: float | None, adx: float | None, slope: float | None, fit: float | None
) -> float | None:
    """0.35 side of the averages + 0.25 side of the price + 0.4 slope times fit, damped below an ADX of 25. A choice."""
    if fast is None or slow is None or slope is None or fit is None:
        return None
    close = float(series.close[-1])
    sides = 0.35 * _sign(fast - slow, slow) + 0.25 * _sign(close - slow, slow) + 0.4 * _sign(slope, 1.0) * fit
    return clip(sides * (0.4 + 0.6 * clip((25.0 if adx is None else adx) / 25.0, 0.0, 1.0)))


def _sign(gap: float, size: float) -> int:
    return 0 if abs(gap) <= 1e-12 * abs(size) else 1 if gap > 0 else -1


def _trend(score: float | None) -> Trend:
    if score is None:
        return Trend.UNKNOWN
    return Trend.UP if score >= 0.35 else Trend.DOWN if score <= -0.35 else Trend.SIDEWAYS


def _rank(close: Floats, atr: Floats) -> float | None:
    """The share of the last 250 relative ranges below that of now, equal ones counted half; None below 60 or if none moves."""
    relative = (atr / close)[-_PAST:]
    relative = relative[np.isfinite(relative)]
    if len(relative) < _LEAST or not relative.max() > 0:
        return None
    now = relative[-1]
    return float((np.sum(relative < now) + 0.5 * np.sum(relative == now)) / len(relative))


def _volatility(rank: float | None) -> Volatility:
    if rank is None:
        return Volatility.UNKNOWN
    bounds = ((0.95, Volatility.EXTREME), (0.75, Volatility.HIGH), (0.25, Volatility.NORMAL))
    return next((state for bound, state in bounds if rank > bound), Volatility.LOW)


def _yearly(series: Series) -> float | None:
    if len(series) < _SLOPE + 1:
        return None
    returns = np.diff(np.log(series.close[-_SLOPE - 1 :]))
    # A hole between two candles is a longer return, and no longer one of this timeframe.
    returns = returns[np.diff(series.ts[-_SLOPE - 1 :]) == timeframe_ms(series.timeframe)]
    return known(float(returns.std(ddof=1)) * math.sqrt(_YEAR_MS / timeframe_ms(series.timeframe))) if len(returns) > 1 else None
