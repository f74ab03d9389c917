"""The figures of a timeframe from its closed candles, all at once.

Every indicator here is a linear filter of something, and a filter over a known number of candles is a vector of weights: the
weights are made once for each length, after which an indicator is a dot product. The definitions are those of
`bot.core.indicators`, to rounding; what is not warm is NaN.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import chain
from operator import attrgetter
from typing import Any, TypeAlias

import numpy as np

from bot.core.market import Candle

Floats: TypeAlias = "np.ndarray[Any, np.dtype[np.float64]]"

OPEN, HIGH, LOW, CLOSE, VOLUME = range(5)
_COLUMNS = attrgetter("open", "high", "low", "close", "volume")
_PERIOD = 14  # of RSI, ATR and ADX
_AVERAGES = (("sma20", 20), ("sma50", 50), ("ema12", 12), ("ema26", 26))
_BAND, _WIDTH = 20, 2.0
_RETURNS = (1, 5, 20)
_LENGTHS = 16  # as many timeframes may be of different lengths while they fill


def columns(candles: Sequence[Candle]) -> Floats:
    """Open, high, low, close and volume as rows of floats, oldest first: shape (5, candles)."""
    flat = np.fromiter(chain.from_iterable(map(_COLUMNS, candles)), dtype=np.float64, count=5 * len(candles))
    return np.ascontiguousarray(flat.reshape(-1, 5).T)


def figures(rows: Floats) -> dict[str, float]:
    """Every figure by its name, NaN while not warm: prices, and as fractions `ret`, `move`, `atr_pct` and `range_pos`."""
    with np.errstate(all="ignore"):
        close = rows[CLOSE]
        count = close.size
        averages = _averages(count) @ close
        found = dict(zip((*(name for name, _ in _AVERAGES), "macd", "macd_signal"), averages.tolist(), strict=True))
        found["macd_hist"] = found["macd"] - found["macd_signal"]
        found |= _strength(close) | _band(close) | _ranges(rows) | _moves(close)
        found["atr_pct"] = _ratio(found["atr14"], float(close[-1]))
        volumes = rows[VOLUME]
        found["volume_ratio"] = _ratio(float(volumes[-1]), float(volumes[-_BAND:].mean()))
        return found


def _strength(close: Floats) -> dict[str, float]:
    """Wilder's RSI."""
    change = np.diff(close)
    if change.size < _PERIOD:
        return {"rsi14": np.nan}
    weights = _smoothing(change.size, _PERIOD, 1.0 / _PERIOD)[-1]
    gain = float(weights @ np.maximum(change, 0.0))
    moved = gain + float(weights @ np.maximum(-change, 0.0))
    return {"rsi14": 100.0 * gain / moved if moved else 50.0}


def _band(close: Floats) -> dict[str, float]:
    """Bollinger bands, and how many deviations the close is from their middle."""
    if close.size < _BAND:
        return dict.fromkeys(("bb_upper", "bb_lower", "bb_z"), np.nan)
    window = close[-_BAND:]
    middle = float(window.mean())
    deviation = float(np.sqrt(np.square(window - middle).mean()))
    varies = deviation > 1e-12 * abs(middle)
    return {
        "bb_upper": middle + _WIDTH * deviation,
        "bb_lower": middle - _WIDTH * deviation,
        "bb_z": (float(close[-1]) - middle) / deviation if varies else 0.0 if np.isfinite(deviation) else np.nan,
    }


def _ranges(rows: Floats) -> dict[str, float]:
    """ATR, ADX with its directional indicators, and where in the range of the window the close is (0 its low, 1 its high)."""
    high, low, close = rows[HIGH], rows[LOW], rows[CLOSE]
    before = close[:-1]
    true = high - low
    true[1:] = np.maximum(high[1:], before) - np.minimum(low[1:], before)
    found = dict.fromkeys(("atr14", "adx14", "di_plus", "di_minus"), np.nan)
    count = close.size
    if count >= _PERIOD:
        found["atr14"] = float(_smoothing(count, _PERIOD, 1.0 / _PERIOD)[-1] @ true)
    if count > _PERIOD:
        found |= _direction(np.diff(high), -np.diff(low), true[1:])
    top, bottom = float(high.max()), float(low.min())
    found |= {"range_high": top, "range_low": bottom, "range_pos": _ratio(float(close[-1]) - bottom, top - bottom)}
    return found


def _direction(rise: Floats, fall: Floats, true: Floats) -> dict[str, float]:
    up = np.where((rise > fall) & (rise > 0.0), rise, 0.0)
    down = np.where((fall > rise) & (fall > 0.0), fall, 0.0)
    up, down, span = (_smoothing(true.size, _PERIOD, 1.0 / _PERIOD) @ np.stack((up, down, true), axis=1)).T
    moves = span != 0.0
    plus = np.where(moves, 100.0 * up / span, 0.0)
    minus = np.where(moves, 100.0 * down / span, 0.0)
    both = plus + minus
    index = np.where(both != 0.0, 100.0 * np.abs(plus - minus) / both, 0.0)
    warm = index.size >= _PERIOD
    strength = float(_smoothing(index.size, _PERIOD, 1.0 / _PERIOD)[-1] @ index) if warm else np.nan
    return {"adx14": strength, "di_plus": float(plus[-1]), "di_minus": float(minus[-1])}


def _moves(close: Floats) -> dict[str, float]:
    """Returns over some candles, and the usual move of the last ones and of the whole window, as fractions."""
    last = float(close[-1])
    found = {f"ret{back}": _ratio(last, float(close[-1 - back])) - 1.0 if close.size > back else np.nan for back in _RETURNS}
    moves = np.abs(close[1:] / close[:-1] - 1.0)
    found["move14"] = float(moves[-_PERIOD:].mean()) if moves.size >= _PERIOD else np.nan
    found["move"] = float(moves.mean()) if moves.size >= _PERIOD else np.nan
    return found


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else np.nan


@lru_cache(maxsize=_LENGTHS)
def _averages(count: int) -> Floats:
    """Weights of the averages, the MACD line and its signal over that many candles, one row each."""
    rows = [_mean(count, period) if name[0] == "s" else _ema(count, period)[-1] for name, period in _AVERAGES]
    signal = np.full(count, np.nan)
    fast, slow, smooth = 12, 26, 9
    if count >= slow + smooth - 1:
        lines = (_padded(_ema(count, fast), count) - _padded(_ema(count, slow), count))[slow - 1 :]
        signal = _ema(count - slow + 1, smooth)[-1] @ lines
    return np.array([*rows, rows[2] - rows[3], signal])


def _mean(count: int, period: int) -> Floats:
    if count < period:
        return np.full(count, np.nan)
    return np.concatenate((np.zeros(count - period), np.full(period, 1.0 / period)))


def _ema(count: int, period: int) -> Floats:
    if count < period:
        return np.full((1, count), np.nan)
    return _smoothing(count, period, 2.0 / (period + 1))


def _padded(weights: Floats, count: int) -> Floats:
    """With rows of nothing before, so that row i is that of candle i."""
    return np.concatenate((np.zeros((count - len(weights), count)), weights))


@lru_cache(maxsize=4 * _LENGTHS)
def _smoothing(count: int, period: int, alpha: float) -> Floats:
    """Weights of an exponential average that begins with a mean: row i gives it after `period` + i numbers of `count`."""
    rows, places = np.arange(count - period + 1)[:, None], np.arange(count)[None, :]
    ages = rows + period - 1 - places  # how many numbers ago; before the mean's end they all fade alike
    powers = np.power(1.0 - alpha, np.arange(count))
    fading = powers[np.maximum(np.where(places < period, rows, ages), 0)]
    weights: Floats = fading * np.where(places < period, 1.0 / period, np.where(ages >= 0, alpha, 0.0))
    weights.flags.writeable = False
    return weights
