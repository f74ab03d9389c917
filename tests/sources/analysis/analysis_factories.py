"""Candles for the analyses: drawn, walked or recorded."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from bot.core.market import Candle, timeframe_ms
from sources.analysis.series import Series, series_of

BTC = "BTC/USDT"
START = 1_700_006_400_000
SHARED = Path(__file__).parents[3].parent / "shared" / "data" / "binance_spot_1h_4coins_2018_2023.parquet"


def candle(
    index: int,
    opened: float,
    high: float,
    low: float,
    close: float,
    volume: float = 1.0,
    timeframe: str = "1h",
    symbol: str = BTC,
) -> Candle:
    """The candle of one place in a row."""
    length = timeframe_ms(timeframe)
    ts = START + index * length
    return Candle(symbol, timeframe, ts + length, ts, opened, high, low, close, volume)


def walked(
    count: int, *, seed: int = 1, sigma: float = 0.01, drift: float = 0.0, timeframe: str = "1h", symbol: str = BTC
) -> list[Candle]:
    """A geometric random walk; sigma 0 and drift 0 stand still."""
    random = np.random.default_rng(seed)
    found, price = [], 100.0
    for index in range(count):
        close = price * math.exp(drift + sigma * random.standard_normal())
        high = max(price, close) * (1 + sigma * abs(random.standard_normal()) / 2)
        low = min(price, close) * (1 - sigma * abs(random.standard_normal()) / 2)
        found.append(candle(index, price, high, low, close, float(random.uniform(1, 10)), timeframe, symbol))
        price = close
    return found


def walk(count: int, *, seed: int = 1, sigma: float = 0.01, drift: float = 0.0) -> Series:
    """The same as arrays."""
    return series_of(walked(count, seed=seed, sigma=sigma, drift=drift), symbol=BTC, timeframe="1h")


def bars(rows: Sequence[tuple[float, float, float, float]], timeframe: str = "1h") -> Series:
    """Candles of (open, high, low, close)."""
    return series_of([candle(index, *row, timeframe=timeframe) for index, row in enumerate(rows)])


def path(points: Sequence[float], step: int = 8, noise: float = 0.15) -> Series:
    """Candles along straight lines from point to point, `step` of them for each line, with small shadows."""
    closes = [points[0]]
    for before, after in pairwise(points):
        closes += [before + (after - before) * (place + 1) / step for place in range(step)]
    rows = [
        (opened, max(opened, close) + noise, min(opened, close) - noise, close)
        for opened, close in zip([points[0], *closes], closes, strict=False)
    ]
    return bars(rows)


@cache
def recorded(count: int) -> Series:
    """Recorded hours of BTC/USDT, or the test is skipped."""
    return series_of(recorded_candles(count))


@cache
def recorded_candles(count: int, symbol: str = BTC) -> tuple[Candle, ...]:
    """Recorded hours of a symbol, or the test is skipped."""
    if not SHARED.exists():
        pytest.skip("the recorded candles are not there")
    import polars as pl

    frame = pl.read_parquet(SHARED).filter(pl.col("symbol") == symbol).sort("ts").tail(count)
    return tuple(Candle(symbol, "1h", row[1] + 3_600_000, *row[1:]) for row in frame.iter_rows())
