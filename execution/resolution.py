"""Resolution: finding out what became of an order that nobody can account for. The venue is asked; nothing is ever sent again.

Any answer ends the doubt. "No such order" is an answer only after a time of grace in which a delayed request could still have
arrived, and only if no trade of the account is of that order. A question that failed is no answer at all.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from execution.account import NotFound, ReadFailed, TradeReport
from execution.enquiry import Enquiry
from execution.errands import waits
from execution.tracked import Standing, Tracked

_STRANGERS_PER_ROUND = 10


class Resolution:
    """Settles doubts about orders, one at a time for each. `gave_up` is told of an order that was found not to live."""

    def __init__(self, enquiry: Enquiry, gave_up: Callable[[Tracked], None]) -> None:
        self._enquiry = enquiry
        self._gave_up = gave_up

    async def settle(self, tracked: Tracked, first_wait_ms: int) -> None:
        """Ask for an order in doubt until it is known to live, known to have ended, or known not to be there.

        An order that had lived is doubted when the venue had it no more; only an answer settles that.
        """
        enquiry = self._enquiry
        was, doubted, asked = tracked.standing, asyncio.get_running_loop().time(), set[str]()
        tries = waits(enquiry.rules.first_wait_ms, enquiry.rules.longest_wait_ms, enquiry.jitter)
        await asyncio.sleep(first_wait_ms / 1_000)
        while not _settled(tracked, was):
            grace_left = enquiry.rules.grace_ms - round((asyncio.get_running_loop().time() - doubted) * 1_000)
            least = 0
            try:
                await enquiry.ask(tracked)
            except NotFound:
                if grace_left <= 0 and await self._untraded(tracked, asked) and not _settled(tracked, was):
                    self._lose(tracked)
                    return
            except ReadFailed as error:
                least = error.retry_after_ms
            else:
                break
            wait = max(next(tries), least / 1_000)
            # The first question after the grace may settle it: let it not be late.
            await asyncio.sleep(min(wait, grace_left / 1_000) if least == 0 < grace_left else wait)
        enquiry.stats.resolved += 1

    def _lose(self, tracked: Tracked) -> None:
        self._enquiry.stats.lost += 1
        self._enquiry.orders.lost(tracked.id, "the venue has no such order")
        self._gave_up(tracked)

    async def _untraded(self, tracked: Tracked, asked: set[str]) -> bool:
        """Whether no trade of the account is of this order. An unanswered question is no yes.

        Lists of trades name the venue's order ids only, so while this order's is not known the orders behind unknown ids are
        asked for; `asked` remembers those that turned out to be others'.
        """
        enquiry, request = self._enquiry, tracked.request
        before = tracked.filled
        try:
            trades = await enquiry.venue.trades(request.symbol, enquiry.since(request))
            for trade in trades:
                enquiry.hear_trade(trade)
            strangers = self._strangers(tracked, trades, asked)
            for venue_id in strangers[:_STRANGERS_PER_ROUND]:
                await self._recognise(request.symbol, venue_id)
                asked.add(venue_id)
        except ReadFailed:
            enquiry.stats.queries_failed += 1
            return False
        return tracked.filled == before and len(strangers) <= _STRANGERS_PER_ROUND

    def _strangers(self, tracked: Tracked, trades: Sequence[TradeReport], asked: set[str]) -> list[str]:
        """The venue's ids, newest first, of orders that may be this one as far as their trades tell."""
        if tracked.venue_id is not None:
            return []
        known, request = self._enquiry.orders.of_venue, tracked.request
        ids = {
            trade.venue_order_id: None
            for trade in reversed(trades)
            if trade.client_id is None and trade.side is request.side and known(request.symbol, trade.venue_order_id) is None
        }
        return [venue_id for venue_id in ids if venue_id not in asked]

    async def _recognise(self, symbol: str, venue_id: str) -> None:
        """Learn whose order the venue calls so. Raises `ReadFailed`."""
        self._enquiry.stats.queries += 1
        try:
            report = await self._enquiry.venue.order(symbol, None, venue_id)
        except NotFound:
            return
        self._enquiry.hear(report)


def _settled(tracked: Tracked, was: Standing) -> bool:
    return tracked.standing is Standing.ENDED or tracked.standing is not was
