"""The recorded market: candles from a Parquet or CSV file, validated once, then read as fast as Python can build them.

A file that cannot be trusted is refused whole, with the file, the row, the column and the remedy: a backtest over bad data is
worse than none. Holes are not an error (venues have outages); `gaps` reports them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from bot.core.market import Candle, timeframe_ms
from bot.market.candles import MissingCandles
from bot.market.recorded_file import RecordedDataError, read_frame

if TYPE_CHECKING:
    import polars as pl

__all__ = ["RecordedDataError", "RecordedMarket", "RecordedSeries", "unified_symbol"]

_UNITS = {"s": (1, 5, 10, 15, 30), "m": (1, 3, 5, 10, 15, 30), "h": (1, 2, 3, 4, 6, 8, 12), "d": (1, 3), "w": (1,)}
_TIMEFRAMES = tuple(f"{count}{unit}" for unit, counts in _UNITS.items() for count in counts)
_BY_LENGTH = {timeframe_ms(timeframe): timeframe for timeframe in _TIMEFRAMES}
_QUOTES = ("FDUSD", "USDT", "USDC", "TUSD", "BUSD", "DAI", "USD", "EUR", "GBP", "TRY", "JPY", "BTC", "ETH", "BNB")
_CHUNK = 65_536


def unified_symbol(symbol: str) -> str:
    """The ccxt spelling of a spot symbol: `BTCUSDT`, `btc-usdt` and `BTC_USDT` are `BTC/USDT`; what is not understood stays."""
    name = symbol.upper()
    if "/" in name:
        return name
    for separator in "-_":
        base, found, quote = name.partition(separator)
        if found:
            return f"{base}/{quote}"
    for quote in _QUOTES:
        if name.endswith(quote) and len(name) > len(quote):
            return f"{name.removesuffix(quote)}/{quote}"
    return symbol


@dataclass(frozen=True, slots=True)
class RecordedSeries:
    """The candles of one symbol as columns of equal length: `ts` int64 ms UTC, the rest float64; strictly rising in `ts`."""

    symbol: str
    timeframe: str
    ts: npt.NDArray[np.int64]
    open: npt.NDArray[np.float64]
    high: npt.NDArray[np.float64]
    low: npt.NDArray[np.float64]
    close: npt.NDArray[np.float64]
    volume: npt.NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.ts)

    def gaps(self) -> list[MissingCandles]:
        """Every hole in the series."""
        length = timeframe_ms(self.timeframe)
        steps = np.diff(self.ts)
        holes = np.flatnonzero(steps > length)
        return [
            MissingCandles(
                self.symbol,
                self.timeframe,
                int(self.ts[i]) + length,
                int(self.ts[i + 1]) - length,
                int(steps[i]) // length - 1,
            )
            for i in holes.tolist()
        ]


@dataclass(frozen=True, slots=True)
class RecordedMarket:
    """Recorded candles of one or more symbols.

    Iterating gives `Candle`s of all of them in the order in which they closed (`at` = `ts` + timeframe; at the same moment in
    the order of `series`).
    """

    path: Path
    series: dict[str, RecordedSeries]

    @classmethod
    def read(
        cls,
        path: str | Path,
        *,
        symbols: Sequence[str] | None = None,
        start: int | None = None,
        end: int | None = None,
        rename: Callable[[str], str] | None = None,
    ) -> RecordedMarket:
        """Read and validate a file with columns `symbol, ts, open, high, low, close, volume`.

        `symbols` names what is wanted, as the file or as `rename` (for instance `unified_symbol`) spells it, and gives the order
        of ties; the file's own order otherwise. Only candles that begin in `start` <= ts < `end` (ms UTC) are kept.
        Raises `RecordedDataError`, whose message names the file, row, column and remedy.
        """
        path = Path(path)
        frames = read_frame(path, wanted=_wanted(symbols, rename), start=start, end=end)
        series: dict[str, RecordedSeries] = {}
        for name, frame in frames.items():
            symbol = rename(name) if rename else name
            series[symbol] = _series(path, symbol, frame)
        if symbols:
            order = {(rename(name) if rename else name): place for place, name in enumerate(symbols)}
            series = dict(sorted(series.items(), key=lambda item: order.get(item[0], len(order))))
        return cls(path, series)

    def __len__(self) -> int:
        return sum(len(series) for series in self.series.values())

    @property
    def symbols(self) -> tuple[str, ...]:
        """The symbols, in the order of ties."""
        return tuple(self.series)

    @property
    def feeds(self) -> tuple[tuple[str, str], ...]:
        """The (symbol, timeframe) pairs it holds."""
        return tuple((series.symbol, series.timeframe) for series in self.series.values())

    @property
    def span(self) -> tuple[int, int]:
        """Start of the first candle and end of the last, ms UTC."""
        series = self.series.values()
        return (
            min(int(one.ts[0]) for one in series),
            max(int(one.ts[-1]) + timeframe_ms(one.timeframe) for one in series),
        )

    def gaps(self) -> list[MissingCandles]:
        """Every hole of every symbol."""
        return [gap for series in self.series.values() for gap in series.gaps()]

    def __iter__(self) -> Iterator[Candle]:
        return self.candles()

    def candles(self) -> Iterator[Candle]:
        """All candles in the order in which they closed."""
        parts = list(self.series.values())
        return _of_one(parts[0]) if len(parts) == 1 else _of_many(parts)


def _of_one(series: RecordedSeries) -> Iterator[Candle]:
    # Whole columns through map() cost a third of a loop that indexes them; chunks keep the lists of Python numbers small.
    length = timeframe_ms(series.timeframe)
    symbol, timeframe = repeat(series.symbol), repeat(series.timeframe)
    for begin in range(0, len(series), _CHUNK):
        rows = slice(begin, begin + _CHUNK)
        ts = series.ts[rows]
        prices = (column[rows].tolist() for column in (series.open, series.high, series.low, series.close, series.volume))
        yield from map(Candle, symbol, timeframe, (ts + length).tolist(), ts.tolist(), *prices)


def _of_many(parts: Sequence[RecordedSeries]) -> Iterator[Candle]:
    lengths = np.concatenate([np.full(len(part), timeframe_ms(part.timeframe), np.int64) for part in parts])
    ts = np.concatenate([part.ts for part in parts])
    at = ts + lengths
    owner = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    # A stable sort keeps the order of the parts where two candles close at the same moment.
    order = np.argsort(at, kind="stable")
    names = np.array([part.symbol for part in parts], dtype=object)
    timeframes = np.array([part.timeframe for part in parts], dtype=object)
    columns = [np.concatenate([getattr(part, name) for part in parts]) for name in ("open", "high", "low", "close", "volume")]
    for begin in range(0, len(order), _CHUNK):
        rows = order[begin : begin + _CHUNK]
        who = owner[rows]
        yield from map(
            Candle,
            names[who].tolist(),
            timeframes[who].tolist(),
            at[rows].tolist(),
            ts[rows].tolist(),
            *(column[rows].tolist() for column in columns),
        )


def _wanted(symbols: Sequence[str] | None, rename: Callable[[str], str] | None) -> Callable[[Sequence[str]], dict[str, str]]:
    """A function from the file's symbols to {wanted name: file's name}; names that the file lacks are absent from it."""

    def choose(available: Sequence[str]) -> dict[str, str]:
        if symbols is None:
            return {name: name for name in available}
        spelled = {rename(name): name for name in available} if rename else {}
        spelled.update({name: name for name in available})
        missing = [name for name in symbols if name not in spelled]
        if missing:
            message = f"symbol {missing[0]!r} is not in the file, which has {', '.join(available)}: name one of those"
            raise LookupError(message)
        return {name: spelled[name] for name in symbols}

    return choose


def _series(path: Path, symbol: str, frame: pl.DataFrame) -> RecordedSeries:
    ts = frame["ts"].to_numpy()
    columns = [frame[name].to_numpy() for name in ("open", "high", "low", "close", "volume")]
    return RecordedSeries(symbol, _timeframe(path, symbol, ts, frame["row"].to_numpy()), ts, *columns)


def _timeframe(path: Path, symbol: str, ts: npt.NDArray[np.int64], rows: npt.NDArray[np.int64]) -> str:
    """The timeframe is the smallest step; every other step must be a multiple of it (a hole)."""
    if len(ts) < 2:
        message = f"{path}: {symbol} has {len(ts)} candle(s) in the chosen range, which show no timeframe: widen --from/--to"
        raise RecordedDataError(message)
    steps = np.diff(ts)
    length = int(steps.min())
    timeframe = _BY_LENGTH.get(length)
    if timeframe is None:
        message = (
            f"{path}, column ts: candles of {symbol} are {length} ms apart, which is no known timeframe "
            f"({', '.join(_TIMEFRAMES)}): ts must be the start of each candle in milliseconds UTC"
        )
        raise RecordedDataError(message)
    odd = np.flatnonzero(steps % length)
    if len(odd):
        row = int(rows[odd[0] + 1])
        message = (
            f"{path}, row {row}, column ts: {int(ts[odd[0] + 1])} does not fall on the {timeframe} grid of {symbol}: "
            "remove the row or write one timeframe per file"
        )
        raise RecordedDataError(message)
    return timeframe
