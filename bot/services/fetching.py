"""The use case of fetching history: a venue's candles, page by page through ccxt, into files that `backtest` reads.

Only candles that are final are kept. A hole is believed when the venue leaves it open a second time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from bot.core.market import Candle
from bot.market.candles import MissingCandles, candle_start
from bot.market.ccxt_history import candle_of
from bot.market.ccxt_venue import CcxtVenue, VenueConfig
from bot.services.candle_files import CandleFile, CandleFileError, Span, holes
from bot.services.patience import Patience, Sleep, VenueGaveUp
from bot.settings import Settings
from bot.settings.layers import Tree, merge, nested

__all__ = ["CandleFileError", "FetchError", "FetchOptions", "FetchReport", "VenueGaveUp", "fetch", "venue_of"]

_GRACE_MS = 2_000
_DEFAULT_PAGE = 500
_REACH_SECONDS = 30.0
_ASKED_AGAIN = 20


class FetchError(Exception):
    """What was asked for cannot be fetched; the message names the value and the remedy."""


@dataclass(frozen=True, slots=True)
class FetchOptions:
    """Which candles: those that begin at `start` <= ts < `end` (ms UTC), into the folder `out`."""

    symbols: tuple[str, ...]
    timeframe: str
    start: int
    end: int
    out: Path


class FetchWatcher(Protocol):
    """Who is told how a fetch goes; every method returns at once."""

    def began(self, symbol: str, candles: int) -> None:
        """A symbol's turn: so many candles have to be looked for."""
        ...

    def advanced(self, symbol: str, candles: int) -> None:
        """So many more have been looked for, found or not."""
        ...

    def waited(self, seconds: float, why: str) -> None:
        """The venue has to be waited for."""
        ...


@dataclass(slots=True)
class FileReport:
    """One symbol: its file (None: the venue has no such candles), what is in it, what was dropped on the way.

    `duplicates` came twice, `refused` were no candles (or off the grid). `pieces_kept` were there from an earlier fetch. `gaps`
    are of the whole file.
    """

    symbol: str
    path: Path | None = None
    candles: int = 0
    fetched: int = 0
    duplicates: int = 0
    refused: int = 0
    pieces_kept: int = 0
    covers: Span | None = None
    gaps: list[MissingCandles] = field(default_factory=list)

    @property
    def missing(self) -> int:
        """Candles that the venue does not have."""
        return sum(gap.count for gap in self.gaps)

    def as_json(self) -> dict[str, object]:
        """As plain JSON values; `to` is the first moment after the last candle."""
        return {
            "symbol": self.symbol,
            "path": None if self.path is None else str(self.path),
            "candles": self.candles,
            "from": None if self.covers is None else self.covers.start,
            "to": None if self.covers is None else self.covers.end,
            "fetched": self.fetched,
            "duplicates": self.duplicates,
            "refused": self.refused,
            "pieces_kept": self.pieces_kept,
            "missing": self.missing,
            "gaps": [{"first": gap.first, "last": gap.last, "candles": gap.count} for gap in self.gaps],
        }


@dataclass(frozen=True, slots=True)
class FetchReport:
    """What a fetch came to. `seconds_waited` is for limits and lost answers."""

    exchange: str
    timeframe: str
    files: tuple[FileReport, ...]
    requests: int
    seconds_waited: float

    @property
    def passed(self) -> bool:
        """Whether every symbol has a file."""
        return all(file.path is not None for file in self.files)

    def as_json(self) -> dict[str, object]:
        """Everything, as plain JSON values."""
        return {
            "exchange": self.exchange,
            "timeframe": self.timeframe,
            "files": [file.as_json() for file in self.files],
            "missing": sum(file.missing for file in self.files),
            "requests": self.requests,
            "seconds_waited": round(self.seconds_waited, 1),
        }


def venue_of(settings: Settings, exchange: str | None) -> VenueConfig:
    """How to open the exchange: as the settings say if it is theirs, else as ccxt knows it. None is the settings' own."""
    ours = settings.exchange
    if exchange not in {None, ours.id}:
        return VenueConfig(str(exchange), reach_timeout=_REACH_SECONDS)
    config: Tree = {"options": dict(ours.options)}
    for name, url in ours.urls.items():
        config = merge(config, {"urls": {"api": nested(tuple(name.split(".")), url)}})
    return VenueConfig(ours.id, config, ours.sandbox, reach_timeout=_REACH_SECONDS)


async def fetch(
    venue: VenueConfig,
    options: FetchOptions,
    watcher: FetchWatcher,
    *,
    clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    sleep: Sleep = asyncio.sleep,
) -> FetchReport:
    """Fetch what is not there yet, symbol after symbol.

    Raises `FetchError`, `CandleFileError`, `VenueGaveUp`, and the `VenueError`s of opening. What was fetched until then is kept.
    """
    opened = await CcxtVenue.open(venue, clock=clock)
    try:
        if options.timeframe not in opened.timeframes:
            known = ", ".join(opened.timeframes) or "none"
            message = f"--timeframe: {opened.id} has no {options.timeframe!r} candles: choose one of {known}"
            raise FetchError(message)
        opened.instruments(options.symbols)
        patience = Patience(opened.exchange, watcher.waited, sleep)
        files = [
            await _Fetching(opened, CandleFile(options.out, opened.id, symbol, options.timeframe), patience, watcher).run(options)
            for symbol in dict.fromkeys(options.symbols)
        ]
        return FetchReport(opened.id, options.timeframe, tuple(files), patience.requests, patience.seconds_waited)
    finally:
        await opened.close()


@dataclass(slots=True)
class _Fetching:
    """One symbol's turn."""

    venue: CcxtVenue
    file: CandleFile
    patience: Patience
    watcher: FetchWatcher
    report: FileReport = field(init=False)

    def __post_init__(self) -> None:
        self.report = FileReport(self.file.symbol)

    async def run(self, options: FetchOptions) -> FileReport:
        """Fetch the missing pieces and make the file of them."""
        wanted, file = self._wanted(options), self.file
        with file.held():
            try:
                covered = file.covered()
                pieces = [piece for part in wanted.without(covered) for piece in part.pieces(file.length)]
                self.watcher.began(file.symbol, sum(self._count(piece) for piece in pieces))
                for piece in pieces:
                    await self._piece(piece)
                self._finish(pieces, wanted, covered)
            finally:
                file.leave()
        return self.report

    def _wanted(self, options: FetchOptions) -> Span:
        """Whole candles within what is asked, as far as they are final by the venue's clock."""
        length, name = self.file.length, self.file.timeframe
        start = candle_start(options.start + length - 1, name)
        asked = candle_start(options.end, name)
        end = min(asked, candle_start(self.venue.now() - _GRACE_MS, name))
        if start >= end:
            message = f"--from / --to: no {name} candle begins and ends in that time (one that has not ended yet does not count)"
            raise FetchError(message)
        return Span(start, end)

    def _count(self, span: Span) -> int:
        return (span.end - span.start) // self.file.length

    async def _piece(self, piece: Span) -> None:
        if self.file.has(piece):
            self.report.pieces_kept += 1
        else:
            found: dict[int, Candle] = {}
            await self._pages(piece, found)
            await self._ask_again(piece, found)
            self.file.keep(piece, (found[ts] for ts in sorted(found)))
            self.report.fetched += len(found)
        self.watcher.advanced(self.file.symbol, self._count(piece))

    async def _pages(self, piece: Span, found: dict[int, Candle]) -> None:
        since, length = piece.start, self.file.length
        while since < piece.end:
            limit = min(self._page(), (piece.end - since) // length)
            rows = await self._ask(since, limit)
            newest = self._take(rows, piece, found)
            if newest is not None and newest >= since:
                since = newest + length
            elif rows and min(int(row[0]) for row in rows) >= piece.end:
                return  # the venue's history begins, or goes on, after this piece
            else:
                since += limit * length

    async def _ask_again(self, piece: Span, found: dict[int, Candle]) -> None:
        for hole in holes(self.file.symbol, self.file.timeframe, sorted(found), piece)[:_ASKED_AGAIN]:
            rows = await self._ask(hole.first, min(self._page(), hole.count))
            self._take(rows, Span(hole.first, hole.last + 1), found)

    async def _ask(self, since: int, limit: int) -> list[Sequence[Any]]:
        ask = self.venue.exchange.fetch_ohlcv
        # One more than needed: some venues take a limit of one for none.
        rows: list[Sequence[Any]] = await self.patience.read(
            lambda: ask(self.file.symbol, self.file.timeframe, since, max(2, limit))
        )
        return rows

    def _take(self, rows: Sequence[Sequence[Any]], span: Span, found: dict[int, Candle]) -> int | None:
        """Keep the candles of a page that belong here; the start of the newest, None if there was none."""
        newest = None
        for row in rows:
            candle = candle_of(self.file.symbol, self.file.timeframe, row, 0)
            if candle.ts in found:
                self.report.duplicates += 1
            elif span.start <= candle.ts < span.end:
                newest = candle.ts if newest is None else max(newest, candle.ts)
                if candle.fault() is not None or candle_start(candle.ts, self.file.timeframe) != candle.ts:
                    self.report.refused += 1
                else:
                    found[candle.ts] = candle
        return newest

    def _page(self) -> int:
        spot = (self.venue.exchange.features or {}).get("spot") or {}
        return int((spot.get("fetchOHLCV") or {}).get("limit") or _DEFAULT_PAGE)

    def _finish(self, pieces: Sequence[Span], wanted: Span, covered: Span | None) -> None:
        starts, ends = [wanted.start], [wanted.end]
        if covered is not None:
            starts.append(covered.start)
            ends.append(covered.end)
        covers = Span(min(starts), max(ends))
        whole = self.file.finish(pieces, covers)
        report = self.report
        report.candles, report.covers = len(whole), covers
        report.path = None if whole.is_empty() else self.file.path
        report.gaps = holes(self.file.symbol, self.file.timeframe, whole["ts"].to_list(), covers)
