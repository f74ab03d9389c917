"""Candles on disk as a fetch leaves them: one Parquet file for each symbol and timeframe, in the columns that `backtest` reads.

A file covers one span of time without interruption (noted in it), holes of the venue aside. While it is fetched, every finished
piece lies beside it, so that a fetch that was killed goes on where it was; pieces and file appear whole or not at all.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from bot.core.market import Candle, timeframe_ms
from bot.market.candles import MissingCandles

if TYPE_CHECKING:
    import polars as pl

PIECE = 5_000
"""Candles of a piece: what an interruption costs at most."""

_COVERED = "arbiter.covered"
_SOURCE = "arbiter.exchange"
_COLUMNS = ("open", "high", "low", "close", "volume")


class CandleFileError(Exception):
    """A file or folder of candles cannot be used; the message names it and the remedy."""


@dataclass(frozen=True, slots=True)
class Span:
    """Candles that begin at `start` <= ts < `end`, milliseconds UTC."""

    start: int
    end: int

    def without(self, covered: Span | None) -> list[Span]:
        """What must be fetched so that both together are one span: what lies between them is part of it."""
        if covered is None:
            return [self]
        parts = (Span(self.start, covered.start), Span(covered.end, self.end))
        return [part for part in parts if part.start < part.end]

    def pieces(self, length: int) -> Iterator[Span]:
        """Cut at whole multiples of a piece, so that another fetch of the same time cuts it the same way."""
        size = PIECE * length
        start = self.start
        while start < self.end:
            end = min(self.end, (start // size + 1) * size)
            yield Span(start, end)
            start = end


@dataclass(frozen=True, slots=True)
class CandleFile:
    """The candles of one symbol and timeframe at one exchange, in the folder `out`."""

    out: Path
    exchange: str
    symbol: str
    timeframe: str

    @property
    def path(self) -> Path:
        """Such as `OUT/binance/BTC-USDT-1m.parquet`."""
        return self.out / self.exchange / f"{self.symbol.replace('/', '-').replace(':', '_')}-{self.timeframe}.parquet"

    @property
    def _folder(self) -> Path:
        return self.path.with_suffix(".pieces")

    @property
    def length(self) -> int:
        """Milliseconds of a candle."""
        return timeframe_ms(self.timeframe)

    def covered(self) -> Span | None:
        """The span it covers already, None if there is no file. `CandleFileError` if the file is none of ours."""
        import polars as pl  # noqa: PLC0415 - heavy, and not needed for --help

        if not self.path.exists():
            return None
        try:
            noted = pl.read_parquet_metadata(self.path)
            start, _, end = noted[_COVERED].partition(",")
            return Span(int(start), int(end))
        except (pl.exceptions.PolarsError, OSError, KeyError, ValueError) as error:
            message = (
                f"{self.path} was not written by `data fetch` or is damaged: move it away, or name another folder with --out"
            )
            raise CandleFileError(message) from error

    @contextmanager
    def held(self) -> Iterator[None]:
        """The folder of pieces, for this process alone. `CandleFileError` if another fetch has it, or nobody can write there."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            message = f"{self._folder} cannot be made ({error.strerror or error}): name a folder of your own with --out"
            raise CandleFileError(message) from error
        if sys.platform == "win32":
            yield
            return
        import fcntl  # noqa: PLC0415 - POSIX only

        handle = os.open(self._folder, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(handle)
            message = f"another fetch is writing {self.path}: wait for it, or name another folder with --out"
            raise CandleFileError(message) from error
        try:
            yield
        finally:
            os.close(handle)

    def has(self, piece: Span) -> bool:
        """Whether an earlier fetch finished this piece."""
        return self._piece(piece).exists()

    def _piece(self, piece: Span) -> Path:
        return self._folder / f"{piece.start}-{piece.end}.parquet"

    def keep(self, piece: Span, candles: Iterable[Candle]) -> None:
        """Store a finished piece, empty or not; candles in the order of time."""
        _write(_frame(self.symbol, candles), self._piece(piece), {})

    def finish(self, pieces: Sequence[Span], covers: Span) -> pl.DataFrame:
        """Make the file of the pieces and what it held before, and let the pieces go; the candles of the whole file.

        No file is written for no candles.
        """
        import polars as pl  # noqa: PLC0415 - heavy, and not needed for --help

        try:
            parts = [pl.read_parquet(self.path)] if self.path.exists() else []
            parts += [pl.read_parquet(self._piece(piece)) for piece in pieces]
        except (pl.exceptions.PolarsError, OSError) as error:
            message = f"{self._folder} is damaged ({error}): delete it and fetch again"
            raise CandleFileError(message) from error
        whole = pl.concat(parts) if parts else _frame(self.symbol, ())
        whole = whole.unique("ts", keep="last").sort("ts")
        if not whole.is_empty():
            _write(whole, self.path, {_COVERED: f"{covers.start},{covers.end}", _SOURCE: self.exchange})
        shutil.rmtree(self._folder, ignore_errors=True)
        return whole

    def leave(self) -> None:
        """Let the folder of pieces go if there are none."""
        with contextlib.suppress(OSError):
            self._folder.rmdir()


def holes(symbol: str, timeframe: str, starts: Sequence[int], span: Span) -> list[MissingCandles]:
    """Every hole between candles that begin at `starts` (rising), and between them and the ends of the span."""
    length = timeframe_ms(timeframe)
    found = []
    for before, after in pairwise((span.start - length, *starts, span.end)):
        missing = (after - before) // length - 1
        if missing > 0:
            found.append(MissingCandles(symbol, timeframe, before + length, after - length, missing))
    return found


def _frame(symbol: str, candles: Iterable[Candle]) -> pl.DataFrame:
    import polars as pl  # noqa: PLC0415 - heavy, and not needed for --help

    rows = [(symbol, c.ts, c.open, c.high, c.low, c.close, c.volume) for c in candles]
    schema = {"symbol": pl.String, "ts": pl.Int64, **dict.fromkeys(_COLUMNS, pl.Float64)}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _write(frame: pl.DataFrame, path: Path, noted: dict[str, str]) -> None:
    """Beside it first, then in its place: a reader never sees half a file, and a power cut leaves the old one."""
    partial = path.with_name(f".{path.name}.partial")
    try:
        frame.write_parquet(partial, compression="zstd", metadata=noted or None)
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        message = f"{path} cannot be written ({error.strerror or error}): make room, or name another folder with --out"
        raise CandleFileError(message) from error
