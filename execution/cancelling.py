"""Cancelling: a cancel is over when the order's end has been told, or the desk has been told to ask again.

A cancel whose answer is lost, and one that the venue finds nothing to apply to, say nothing of the order: it is asked for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from execution.account import NotFound, NotSent, OrderReport, ReadFailed, Refused, Unknown
from execution.enquiry import Enquiry, named
from execution.errands import waits
from execution.tracked import Standing, Tracked


class Cancelling:
    """Cancels orders of ours. `doubt` is told of one that the venue had and does not find any more."""

    def __init__(self, enquiry: Enquiry, doubt: Callable[[Tracked], None]) -> None:
        self._enquiry = enquiry
        self._doubt = doubt

    async def cancel(self, tracked: Tracked) -> None:
        """Cancel an order once, and find out what became of it."""
        if tracked.standing is Standing.ENDED:
            return
        orders, stats = self._enquiry.orders, self._enquiry.stats
        stats.cancels += 1
        try:
            report = await self._send(tracked)
        except (NotSent, Refused) as error:
            orders.cancel_refused(tracked.id, error.reason)
        except NotFound as error:
            await self._look(tracked, error.reason, patient=True)
        except Unknown as error:
            stats.cancels_unknown += 1
            await self._look(tracked, error.reason, patient=False)
        else:
            if report is None or not report.status.ended:
                await self._look(tracked, "the venue confirmed the cancel and still has the order", patient=True)

    async def undo(self, tracked: Tracked) -> None:
        """Cancel an order that the desk has given up and that lives after all, until it does so no more."""
        enquiry = self._enquiry
        for wait in waits(enquiry.rules.first_wait_ms, enquiry.rules.longest_wait_ms, enquiry.jitter):
            try:
                await self._send(tracked)
            except (NotSent, Refused, Unknown, NotFound):
                enquiry.stats.cancels_unknown += 1
            if await self._over(tracked):
                return
            await asyncio.sleep(wait)

    async def _send(self, tracked: Tracked) -> OrderReport | None:
        report = await self._enquiry.venue.cancel(tracked.request.symbol, tracked.id, tracked.venue_id)
        if report is not None:
            report = named(report, tracked.request)
            self._enquiry.hear(report)
        return report

    async def _look(self, tracked: Tracked, reason: str, patient: bool) -> None:
        """Ask for the order after a cancel that left it open what became of it. A patient look allows the venue some time."""
        enquiry = self._enquiry
        tries = waits(enquiry.rules.first_wait_ms, enquiry.rules.longest_wait_ms, enquiry.jitter)
        for _ in range(enquiry.rules.cancel_queries):
            least = 0
            try:
                await enquiry.ask(tracked)
                if not patient:
                    break
            except NotFound:
                self._doubt(tracked)
                break
            except ReadFailed as error:
                least = error.retry_after_ms
            if tracked.standing is Standing.ENDED:
                return
            await asyncio.sleep(max(next(tries), least / 1_000))
        enquiry.orders.cancel_refused(tracked.id, reason)

    async def _over(self, tracked: Tracked) -> bool:
        """Whether the venue says that the order is over, or has none such."""
        try:
            return (await self._enquiry.ask(tracked)).status.ended
        except NotFound:
            return True
        except ReadFailed:
            return False
