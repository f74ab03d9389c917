"""Returns of several symbols side by side, for the moments at which all of them are known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bot.core.market import Candle, timeframe_ms
from sources.analysis.series import series_of
from sources.analysis.values import AnalysisError, Floats


@dataclass(frozen=True, slots=True, eq=False)
class ReturnTable:
    """Simple returns per period of `period` ms: `values[t, i]` is that of `symbols[i]` over the period that ends at `ends[t]`."""

    symbols: tuple[str, ...]
    values: Floats
    period: int
    ends: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.values.shape[1:] != (len(self.symbols),):
            message = f"returns of {len(self.symbols)} symbols need as many columns, and these are {self.values.shape}"
            raise AnalysisError(message)
        if len(set(self.symbols)) != len(self.symbols) or self.period <= 0:
            message = "returns need different symbols and a period above 0 ms"
            raise AnalysisError(message)
        if not np.isfinite(self.values).all() or (self.values < -1.0).any():
            message = "a return is not finite, or loses more than everything: give simple returns as fractions"
            raise AnalysisError(message)
        if self.ends and len(self.ends) != len(self.values):
            message = f"{len(self.values)} returns cannot end at {len(self.ends)} moments"
            raise AnalysisError(message)

    def __len__(self) -> int:
        return len(self.values)

    def of(self, symbol: str) -> Floats | None:
        """The column of a symbol, None if it has none."""
        return self.values[:, self.symbols.index(symbol)] if symbol in self.symbols else None


def returns_of(series: Mapping[str, Sequence[float]], period: int) -> ReturnTable:
    """A table of return series of equal length, already aligned. Raises `AnalysisError` if they are not, or one cannot be."""
    if len({len(each) for each in series.values()}) > 1:
        message = f"return series of equal length are needed, not {sorted({len(each) for each in series.values()})}"
        raise AnalysisError(message)
    values = np.array([list(each) for each in series.values()], dtype=np.float64)
    return ReturnTable(tuple(series), values.T if len(series) else np.zeros((0, 0)), period)


def aligned(candles: Mapping[str, Sequence[Candle]], at: int | None = None) -> ReturnTable:
    """Close to close returns of candles of one timeframe, of the periods that no symbol lacks; a hole makes no long return.

    Candles that had not ended by `at` do not exist yet. Raises `AnalysisError` if the timeframes differ.
    """
    names = {each[0].timeframe for each in candles.values() if each}
    if len(names) != 1:
        message = f"candles of one timeframe are needed, not {sorted(names) or 'none'}"
        raise AnalysisError(message)
    (name,) = names
    period = timeframe_ms(name)
    columns = {symbol: series_of(each, at, symbol=symbol, timeframe=name) for symbol, each in candles.items()}
    closes = {symbol: dict(zip(each.ts.tolist(), each.close.tolist(), strict=True)) for symbol, each in columns.items()}
    common = sorted(set.intersection(*(set(each) for each in closes.values())))
    kept = [ts for ts, before in zip(common[1:], common[:-1], strict=True) if ts - before == period]
    rows = [[each[ts] / each[ts - period] - 1.0 for each in closes.values()] for ts in kept]
    values = np.array(rows, dtype=np.float64).reshape(len(kept), len(closes))
    return ReturnTable(tuple(closes), values, period, tuple(ts + period for ts in kept))
