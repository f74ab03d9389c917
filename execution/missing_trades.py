"""Missing trades: what the venue says was filled, and no trade has told yet.

The list of trades is asked for until it tells. What it will not tell in time is told as the venue's total says it, as a synthetic
fill, so that a position is never forgotten for want of a trade id.
"""

from __future__ import annotations

import asyncio
from decimal import Decimal

import structlog

from execution.account import ReadFailed
from execution.enquiry import Enquiry
from execution.errands import waits
from execution.tracked import Tracked

logger = structlog.get_logger(__name__)


class MissingTrades:
    """Fetches the trades that the orders of a symbol lack."""

    def __init__(self, enquiry: Enquiry) -> None:
        self._enquiry = enquiry

    async def fetch(self, symbol: str) -> None:
        """Ask for the symbol's trades until none of our orders lacks any, or its time is over."""
        enquiry = self._enquiry
        # By order: the total to reach, and since when it has not been reached.
        short: dict[str, tuple[Decimal, float]] = {}
        tries = waits(enquiry.rules.first_wait_ms, enquiry.rules.longest_wait_ms, enquiry.jitter)
        least = 0
        while lacking := self._lacking(symbol, short):
            await asyncio.sleep(max(self._no_longer(next(tries), short), least / 1_000))
            least = 0
            lacking = self._lacking(symbol, short)
            if not lacking:
                return
            try:
                since = min(enquiry.since(tracked.request) for tracked in lacking)
                enquiry.stats.queries += 1
                for trade in await enquiry.venue.trades(symbol, since):
                    enquiry.hear_trade(trade)
            except ReadFailed as error:
                enquiry.stats.queries_failed += 1
                least = error.retry_after_ms
            for tracked in self._lacking(symbol, short):
                self._give_in(tracked, short)

    def _lacking(self, symbol: str, short: dict[str, tuple[Decimal, float]]) -> list[Tracked]:
        """Our orders of the symbol that lack trades, with the clock of each begun, and anew for each total reached."""
        lacking = [tracked for tracked in self._enquiry.orders.lacking() if tracked.request.symbol == symbol]
        now = asyncio.get_running_loop().time()
        for tracked in lacking:
            goal, _ = short.get(tracked.id, (None, now))
            if goal is None or tracked.filled >= goal:
                short[tracked.id] = (tracked.reported, now)
        return lacking

    def _no_longer(self, wait: float, short: dict[str, tuple[Decimal, float]]) -> float:
        """A wait that ends where the first order's patience does."""
        patience = self._enquiry.rules.synthetic_after_ms / 1_000
        first = min(since for _, since in short.values()) + patience - asyncio.get_running_loop().time()
        return min(wait, first) if first > 0 else wait

    def _give_in(self, tracked: Tracked, short: dict[str, tuple[Decimal, float]]) -> None:
        goal, since = short[tracked.id]
        if asyncio.get_running_loop().time() - since < self._enquiry.rules.synthetic_after_ms / 1_000:
            return
        request = tracked.request
        price = tracked.price or request.price or Decimal(repr(request.reference))
        logger.warning("synthetic_fill", order=tracked.id, symbol=request.symbol, amount=str(tracked.lacking), price=str(price))
        self._enquiry.orders.synthetic(tracked, goal - tracked.filled, price)
