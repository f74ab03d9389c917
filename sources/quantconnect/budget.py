"""The request budget: calls wait their turn, so that the service never sees more than was agreed in any window.

A bucket of `burst` that refills so slowly that a full one and a window's refill make the agreed number, which in the long run is
a little less than the number. Whoever cannot wait (stop, liquidate) goes first. When the service asks for peace, all others wait.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field

from aiolimiter import AsyncLimiter

from bot.latency import LatencyHistogram
from sources.quantconnect.limits import Limits

_URGENT = 0.999
"""The limiter serves the smallest request first, and those of one size as they came."""


class BudgetFull(Exception):  # noqa: N818 - it names what happened
    """So many calls wait already that one more would only grow old."""


@dataclass(slots=True)
class BudgetTally:
    """What came of the calls of all clients of one budget. `outcomes` by `answered` or the kind of failure; seconds in `took`."""

    outcomes: Counter[str] = field(default_factory=Counter)
    requests: int = 0
    retries: int = 0
    took: LatencyHistogram = field(default_factory=LatencyHistogram)


class Budget:
    """Turns on one event loop. Times are seconds of the loop."""

    def __init__(self, limits: Limits) -> None:
        self.tally = BudgetTally()
        self.waiting = 0
        self.waited_s = 0.0
        self._most = limits.waiting
        self._burst = limits.burst
        refill = (limits.requests - limits.burst) / limits.window_s
        self._bucket = AsyncLimiter(limits.burst, limits.burst / refill)
        self._peace_until = 0.0

    async def take(self, *, urgent: bool = False) -> None:
        """Wait for a turn; `BudgetFull` where too many do, unless it is urgent."""
        if self.waiting >= self._most and not urgent:
            raise BudgetFull
        began = asyncio.get_running_loop().time()
        self.waiting += 1
        try:
            while not urgent and self.peace_s > 0:  # noqa: ASYNC110 - it ends by time, and may have been prolonged
                await asyncio.sleep(self.peace_s)
            await self._bucket.acquire(_URGENT if urgent else 1.0)
        finally:
            self.waiting -= 1
            self.waited_s += asyncio.get_running_loop().time() - began

    def penalise(self, seconds: float) -> None:
        """Give no turn for so long."""
        self._peace_until = max(self._peace_until, asyncio.get_running_loop().time() + seconds)

    @property
    def peace_s(self) -> float:
        """How much longer the service wants nothing."""
        return max(0.0, self._peace_until - asyncio.get_running_loop().time())

    @property
    def left(self) -> int:
        """Calls that could begin at once."""
        if self.peace_s > 0:
            return 0
        return next((number for number in range(self._burst, 0, -1) if self._bucket.has_capacity(number)), 0)
