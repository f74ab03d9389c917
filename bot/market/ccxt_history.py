"""Closed candles from a venue's REST interface, page by page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from bot.core.market import Candle, timeframe_ms
from bot.market.ccxt_venue import CcxtVenue

_DEFAULT_PAGE = 500
_MAX_PAGES = 200


@dataclass(slots=True)
class CandleHistory:
    """Asks one venue. `grace` ms after its end a candle counts as final even if no newer one is there."""

    venue: CcxtVenue
    grace: int = 300

    async def pages(self, symbol: str, timeframe: str, since: int) -> list[Candle]:
        """All closed candles that begin at `since` (ms UTC) or later, oldest first.

        Raises ccxt's errors: no answer is not an empty answer.
        """
        length, page = timeframe_ms(timeframe), self._page()
        found: list[Candle] = []
        for _ in range(_MAX_PAGES):
            missing = (self.venue.now() - since) // length + 1
            limit = max(2, min(page, missing + 1))
            rows = await self.venue.exchange.fetch_ohlcv(symbol, timeframe, since, limit)
            closed = list(self._closed(symbol, timeframe, rows, since))
            found += closed
            if not closed or len(rows) < limit or closed[-1].ts + 2 * length > self.venue.now():
                break
            since = closed[-1].ts + length
        return found

    def _closed(self, symbol: str, timeframe: str, rows: Sequence[Sequence[Any]], since: int) -> Iterator[Candle]:
        """The rows that are final: a newer one exists, or they ended long enough ago."""
        length, at, now = timeframe_ms(timeframe), self.venue.clock(), self.venue.now()
        newest = max((int(row[0]) for row in rows), default=0)
        for row in sorted(rows, key=lambda row: int(row[0])):
            ts = int(row[0])
            if ts >= since and (ts < newest or ts + length + self.grace <= now):
                yield candle_of(symbol, timeframe, row, at)

    def _page(self) -> int:
        spot = (self.venue.exchange.features or {}).get("spot") or {}
        return int((spot.get("fetchOHLCV") or {}).get("limit") or _DEFAULT_PAGE)


def candle_of(symbol: str, timeframe: str, row: Sequence[Any], at: int) -> Candle:
    """A candle from ccxt's [ts ms, open, high, low, close, volume]; a missing number becomes NaN, which the guard refuses."""
    numbers = [float("nan") if value is None else float(value) for value in row[1:6]]
    return Candle(symbol, timeframe, at, int(row[0]), *numbers)
