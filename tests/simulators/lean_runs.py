"""Runs of a small algorithm on the stand-in for LEAN."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bot.core.market import Candle
from simulators.quantconnect.lean import Run, bars_of, simulate
from simulators.quantconnect.lean_indicators import (
    Indicator,
)
from simulators.quantconnect.lean_types import (
    UTC_ZONE,
    naive,
)

HOUR = 3_600_000
BEGIN = 1_767_225_600_000  # 2026-01-01
HEAD = """from AlgorithmImports import *


class Tested(QCAlgorithm):

    def initialize(self):
        self.set_time_zone(TimeZones.UTC)
        self.set_start_date(2026, 1, 1)
        self.set_end_date(2026, 1, 1)
        self.set_cash(10000)
        self.s = self.add_crypto("BTCUSDT", Resolution.HOUR, Market.BINANCE).symbol
        self.seen = []
        self.begin()

    def begin(self):
        pass
"""


def candles(closes: Sequence[float], begin: int = BEGIN, spread: float = 1.0) -> list[Candle]:
    """Hours that open where the one before closed."""
    made, last = [], closes[0]
    for place, close in enumerate(closes):
        ts = begin + place * HOUR
        high, low = max(last, close) + spread, min(last, close) - spread
        made.append(Candle("BTC/USDT", "1h", ts + HOUR, ts, last, high, low, close, 5.0))
        last = close
    return made


def ran(body: str, closes: Sequence[float] = tuple(range(100, 124)), **more: Any) -> Run:
    """A day of the algorithm."""
    return simulate({"main.py": HEAD + body}, bars_of(candles(closes)), BEGIN + 400 * 24 * HOUR, **more)


def fed(indicator: Indicator, numbers: Sequence[float]) -> list[float]:
    """The values it gives."""
    found = []
    for place, number in enumerate(numbers):
        indicator.update(naive(BEGIN + place * HOUR, UTC_ZONE), number)
        found.append(indicator.current.value)
    return found
