"""The data of the items: seeded, the same for us and for the peers, to whom it is written as .npy files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bot.core.market import Candle, Instrument, Quote, timeframe_ms

Floats = NDArray[np.float64]
START = 1_600_000_000_000 // 3_600_000 * 3_600_000
SYMBOL = "BTC/USDT"
_FEE = Decimal("0.001")


def instrument(symbol: str = SYMBOL) -> Instrument:
    """A spot instrument around 100, with a fee of 0.1 %."""
    base, _, quote = symbol.partition("/")
    step, lot = Decimal("0.01"), Decimal("0.00001")
    return Instrument(symbol, base, quote, step, lot, lot, Decimal(5), _FEE, _FEE)


def symbols(count: int) -> tuple[str, ...]:
    """That many symbols, the first of them `SYMBOL`."""
    return (SYMBOL, *(f"S{number:03d}/USDT" for number in range(1, count)))


@dataclass(frozen=True, slots=True)
class Bars:
    """Open, high, low, close, volume by row, and the beginning of each bar in milliseconds."""

    ts: NDArray[np.int64]
    ohlcv: Floats
    timeframe: str

    @classmethod
    def walk(cls, count: int, timeframe: str = "1m", seed: int = 3) -> Bars:
        """A random walk from 100 that returns slowly to it, with prices at two decimals and 0.08 % of movement a bar."""
        shocks = np.random.default_rng(seed).normal(0.0, 0.0008, count)
        logs = np.empty(count)
        level = 0.0
        for place, shock in enumerate(shocks):
            level = level * 0.9999 + shock
            logs[place] = level
        close = np.round(100.0 * np.exp(logs), 2)
        opened = np.concatenate(([100.0], close[:-1]))
        high = np.round(np.maximum(opened, close) * 1.0002 + 0.01, 2)
        low = np.round(np.minimum(opened, close) * 0.9998 - 0.01, 2)
        ts = START + np.arange(count, dtype=np.int64) * timeframe_ms(timeframe)
        return cls(ts, np.column_stack([opened, high, low, close, np.full(count, 10.0)]), timeframe)

    def candles(self, symbol: str = SYMBOL) -> list[Candle]:
        """The same as the bot sees it; a bar is known as it ends."""
        length, frame = timeframe_ms(self.timeframe), self.timeframe
        rows = zip(self.ts.tolist(), self.ohlcv.tolist(), strict=True)
        return [Candle(symbol, frame, ts + length, ts, *values) for ts, values in rows]

    def write(self, folder: Path) -> Path:
        """Write `ts.npy` and `ohlcv.npy`; the folder."""
        np.save(folder / "ts.npy", self.ts)
        np.save(folder / "ohlcv.npy", self.ohlcv)
        return folder


def interleaved(series: Sequence[list[Candle]]) -> list[Candle]:
    """Series of the same times as one stream."""
    return list(chain.from_iterable(zip(*series, strict=True)))


def quote_rows(count: int, seed: int = 5) -> Floats:
    """Bid, ask, bid size, ask size by row: a walk around 100 with a spread of one step."""
    random = np.random.default_rng(seed)
    bid = np.round(100.0 + np.cumsum(random.choice((-0.01, 0.0, 0.01), count)) % 5.0, 2)
    sizes = np.round(random.uniform(200.0, 900.0, (count, 2)), 3)
    return np.column_stack([bid, np.round(bid + 0.01, 2), sizes])


def quotes(rows: Floats, names: Sequence[str] = (SYMBOL,), step_ms: int = 1) -> list[Quote]:
    """The rows as quotes, one every `step_ms`, dealt to the symbols in turn."""
    count = len(names)
    return [
        Quote.of(names[place % count], START + place * step_ms, bid, ask, bid_size, ask_size)
        for place, (bid, ask, bid_size, ask_size) in enumerate(rows.tolist())
    ]
