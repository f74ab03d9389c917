"""Polling: what the account stream may have failed to tell is asked for on a timer, and at once when it breaks or returns.

The list of open orders only ever adds: an order that is missing from it is asked for by name, never taken to be over.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from execution.account import NotFound, ReadFailed
from execution.enquiry import Enquiry
from execution.tracked import Standing, Tracked

logger = structlog.get_logger(__name__)


class Polling:
    """Rounds of questions about the orders that should be live. `doubt` is told of one that the venue does not find."""

    def __init__(self, enquiry: Enquiry, doubt: Callable[[Tracked], None]) -> None:
        self.stream_up = False
        self.failed = 0
        self._enquiry = enquiry
        self._doubt = doubt
        self._poke = asyncio.Event()
        self._asked: dict[str, float] = {}
        self._watched: dict[str, float] = {}
        self._not_before = 0.0

    def soon(self) -> None:
        """Let the next round begin now."""
        self._poke.set()

    def watch(self, symbol: str) -> None:
        """Look for open orders on this symbol for a while, though none of ours should be there."""
        until = asyncio.get_running_loop().time() + self._enquiry.rules.watch_given_up_ms / 1_000
        self._watched[symbol] = until

    async def run(self, before: Callable[[], None]) -> None:
        """Poll until cancelled; `before` is called ahead of each round."""
        rules = self._enquiry.rules
        while True:
            pace = rules.poll_ms if self.stream_up else rules.poll_lost_ms
            await self._pause(pace / 1_000 * self._enquiry.jitter())
            try:
                before()
                await self.round()
            except Exception as error:
                self.failed += 1
                logger.error("poll_failed", error=type(error).__name__, exc_info=True)

    async def round(self) -> None:
        """Ask for the open orders of every symbol with a live order, then by name for those that are missing there."""
        enquiry = self._enquiry
        expected = [tracked for tracked in enquiry.orders.live() if tracked.standing is Standing.LIVE]
        symbols = self._symbols(expected)
        if not symbols:
            return
        enquiry.stats.polls += 1
        try:
            reports = await enquiry.venue.open_orders(symbols)
        except ReadFailed as error:
            enquiry.stats.polls_failed += 1
            self._not_before = asyncio.get_running_loop().time() + error.retry_after_ms / 1_000
            return
        present = {tracked.id for report in reports if (tracked := enquiry.hear(report)) is not None}
        missing = [one for one in expected if one.id not in present and one.standing is Standing.LIVE]
        await self._ask_for(missing)

    def _symbols(self, expected: list[Tracked]) -> list[str]:
        now = asyncio.get_running_loop().time()
        self._watched = {symbol: until for symbol, until in self._watched.items() if until > now}
        return list(dict.fromkeys([*(tracked.request.symbol for tracked in expected), *self._watched]))

    async def _ask_for(self, missing: list[Tracked]) -> None:
        """Ask by name, some at once; those that have waited longest for their turn come first."""
        rules = self._enquiry.rules
        turn = {tracked.id: self._asked.get(tracked.id, 0.0) for tracked in missing}
        missing.sort(key=lambda tracked: turn[tracked.id])
        now = asyncio.get_running_loop().time()
        chosen = missing[: rules.asked_per_round]
        self._asked = turn | {tracked.id: now for tracked in chosen}
        places = asyncio.Semaphore(rules.asked_at_once)
        async with asyncio.TaskGroup() as group:
            for tracked in chosen:
                group.create_task(self._ask_one(tracked, places))

    async def _ask_one(self, tracked: Tracked, places: asyncio.Semaphore) -> None:
        async with places:
            if tracked.standing is not Standing.LIVE:
                return
            try:
                await self._enquiry.ask(tracked)
            except NotFound:
                self._doubt(tracked)
            except ReadFailed as error:
                logger.info("order_not_told", order=tracked.id, reason=error.reason)

    async def _pause(self, seconds: float) -> None:
        """Wait until the next round is due or wanted, and no less than the venue asked for."""
        held = self._not_before - asyncio.get_running_loop().time()
        if held > 0:
            await asyncio.sleep(held)
        try:
            async with asyncio.timeout(seconds):
                await self._poke.wait()
        except TimeoutError:
            pass
        self._poke.clear()
