"""How often is too often: token buckets, and a lock-out that grows with every failure. Times are ms, given by the caller.

Both tables are bounded and forget who was seen longest ago, so that a flood of addresses costs no memory.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from dataclasses import dataclass

_SECOND = 1_000


def network(address: str) -> str:
    """Whom to hold responsible for an address: itself, or the /64 of an IPv6 address, in which addresses cost nothing."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address[:64]
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, 64), strict=False)) if not parsed.is_loopback else str(parsed)
    return str(parsed)


@dataclass(slots=True)
class _Level:
    filled: float
    at: int


class Buckets:
    """At most `burst` at once and `rate` a second in the long run, for each key by itself."""

    def __init__(self, rate: float, burst: int, most: int = 4_096) -> None:
        self._rate = rate
        self._burst = float(burst)
        self._most = most
        self._levels: OrderedDict[str, _Level] = OrderedDict()

    def __len__(self) -> int:
        return len(self._levels)

    def take(self, key: str, now: int) -> int:
        """0 if one may pass now; else the milliseconds until the next may."""
        level = self._levels.pop(key, None) or _Level(self._burst, now)
        passed = max(0, now - level.at) / _SECOND
        level.filled = min(self._burst, level.filled + passed * self._rate)
        level.at = now
        self._levels[key] = level
        while len(self._levels) > self._most:
            self._levels.popitem(last=False)
        if level.filled >= 1:
            level.filled -= 1
            return 0
        return max(1, int((1 - level.filled) / self._rate * _SECOND))


@dataclass(slots=True)
class _Record:
    failures: int
    until: int
    last: int


class Lockout:
    """After `free` failures each further one locks for twice as long as the one before: 1 s, 2 s, ... at most `longest`.

    A success forgives; so does `forget_ms` without a failure.
    """

    def __init__(self, free: int = 5, first_ms: int = _SECOND, longest_ms: int = 900 * _SECOND, most: int = 4_096) -> None:
        self._free = free
        self._first = first_ms
        self._longest = longest_ms
        self._forget = 4 * longest_ms
        self._most = most
        self._records: OrderedDict[str, _Record] = OrderedDict()

    def __len__(self) -> int:
        return len(self._records)

    def wait(self, key: str, now: int) -> int:
        """0, or the milliseconds for which this key is locked out."""
        record = self._records.get(key)
        return 0 if record is None else max(0, record.until - now)

    def failed(self, key: str, now: int) -> int:
        """Count a failure; the milliseconds of lock-out that follow from it."""
        record = self._records.pop(key, None)
        if record is None or now - record.last > self._forget:
            record = _Record(0, 0, now)
        record.failures += 1
        record.last = now
        over = record.failures - self._free
        locked = 0 if over <= 0 else min(self._longest, self._first * 2 ** min(over - 1, 30))
        record.until = now + locked
        self._records[key] = record
        while len(self._records) > self._most:
            self._records.popitem(last=False)
        return locked

    def succeeded(self, key: str) -> None:
        """Forgive."""
        self._records.pop(key, None)


def seconds_of(wait_ms: int) -> int:
    """As `Retry-After` says it: whole seconds, rounded up, at least one."""
    return max(1, -(-wait_ms // _SECOND))
