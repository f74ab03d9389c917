"""Indicators over whole arrays: as long as their input, NaN until warm, each value made of what came before it alone.

They equal the incremental indicators of `bot.core.indicators`, which trading uses. Windows are numpy; what is recursive runs
once over a list, in the order of the incremental one, so that it rounds as that does and no later candle can touch it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from sources.analysis.values import TIE, AnalysisError, Floats


def _period(period: int, least: int = 1) -> int:
    if period < least:
        message = f"period is {period}; give at least {least}"
        raise AnalysisError(message)
    return period


def _windowed(array: Floats, period: int, fold: Callable[[Floats], Floats]) -> Floats:
    """A fold of every full window, NaN before the first."""
    found = np.full(len(array), np.nan)
    if len(array) >= _period(period):
        found[period - 1 :] = fold(sliding_window_view(array, period))
    return found


def _divided(top: Floats, bottom: Floats) -> Floats:
    """Quotients, NaN where there is nothing to divide by."""
    found = np.full(len(top), np.nan)
    np.divide(top, bottom, out=found, where=bottom > 0)
    return found


def sma(array: Floats, period: int) -> Floats:
    """Simple moving average."""
    return _windowed(array, period, lambda windows: windows.mean(axis=1))


def highest(array: Floats, period: int) -> Floats:
    """Largest of the window."""
    return _windowed(array, period, lambda windows: windows.max(axis=1))


def lowest(array: Floats, period: int) -> Floats:
    """Smallest of the window."""
    return _windowed(array, period, lambda windows: windows.min(axis=1))


def deviation(array: Floats, period: int) -> Floats:
    """Standard deviation of the window (population); 0 where nothing varies but by rounding."""
    spread = _windowed(array, period, lambda windows: windows.std(axis=1))
    spread[spread <= TIE * np.abs(sma(array, period))] = 0.0
    return spread


def total(array: Floats, period: int) -> Floats:
    """Sum of the window."""
    return _windowed(array, period, lambda windows: windows.sum(axis=1))


def _smoothed(array: Floats, period: int, alpha: float) -> Floats:
    """An exponential average that begins with the mean of the first `period` numbers after leading NaN."""
    found = np.full(len(array), np.nan)
    start = int(np.argmax(~np.isnan(array))) if len(array) and not np.isnan(array).all() else len(array)
    first = start + _period(period) - 1
    if first < len(array):
        numbers = array[start:].tolist()
        seed = sum(numbers[:period]) / period
        found[first:] = list(accumulate(numbers[period:], lambda old, new: old + alpha * (new - old), initial=seed))
    return found


def ema(array: Floats, period: int) -> Floats:
    """Exponential moving average, weight 2 / (period + 1)."""
    return _smoothed(array, period, 2.0 / (_period(period) + 1))


def wilder(array: Floats, period: int) -> Floats:
    """Wilder's smoothing, weight 1 / period."""
    return _smoothed(array, period, 1.0 / _period(period))


def rsi(close: Floats, period: int = 14) -> Floats:
    """Wilder's relative strength index, 0..100; 50 where nothing has moved (Wilder 1978)."""
    change = np.diff(close, prepend=np.nan)[: len(close)]
    gain, loss = wilder(np.maximum(change, 0.0), period), wilder(np.maximum(-change, 0.0), period)
    moved = gain + loss
    found = 100.0 * _divided(gain, moved)
    found[moved == 0.0] = 50.0
    return found


@dataclass(frozen=True, slots=True, eq=False)
class Macd:
    """`line` is the fast minus the slow EMA, `signal` its EMA, `histogram` their difference (Appel 1979)."""

    line: Floats
    signal: Floats
    histogram: Floats


def macd(close: Floats, fast: int = 12, slow: int = 26, signal: int = 9) -> Macd:
    """Moving average convergence divergence."""
    _period(slow, fast + 1)
    line = ema(close, fast) - ema(close, slow)
    smooth = ema(line, signal)
    return Macd(line, smooth, line - smooth)


@dataclass(frozen=True, slots=True, eq=False)
class Bands:
    """A band about a middle."""

    lower: Floats
    middle: Floats
    upper: Floats

    def place(self, price: Floats) -> Floats:
        """Where a price is in the band: 0 at the lower edge, 1 at the upper; NaN where the band has no width."""
        return _divided(price - self.lower, self.upper - self.lower)

    def width(self) -> Floats:
        """The band's width as a fraction of its middle."""
        return _divided(self.upper - self.lower, self.middle)


def bollinger(close: Floats, period: int = 20, width: float = 2.0) -> Bands:
    """Bands of `width` standard deviations about the simple average (Bollinger 2001)."""
    middle, reach = sma(close, period), width * deviation(close, period)
    return Bands(middle - reach, middle, middle + reach)


def donchian(high: Floats, low: Floats, period: int = 20) -> Bands:
    """The channel between the highest high and the lowest low."""
    upper, lower = highest(high, period), lowest(low, period)
    return Bands(lower, (upper + lower) * 0.5, upper)


def true_range(high: Floats, low: Floats, close: Floats) -> Floats:
    """The candle's range, widened to the close before it; the first candle's is high - low."""
    before = np.concatenate([close[:1], close[:-1]])
    before[:1] = high[:1]
    found: Floats = np.maximum(high, before) - np.minimum(low, before)
    return found


def atr(high: Floats, low: Floats, close: Floats, period: int = 14) -> Floats:
    """Average true range by Wilder's smoothing, in price units."""
    return wilder(true_range(high, low, close), period)


@dataclass(frozen=True, slots=True, eq=False)
class Directional:
    """Wilder's average directional index and the directional indicators, each 0..100."""

    adx: Floats
    plus: Floats
    minus: Floats


def adx(high: Floats, low: Floats, close: Floats, period: int = 14) -> Directional:
    """Average directional index; 0 where nothing moves (Wilder 1978)."""
    rise, fall = np.diff(high, prepend=np.nan)[: len(high)], -np.diff(low, prepend=np.nan)[: len(low)]
    up = np.where((rise > fall) & (rise > 0.0), rise, 0.0)
    down = np.where((fall > rise) & (fall > 0.0), fall, 0.0)
    ranges = true_range(high, low, close)
    for array in (up, down, ranges):
        array[:1] = np.nan  # the first directional movement is the second candle's
    span, plus, minus = wilder(ranges, period), wilder(up, period), wilder(down, period)
    plus, minus = _share(plus, span), _share(minus, span)
    return Directional(wilder(_share(np.abs(plus - minus), plus + minus), period), plus, minus)


def _share(part: Floats, whole: Floats) -> Floats:
    """Per cent of the whole: 0 of nothing, NaN of what is not known."""
    found = 100.0 * _divided(part, whole)
    found[whole == 0.0] = 0.0
    return found


@dataclass(frozen=True, slots=True, eq=False)
class Stochastic:
    """Lane's oscillator, 0..100: `k` smoothed, `d` its average."""

    k: Floats
    d: Floats


def stochastic(high: Floats, low: Floats, close: Floats, period: int = 14, smooth: int = 3, signal: int = 3) -> Stochastic:
    """Where the close is in the range of `period` candles; NaN while that range is nothing (Lane 1984)."""
    bottom = lowest(low, period)
    raw = 100.0 * _divided(close - bottom, highest(high, period) - bottom)
    k = sma(raw, smooth)
    return Stochastic(k, sma(k, signal))


def obv(close: Floats, volume: Floats) -> Floats:
    """On-balance volume from 0 at the first candle (Granville 1963)."""
    found: Floats = np.cumsum(np.sign(np.diff(close, prepend=close[:1])) * volume)
    return found


def vwap(high: Floats, low: Floats, close: Floats, volume: Floats, period: int = 20) -> Floats:
    """Volume-weighted mean of the typical price over the window; NaN where nothing was traded."""
    return _divided(total((high + low + close) / 3.0 * volume, period), total(volume, period))


def cci(high: Floats, low: Floats, close: Floats, period: int = 20) -> Floats:
    """Commodity channel index: the typical price off its mean, in 0.015 mean absolute deviations (Lambert 1980)."""
    typical = (high + low + close) / 3.0
    middle = sma(typical, period)
    apart = _windowed(typical, period, lambda windows: np.abs(windows - windows.mean(axis=1, keepdims=True)).mean(axis=1))
    apart[apart <= TIE * np.abs(middle)] = 0.0
    return _divided(typical - middle, 0.015 * apart)


def mfi(high: Floats, low: Floats, close: Floats, volume: Floats, period: int = 14) -> Floats:
    """Money flow index, 0..100: the share of rising money; NaN where no money moved (Quong and Soudack 1989)."""
    typical = (high + low + close) / 3.0
    change = np.diff(typical, prepend=np.nan)[: len(typical)]
    flow = typical * volume
    gain = total(np.where(np.isnan(change), np.nan, np.where(change > 0, flow, 0.0)), period)
    loss = total(np.where(np.isnan(change), np.nan, np.where(change < 0, flow, 0.0)), period)
    return 100.0 * _divided(gain, gain + loss)


def williams(high: Floats, low: Floats, close: Floats, period: int = 14) -> Floats:
    """Williams' %R, -100..0."""
    top = highest(high, period)
    return -100.0 * _divided(top - close, top - lowest(low, period))


def roc(close: Floats, period: int = 10) -> Floats:
    """Change over `period` candles as a fraction."""
    found = np.full(len(close), np.nan)
    if len(close) > _period(period):
        found[period:] = close[period:] / close[:-period] - 1.0
    return found
