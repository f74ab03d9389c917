"""Candles as arrays: one symbol, one timeframe, oldest first, nothing in them that is no candle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bot.core.market import Candle, timeframe_ms
from sources.analysis.values import AnalysisError, Bools, Floats, Ints

_ABSURD = 1e30


@dataclass(frozen=True, slots=True, eq=False)
class Series:
    """Closed candles in arrays of equal length; `ts` is where each begins, in ms UTC.

    `dropped` counts rows that were no candles, repeated ones included; `missing` those absent between the first and the last.
    """

    symbol: str
    timeframe: str
    ts: Ints
    open: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    dropped: int = 0
    missing: int = 0

    def __len__(self) -> int:
        return len(self.ts)

    def until(self, count: int) -> Series:
        """The first `count` candles, as if the others had not happened yet."""
        ts = self.ts[:count]
        missing = _holes(ts, self.timeframe)
        prices = self.open[:count], self.high[:count], self.low[:count], self.close[:count]
        return Series(self.symbol, self.timeframe, ts, *prices, self.volume[:count], 0, missing)


def series_of(candles: Sequence[Candle], at: int | None = None, *, symbol: str = "", timeframe: str = "") -> Series:
    """The candles that had ended by `at` (ms UTC; all, if None).

    `symbol` and `timeframe` name an empty series. Rows that are no candles (`Candle.fault`) are dropped and counted; of several
    candles of one moment the later in the sequence stays. Raises `AnalysisError` if symbols or timeframes are mixed.
    """
    if candles:
        symbol, timeframe = candles[0].symbol, candles[0].timeframe
        if any(candle.symbol != symbol or candle.timeframe != timeframe for candle in candles):
            message = f"candles of one symbol and timeframe are needed, and these are not all of {symbol} {timeframe}"
            raise AnalysisError(message)
    ts = np.fromiter((candle.ts for candle in candles), np.int64, len(candles))
    rows = np.array(
        [(candle.open, candle.high, candle.low, candle.close, candle.volume) for candle in candles], dtype=np.float64
    ).reshape(-1, 5)
    if at is not None and len(ts):
        ended = ts + timeframe_ms(timeframe) <= at
        ts, rows = ts[ended], rows[ended]
    given = len(ts)
    sound = _sound(rows)
    ts, rows = ts[sound], rows[sound]
    if len(ts) > 1 and not bool(np.all(ts[1:] > ts[:-1])):
        order = np.argsort(ts, kind="stable")
        ts, rows = ts[order], rows[order]
        newest = np.append(ts[1:] != ts[:-1], True)
        ts, rows = ts[newest], rows[newest]
    opened, high, low, close, volume = np.ascontiguousarray(rows.T)
    return Series(symbol, timeframe, ts, opened, high, low, close, volume, given - len(ts), _holes(ts, timeframe))


def _sound(rows: Floats) -> Bools:
    """Which rows are candles, by the rules of `Candle.fault`; absurd numbers, whose squares are none, are not either."""
    if not len(rows):
        return np.zeros(0, np.bool_)
    prices, volume = rows[:, :4], rows[:, 4]
    opened, high, low, close = prices.T
    with np.errstate(invalid="ignore"):
        positive = (prices < _ABSURD).all(axis=1) & (prices > 1 / _ABSURD).all(axis=1)
        contains = (low <= np.minimum(opened, close)) & (high >= np.maximum(opened, close))
        found: Bools = positive & contains & (volume < _ABSURD) & (volume >= 0)
    return found


def _holes(ts: Ints, timeframe: str) -> int:
    if len(ts) < 2:
        return 0
    return max(0, int((ts[-1] - ts[0]) // timeframe_ms(timeframe)) + 1 - len(ts))
