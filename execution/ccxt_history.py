"""All trades of an account since a moment, whatever a venue's way of turning pages."""

from __future__ import annotations

from collections.abc import Awaitable, Mapping, Sequence
from typing import Protocol

from execution.account import ReadFailed, TradeReport
from execution.ccxt_orders import BINANCE, OKX

_DAY_MS = 86_400_000
_DAYS_WALKED = 30
_BINANCE_PAGE = 1_000
_OKX_PAGE = 100
_LONGEST = 2_000  # pages; a guard against a venue that never ends


class Page(Protocol):
    """Ask for one page of trades: from a time (ms), at most so many, with more of the venue's own parameters."""

    def __call__(self, start: int | None, limit: int | None, params: Mapping[str, object], /) -> Awaitable[list[TradeReport]]:
        """Raises `ReadFailed`."""
        ...


async def trades_since(venue: str, page: Page, since: int, now: int) -> Sequence[TradeReport]:
    """Every trade from `since` on, oldest first, each once. Raises `ReadFailed`."""
    if venue in BINANCE:
        found = await _by_number(page, since, now)
    elif venue in OKX:
        found = await _backwards(page, since)
    else:
        found = await _forwards(page, since)
    unique = {trade.id: trade for trade in found if trade.ts >= since}
    return sorted(unique.values(), key=lambda trade: (trade.ts, len(trade.id), trade.id))


async def _by_number(page: Page, since: int, now: int) -> list[TradeReport]:
    """Binance: a page by time reaches a day at most, one by trade number goes on from there."""
    if now - since < _DAY_MS:
        found = await page(since, _BINANCE_PAGE, {})
        return await _onwards(page, found) if len(found) == _BINANCE_PAGE else found
    newest = await page(None, _BINANCE_PAGE, {})
    if len(newest) < _BINANCE_PAGE or min(trade.ts for trade in newest) < since:
        return newest
    return await _onwards(page, await _first_page(page, since, now))


async def _first_page(page: Page, since: int, now: int) -> list[TradeReport]:
    """The oldest trades from a time on that is more than a day ago: day by day, or from the very first if that is long ago."""
    if now - since > _DAYS_WALKED * _DAY_MS:
        return await page(None, _BINANCE_PAGE, {"fromId": 0})
    start, found = since, await page(since, _BINANCE_PAGE, {})
    while not found and start + _DAY_MS <= now:
        start += _DAY_MS
        found = await page(start, _BINANCE_PAGE, {})
    return found


async def _onwards(page: Page, found: list[TradeReport]) -> list[TradeReport]:
    """These and all that came after them."""
    for _ in range(_LONGEST):
        newest = max(int(trade.id) for trade in found)
        more = await page(None, _BINANCE_PAGE, {"fromId": newest + 1})
        found += more
        if len(more) < _BINANCE_PAGE:
            return found
    raise _endless()


async def _backwards(page: Page, since: int) -> list[TradeReport]:
    """OKX: newest first, each page ends where the one before began."""
    found: dict[str, TradeReport] = {}
    until: dict[str, object] = {}
    for _ in range(_LONGEST):
        rows = await page(since, None, until)
        new = [trade for trade in rows if trade.id not in found]
        found |= {trade.id: trade for trade in new}
        if len(rows) < _OKX_PAGE:
            return list(found.values())
        if not new:
            message = f"more than {_OKX_PAGE} trades in one millisecond: the venue does not list them all"
            raise ReadFailed(message, transient=False)
        until = {"until": min(trade.ts for trade in rows)}
    raise _endless()


async def _forwards(page: Page, since: int) -> list[TradeReport]:
    """Other venues: from the newest known time on, until nothing new comes."""
    found: dict[str, TradeReport] = {}
    start = since
    for _ in range(_LONGEST):
        new = [trade for trade in await page(start, None, {}) if trade.id not in found]
        if not new:
            return list(found.values())
        found |= {trade.id: trade for trade in new}
        start = max(trade.ts for trade in new)
    raise _endless()


def _endless() -> ReadFailed:
    return ReadFailed(f"the list of trades has more than {_LONGEST} pages", transient=False)
