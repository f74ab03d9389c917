"""Request weights: counted per minute of the venue's clock, refused when used up, banned when that is ignored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

_MINUTE = 60_000
_PATIENCE = 20  # refused requests before a ban
_BAN_MS = 120_000


@dataclass(frozen=True, slots=True)
class Refusal:
    """HTTP status (429, or 418 for a ban) and the seconds to wait."""

    status: int
    retry_after: int


@dataclass(slots=True)
class WeightLimit:
    """At most `limit` units of weight in each minute of `now()` (ms)."""

    limit: int
    now: Callable[[], int]
    used: int = 0
    _minute: int = -1
    _refused: int = 0
    _banned_until: int = 0

    def charge(self, weight: int) -> Refusal | None:
        """Take the weight of a request, or say why not."""
        now = self.now()
        if now < self._banned_until:
            return Refusal(418, -(-(self._banned_until - now) // 1_000))
        if now // _MINUTE != self._minute:
            self._minute, self.used, self._refused = now // _MINUTE, 0, 0
        if self.used + weight <= self.limit:
            self.used += weight
            return None
        self._refused += 1
        if self._refused > _PATIENCE:
            self._banned_until = now + _BAN_MS
            return Refusal(418, _BAN_MS // 1_000)
        return Refusal(429, -(-(_MINUTE - now % _MINUTE) // 1_000))


_WINDOW = 10_000
_DAY = 86_400_000


@dataclass(slots=True)
class OrderLimit:
    """At most `limit` new orders of one account in each ten seconds of `now()` (ms)."""

    limit: int
    now: Callable[[], int]
    used: int = 0
    today: int = 0
    _window: int = -1
    _day: int = -1

    def charge(self, orders: int = 1) -> bool:
        """Count new orders; False when there are too many."""
        now = self.now()
        if now // _WINDOW != self._window:
            self._window, self.used = now // _WINDOW, 0
        if now // _DAY != self._day:
            self._day, self.today = now // _DAY, 0
        if self.used + orders > self.limit:
            return False
        self.used += orders
        self.today += orders
        return True
