"""Reading from a venue that is busy or away: limits are waited out, lost answers are asked for again, all within bounds.

For reads only, which may be repeated freely. An error that more asking cannot mend is raised at once.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

T = TypeVar("T")

Sleep = Callable[[float], Awaitable[None]]


class VenueGaveUp(Exception):  # noqa: N818 - it names what happened
    """The venue did not answer, however often it was asked; the message says what to do."""


@dataclass(slots=True)
class Patience:
    """How long to wait for `exchange`, a ccxt exchange; all times in seconds.

    A lost answer is asked for again after `first`, doubled each time up to `longest` and jittered, at most `attempts` times in a
    row. A limit is waited out as long as the venue says, else likewise, at most `limits` times in a row.
    """

    exchange: Any
    waited: Callable[[float, str], None]
    sleep: Sleep = asyncio.sleep
    first: float = 0.5
    longest: float = 60.0
    attempts: int = 6
    limits: int = 20
    requests: int = 0
    seconds_waited: float = 0.0
    _chance: random.Random = field(default_factory=random.Random)

    async def read(self, ask: Callable[[], Awaitable[T]]) -> T:
        """What it answers. `VenueGaveUp` when patience ends, and at once for what waiting cannot mend."""
        import ccxt  # noqa: PLC0415 - heavy

        lost = limited = 0
        while True:
            self.requests += 1
            try:
                return await ask()
            except (ccxt.RateLimitExceeded, ccxt.DDoSProtection) as error:
                limited += 1
                why, wait = "the venue's limit is reached", self._told_to_wait() or self._growing(limited)
                if limited >= self.limits:
                    raise VenueGaveUp(_after(limited, error)) from error
            except ccxt.OperationFailed as error:
                lost += 1
                why, wait = f"no answer ({type(error).__name__})", self._growing(lost)
                if lost >= self.attempts:
                    raise VenueGaveUp(_after(lost, error)) from error
            except ccxt.BaseError as error:
                raise VenueGaveUp(_brief(error)) from error
            self.seconds_waited += wait
            self.waited(wait, why)
            await self.sleep(wait)

    def _growing(self, number: int) -> float:
        return float(min(self.longest, self.first * 2 ** (number - 1)) * self._chance.uniform(0.75, 1.25))

    def _told_to_wait(self) -> float | None:
        """The venue's own Retry-After; None if it names none."""
        headers = getattr(self.exchange, "last_response_headers", None) or {}
        told = next((value for name, value in headers.items() if str(name).lower() == "retry-after"), None)
        try:
            seconds = float(str(told))
        except ValueError:
            return None
        # A ban of an hour is waited out; a header of a week is a mistake.
        return min(max(seconds, 1.0), 3_600.0)


def _after(times: int, error: Exception) -> str:
    return f"{_brief(error)}, {times} times in a row: check the network, then run the same command again to go on from here"


def _brief(error: Exception) -> str:
    """One short line: venues answer with whole web pages."""
    first = (str(error).splitlines() or [""])[0]
    return f"{type(error).__name__}: {first[:160]}"
